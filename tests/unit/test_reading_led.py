"""The verdict where the agreement of seeds leads it."""

import json

import numpy as np
import pandas as pd
import pytest

from correct_l0.reading.calibrated import RIGHT_OF_HINTS
from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_FEW
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.reading.voices import DISAGREE
from correct_l0.report.study import read_study
from correct_l0.report.summary import render_summary
from made_up import (
    AT_32,
    C_DEC,
    F1_GAIN,
    FALLING,
    L0,
    LEVEL,
    PEAKED,
    RISING,
    S_N,
    SHARED,
    answer_in_words,
    interval,
    tables,
)

BRANCH = (0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.36, 0.3)
"""High at an L0 of a few, and ever less above."""
LOW_F1 = (0.0, -0.02, -0.05, -0.07, -0.09, -0.1, -0.12, -0.13)


def at_128(value, otherwise=0.05):
    return tuple(value if l0 == 128 else otherwise for l0 in L0)


def all_n(means):
    return {400: means, 500: means, 600: means}


def verdict(shared=PEAKED, l0=L0, d_sae=1536, **made_up):
    found = tables(l0=l0, shared=shared, **made_up)
    result = read_study(found, d_sae=d_sae, l0=list(l0), training_tokens=1000)
    json.dumps(result, allow_nan=False)
    return result


def test_the_peak_is_named_with_its_interval_and_what_stands_beside_it():
    result, (low, l0, high) = verdict(), interval(PEAKED)
    assert result["outcome"] == READ
    assert result["headline"] == f"{answer_in_words(PEAKED)}."
    decision = result["decision"]
    assert decision["led_by_stability"]
    assert (decision["low"], decision["l0"], decision["high"]) == pytest.approx((low, l0, high))
    assert result["agreement"] == (
        "c_dec says about 128 (between 64 and 192), inside the interval and s_n^dec says about 128 "
        "(between 64 and 192), inside the interval; F1 with 1 latent and 16 latents peaks inside "
        "the interval."
    )
    height = result["stability"]["peak"]["height"]
    assert result["stability_lines"] == [
        f"Two seeds agree best at L0 {float(f'{l0:.2g}'):g}: there they agree "
        f"by {100 * height:.2g}% (1 - angle over chance, mean over latents).",
        "At the L0 named (128) 80% of the latents come back (matched above 0.9; mean cosine 0.83, "
        "by chance 0.15).",
    ]
    assert result["caveats"] == []
    assert "  At the L0 named (128) 80%" in render_summary(result, "report.html", "title", [])


def test_points_are_proposed_between_the_peak_and_its_neighbours():
    # geometric means of 64, 128, 192, with measured L0 0.3% above its target
    assert verdict()["decision"]["add_l0"] == [91, 160]
    fine = tuple(100.0 * 1.14**i for i in range(8))
    assert verdict(l0=fine)["next"]["sentence"].startswith("No further L0 point")


@pytest.mark.parametrize("s_n", [S_N, FALLING, RISING, LEVEL, tuple(30 * x for x in AT_32)])
@pytest.mark.parametrize("c_dec", [C_DEC, FALLING, RISING, LEVEL, AT_32])
def test_a_peak_is_named_whatever_the_decoder_metrics_say(c_dec, s_n):
    result = verdict(c_dec=c_dec, s_n=all_n(s_n))
    assert result["outcome"] == READ
    assert result["headline"] == f"{answer_in_words(PEAKED)}."


@pytest.mark.parametrize(
    ("c_dec", "told"),
    [
        (FALLING, "c_dec still falls at the end of the grid"),
        (RISING, "c_dec is lowest at the start of the grid"),
        (LEVEL, "c_dec is flat"),
        ((0.08, 0.03, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1),
         "c_dec says about 8 (between 4 and 16), outside the interval"),
    ],
)  # fmt: skip
def test_what_the_decoder_metrics_say_is_told_beside_it(c_dec, told):
    assert verdict(c_dec=c_dec)["agreement"].startswith(f"{told} and s_n^dec says about 128")


def test_n_of_s_n_dec_that_disagree_are_told_and_refuse_nothing():
    result = verdict(s_n={400: S_N, 500: tuple(30 * x for x in AT_32)})
    assert result["outcome"] == READ
    assert "s_n^dec says different things at different n; F1" in result["agreement"]


def test_f1_that_peaks_elsewhere_is_told_and_refuses_nothing():
    result = verdict(f1={1: F1_GAIN, 16: LOW_F1})
    assert result["outcome"] == READ
    decision = result["decision"]
    assert (decision["f1_agrees"], decision["f1_disagrees"]) == ([1], [16])
    assert result["agreement"].endswith(
        "; F1 with 1 latent peaks inside the interval; F1 with 16 latents peaks outside it."
    )


def test_without_probing_f1_is_not_spoken_of():
    assert "F1" not in verdict(f1={})["agreement"]
    assert verdict(f1={}, shared=BRANCH)["agreement"] == ""
    assert verdict(shared=BRANCH)["agreement"] == "There is no interval that F1 could confirm."


def test_a_branch_at_low_l0_above_the_peak_does_not_count_and_is_told():
    result = verdict(shared=SHARED)
    assert result["headline"] == f"{answer_in_words(SHARED)}."
    assert "more still at the start of the grid" in result["stability_lines"][0]


def test_a_branch_at_low_l0_alone_is_no_peak():
    result = verdict(shared=BRANCH)
    assert result["outcome"] == NO_PEAK
    assert result["headline"] == (
        "No peak: two seeds agree best at the lowest L0 of the grid, 4, and ever less above it. At "
        "an L0 of a few they can agree on latents that are no features: no L0 is named. Start "
        "lower."
    )
    decision = result["decision"]
    assert (decision["l0"], decision["low"], decision["high"]) == (None, None, None)
    assert result["next"] == {
        "sentence": "Add L0 1, 2 to see whether there is a peak below; only the new points are "
        "trained.",
        "line": "saes.l0: [1, 2, 4, 8, 16, 32, 64, 128, 192, 300]",
    }
    assert result["stability_lines"] == [
        "Two seeds agree best at L0 4 (they agree by 80%), least at L0 300."
    ]


def test_no_peak_on_a_grid_that_starts_at_1_cannot_start_lower():
    result = verdict(shared=BRANCH, l0=(1, 2, 4, 8, 16, 32, 64, 128))
    assert result["outcome"] == NO_PEAK
    assert result["headline"].endswith("no L0 is named.")
    assert result["decision"]["add_l0"] == []


@pytest.mark.parametrize(("share", "outcome"), [(0.25, READ), (0.24, NOT_REPRODUCIBLE)])
def test_a_quarter_of_the_latents_has_to_come_back_at_the_peak_and_nowhere_else(share, outcome):
    # an excess of .25 or .24: only the share can carry it; all other points are at chance
    assert verdict(shared=at_128(share, 0.0))["outcome"] == outcome


def test_no_number_is_named_where_seeds_disagree_at_the_peak():
    result = verdict(shared=at_128(0.2))
    assert result["outcome"] == NOT_REPRODUCIBLE
    assert result["headline"] == (
        "Not reproducible: at L0 128 two seeds do not find the same latents (fewer than 25% "
        "matched above 0.9). No L0 is named. Train longer or narrower."
    )
    decision = result["decision"]
    assert (decision["l0"], decision["low"], decision["high"]) == (None, None, None)
    assert decision["as_it_stands"] == READ
    assert result["agreement"].startswith("There is no interval")
    assert result["next"] == {
        "sentence": "Train longer (for example on 4,000 tokens) or use fewer latents (for example "
        "768); neither is sure to help.",
        "line": "saes.training.training_tokens: 4000",
    }
    assert decision["add_l0"] == []


def test_seeds_that_agree_best_at_the_grids_end():
    rising = tuple(reversed(BRANCH))
    result = verdict(shared=rising)
    assert result["outcome"] == FALLS
    assert result["headline"] == (
        "L0 above 192, by how much this grid cannot say: the agreement of two seeds still rises at "
        "its highest point, 300. Extend the grid."
    )
    # one and two of the grid's last steps (300 / 192) further: 469 and 732, two digits
    assert result["decision"]["add_l0"] == [470, 730]
    # not reproducible there: excess and share of .2
    result = verdict(shared=tuple(x / 4 for x in rising))
    assert (result["outcome"], result["decision"]["as_it_stands"]) == (NOT_REPRODUCIBLE, FALLS)
    assert "Extend" not in result["headline"]


@pytest.mark.parametrize(("low", "outcome"), [(4, FLAT), (5, NOT_REPRODUCIBLE)])
def test_seeds_that_agree_alike_everywhere_are_flat_unless_they_disagree_at_most_points(
    low, outcome
):
    result = verdict(shared=(0.245,) * low + (0.255,) * (8 - low))
    assert (result["outcome"], result["decision"]["l0"]) == (outcome, None)
    if outcome == FLAT:
        assert result["headline"] == (
            "Flat: two seeds agree as much at every L0, 4 to 300. No L0 is named."
        )
        assert result["next"]["line"] is None


@pytest.mark.parametrize(("where", "outcome"), [(0, READ), (3, READ), (5, NOT_TRAINED)])
def test_the_points_inside_the_interval_must_be_trained(where, outcome):
    cosine = [0.2] * 8
    cosine[where] = 0.6
    result = verdict(init_cosine=cosine)
    assert result["outcome"] == outcome
    if outcome == NOT_TRAINED:
        assert result["decision"]["as_it_stands"] == READ
        assert result["headline"].endswith(f" would read: {answer_in_words(PEAKED)}.")
        assert result["next"]["line"] == "saes.training.training_tokens: 2000"


def test_moves_of_c_dec_refuse_nothing_that_seeds_agree_on_without_it():
    moving = {"nine_tenths": tuple(1.5 * x for x in C_DEC)}
    assert verdict(**moving)["outcome"] == READ
    rising = tuple(0.1 * (i + 1) for i in range(8))
    assert verdict(shared=rising, **moving)["outcome"] == NOT_TRAINED


def test_training_health_comes_first():
    result = verdict(init_cosine=0.6, shared=(0.0,) * 8)
    assert result["outcome"] == NOT_TRAINED
    assert "two seeds do not find the same latents" in result["caveats"][0]
    assert result["stability_lines"] == [
        "Of no latent of one seed does another know more than by chance, at any L0."
    ]


def test_one_seed_leaves_the_answer_to_the_decoder_metrics_and_says_so():
    result = read_study(tables(seeds=(0,)), d_sae=1536, l0=list(L0), training_tokens=1000)
    right, said = RIGHT_OF_HINTS[READ][True]
    assert result["headline"] == (
        "L0 about 128 (between 64 and 192) by c_dec and s_n^dec alone. A hint, no answer: "
        f"{right} of {said} such readings of one seed were right where the truth is known. Two "
        "seeds at 5 L0 or more tell better."
    )
    assert result["is_hint"]
    assert result["next"] == {
        "sentence": "Train a second seed: the answer is where two agree best.",
        "line": "saes.seeds: [0, 1]",
    }
    assert (result["stability"], result["decision"]["led_by_stability"]) == (None, False)
    assert (
        "Whether another seed finds the same latents is unknown: add one to saes.seeds. Until then "
        "c_dec and s_n^dec give a hint."
    ) in result["caveats"]
    few = read_study(
        tables(seeds=(0,), l0=L0[3:7], c_dec=C_DEC[3:7], s_n={400: S_N[3:7]}, f1={1: F1_GAIN[3:7]}),
        d_sae=1536, l0=list(L0[3:7]), training_tokens=1000,
    )  # fmt: skip
    assert few["next"]["sentence"].startswith("Train a second seed at 5 L0 or more: ")
    assert not any("another seed" in line for line in verdict()["caveats"])
    flat = tables(seeds=(0,), c_dec=LEVEL, s_n={n: LEVEL for n in (400, 500, 600)}, spread=0.02)
    result = read_study(flat, d_sae=1536, l0=list(L0), training_tokens=1000)
    assert (result["outcome"], result["next"]["line"]) == (FLAT, "saes.seeds: [0, 1]")
    elsewhere = tables(seeds=(0,), f1={1: LOW_F1})
    result = read_study(elsewhere, d_sae=1536, l0=list(L0), training_tokens=1000)
    assert result["outcome"] == DISAGREE


class TestFewPoints:
    """Two seeds, but too few L0 for a peak: c_dec and s_n^dec answer, and seeds have to agree."""

    FOUR = slice(3, 7)

    def verdict(self, shared, **made_up):
        given = {"c_dec": C_DEC[self.FOUR], "s_n": {400: S_N[self.FOUR]}} | made_up
        return verdict(shared, L0[self.FOUR], f1={1: F1_GAIN[self.FOUR]}, **given)

    def test_the_decoder_metrics_answer_and_say_why(self):
        result = self.verdict((0.1, 0.1, 0.6, 0.1))
        assert result["headline"].startswith("L0 about 128 (between 64 and 192) by ")
        assert not result["decision"]["led_by_stability"]
        assert result["caveats"] == [
            "The agreement of seeds is read from 5 L0 on: until then c_dec and s_n^dec give a hint."
        ]
        told = {"sentence": "Add L0 points: of 5 or more the agreement is read.", "line": None}
        assert result["next"] == told

    def test_not_where_seeds_disagree(self):
        assert self.verdict((0.6, 0.6, 0.2, 0.6))["outcome"] == NOT_REPRODUCIBLE

    @pytest.mark.parametrize(("low", "outcome"), [(2, DISAGREE), (3, NOT_REPRODUCIBLE)])
    def test_metrics_that_disagree_are_overruled_by_most_of_the_points_only(self, low, outcome):
        split = {400: FALLING[:4], 500: RISING[:4]}
        shared = (0.0,) * low + (0.6,) * (4 - low)
        assert self.verdict(shared, c_dec=LEVEL[:4], s_n=split)["outcome"] == outcome

    def test_a_named_point_with_one_seed_is_a_caveat(self):
        made_up = tables(
            l0=L0[self.FOUR], c_dec=C_DEC[self.FOUR], s_n={400: S_N[self.FOUR]},
            f1={1: F1_GAIN[self.FOUR]}, shared=(0.5,) * 4,
        )  # fmt: skip
        made_up["stability"] = made_up["stability"].query("l0 != 128")
        result = read_study(made_up, d_sae=1536, l0=list(L0[self.FOUR]), training_tokens=1)
        assert result["outcome"] == READ
        assert (
            "There is one seed at L0 128: whether another finds the same latents there is unknown."
            in result["caveats"]
        )

    def test_two_are_too_few_for_all(self):
        few = {"c_dec": C_DEC[:2], "s_n": {400: S_N[:2]}, "f1": {1: F1_GAIN[:2]}}
        assert verdict((0.0, 0.0), L0[:2], **few)["outcome"] == TOO_FEW


def test_points_with_three_pairs_are_found_again_by_their_measured_l0():
    made_up = tables(seeds=(0, 1, 2), shared=at_128(0.2))
    pairs = [made_up["stability"].assign(seed_a=a, seed_b=b) for a, b in ((0, 1), (0, 2), (1, 2))]
    made_up["stability"] = pd.concat(pairs)
    made_up["points"]["l0_measured"] += made_up["points"]["seed"] / 7
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert result["stability"]["pairs"] == [3] * 8
    assert result["decision"]["reproducibility"]["unknown"] == []
    assert result["outcome"] == NOT_REPRODUCIBLE


def test_a_point_without_a_second_seed_is_passed_over():
    made_up = tables(shared=PEAKED)
    made_up["stability"] = made_up["stability"].query("l0 != 8")
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    kept = np.array(L0) != 8
    low, l0, high = interval(np.array(PEAKED)[kept], np.array(L0)[kept])
    decision = result["decision"]
    assert (decision["low"], decision["l0"], decision["high"]) == pytest.approx((low, l0, high))
