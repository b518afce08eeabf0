"""Whether two seeds find the same latents: measured worlds, and what the verdict makes of it."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment

from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_FEW
from correct_l0.reading.stability import (
    NOT_REPRODUCIBLE,
    excess_over,
    is_reproducible,
    peaks_of,
    read_stability,
    reproducibility_at,
)
from correct_l0.reading.voices import DISAGREE
from correct_l0.report.study import read_study
from correct_l0.report.summary import render_summary
from made_up import AT_32, C_DEC, F1_GAIN, FALLING, L0, LEVEL, S_N, tables

HALF = (0.5,) * 8


def at(x, value, otherwise=0.5):
    """One value at some of the L0 points, another elsewhere."""
    return tuple(value if l0 in x else otherwise for l0 in L0)


def all_n(means):
    return {400: means, 500: means, 600: means}


def verdict(l0=L0, d_sae=1536, **made_up):
    result = read_study(tables(l0=l0, **made_up), d_sae=d_sae, l0=list(l0), training_tokens=1000)
    json.dumps(result, allow_nan=False)
    return result


def chance(d_sae, d_in, pairs=4):
    """Mean cosine of random decoders, matched by scipy."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(pairs):
        a, b = (rng.normal(size=(d_sae, d_in)) for _ in range(2))
        cosines = (a / np.linalg.norm(a, axis=1)[:, None]) @ (b.T / np.linalg.norm(b, axis=1))
        means.append(cosines[linear_sum_assignment(-cosines)].mean())
    return float(np.mean(means))


@pytest.fixture(scope="module")
def minilm_chance():
    return chance(768, 384, pairs=1)


def excess(pw_mcc, by_chance):
    return float(excess_over(pd.Series([pw_mcc]), pd.Series([by_chance]))[0])


def test_chance_of_the_default_study_is_known(minilm_chance):
    assert minilm_chance == pytest.approx(0.154, abs=0.002)


# What was measured with two seeds: mean matched cosine, share of latents matched above 0.9. Where
# only one of them was, the other is given its worst: a share of 0, the cosine of chance.
@pytest.mark.parametrize(
    ("d_sae", "d_in", "pw_mcc", "share"),
    [
        pytest.param(100, 128, 0.978, 0.0, id="100 independent features, L0 11"),
        pytest.param(50, 100, 0.986, 0.0, id="50 correlated features, L0 6"),
        pytest.param(100, 100, None, 0.50, id="twice as many latents as features, L0 11"),
        # independent, probabilities .075 to .005, true L0 8; 4M samples, lr 1e-3, batches of 1024
        pytest.param(200, 64, 0.738, 0.605, id="200 features in 64 dimensions, L0 8"),
        pytest.param(200, 64, 0.738, 0.0, id="their cosine alone"),
        pytest.param(768, 384, None, 0.776, id="MiniLM's own codes, L0 16"),
        pytest.param(768, 384, None, 0.475, id="MiniLM's own codes, L0 64"),
        pytest.param(768, 384, 0.689, 0.382, id="the same and its residual, L0 64"),
        pytest.param(768, 384, 0.689, 0.0, id="its cosine alone"),
        pytest.param(768, 384, None, 0.382, id="its share alone"),
    ],
)
def test_worlds_of_known_truth_are_reproducible_at_the_right_l0(d_sae, d_in, pw_mcc, share):
    by_chance = chance(d_sae, d_in, pairs=1)
    assert is_reproducible(share, excess(by_chance if pw_mcc is None else pw_mcc, by_chance))


@pytest.mark.parametrize(
    ("pw_mcc", "share"),
    [
        pytest.param(0.509, 0.061, id="default study, L0 64"),
        pytest.param(0.378, 0.010, id="default study, L0 128"),
        pytest.param(0.322, 0.002, id="default study, L0 160"),
        pytest.param(0.246, 0.002, id="default study, L0 220"),
        pytest.param(0.470, 0.05, id="six times as long, L0 128"),
        pytest.param(0.257, 0.00, id="six times as long, L0 220"),
        pytest.param(0.497, 0.066, id="codes and residual of L0 64, read at 128"),
    ],
)
@pytest.mark.parametrize("by_chance", [0.154, 0.18])
def test_what_no_two_seeds_find_is_refused(pw_mcc, share, by_chance):
    assert not is_reproducible(share, excess(pw_mcc, by_chance))


def test_where_c_dec_is_lowest_for_200_features_in_64_dimensions_seeds_disagree():
    # c_dec .0903, .0899, .0898, .0759 at L0 5, 8, 12, 25; the truth is 8
    assert not is_reproducible(0.035, excess(0.497, chance(200, 64)))


def measured(rows):
    return pd.DataFrame(
        [(l0, l0, 0, 1, pw_mcc, share, 0.154) for l0, pw_mcc, share in rows],
        columns=["l0", "l0_measured", "seed_a", "seed_b", "pw_mcc", "share_above", "chance_pw_mcc"],
    )


# L0 4, 64, 128 and 220 as measured; 96 and 160 lie between them.
DEFAULT = measured([
    (4, 0.752, 0.427), (64, 0.509, 0.061), (96, 0.435, 0.03), (128, 0.378, 0.010),
    (160, 0.322, 0.002), (220, 0.246, 0.002),
])  # fmt: skip


def test_the_default_studys_answer_of_110_is_refused():
    reading = read_stability(DEFAULT)
    named = reproducibility_at(reading, [96, 128, 160, 220])
    assert named.differing == (96, 128, 160, 220)
    assert named.pw_mcc == (0.435, 0.378, 0.322, 0.246)
    assert reproducibility_at(reading, [4]).differing == ()
    assert [(p.l0, p.at_start) for p in reading.share_peaks] == [(4, True)]


def test_the_local_peak_at_the_truth_is_told_from_the_branch_at_low_l0():
    # MiniLM's codes of L0 64 with their residual; recovered: .016 .121 .499 .077
    rows = [(4, 0.763, 0.484), (16, 0.633, 0.326), (64, 0.689, 0.382), (128, 0.497, 0.066)]
    low, truth = read_stability(measured(rows)).share_peaks
    assert (low.l0, low.value, low.at_start) == (4, 0.484, True)
    assert (truth.l0, truth.value, truth.at_start, truth.at_end) == (64, 0.382, False, False)
    assert truth.prominence == pytest.approx(0.382 - 0.326)


def test_peaks_of_a_level_top_of_the_end_and_of_a_constant():
    points = np.array([1.0, 2, 4, 8, 16])
    top, end = peaks_of(points, np.array([0.22, 0.62, 0.62, 0.1, 0.3]))
    assert (top.l0, top.prominence) == (2, pytest.approx(0.52))
    assert (end.l0, end.at_end, end.prominence) == (16, True, pytest.approx(0.2))
    assert peaks_of(points, np.full(5, 0.5)) == ()


def test_pairs_of_seeds_are_averaged_with_their_range():
    table = pd.DataFrame(
        {
            "l0": [8.0, 8.0, 8.0, 4.0],
            "l0_measured": [8.0, 8.0, 8.0, 4.0],
            "pw_mcc": [0.5, 0.6, 1.0, 0.2],
            "share_above": [0.1, 0.2, 0.6, 0.0],
            "chance_pw_mcc": [0.2] * 4,
        }
    )
    reading = read_stability(table)
    assert (reading.points, reading.pairs) == ((4, 8), (1, 3))
    assert reading.share.means == pytest.approx((0, 0.3))
    assert (reading.share.lows, reading.share.highs) == ((0, 0.1), (0, 0.6))
    # (.5 - .2) / .8 = .375, (.6 - .2) / .8 = .5, 1
    assert reading.excess.means == pytest.approx((0, 0.625))


def test_an_answer_that_seeds_share_stands_and_says_so():
    result = verdict(shared=at((128,), 0.6))
    assert result["outcome"] == READ
    assert result["headline"] == "L0 about 128 (between 64 and 192)."
    assert result["caveats"] == []
    assert result["stability_lines"] == [
        "Another seed finds most of the same latents at L0 128 (60% matched above 0.9).",
        "At the L0 named (128) 60% of the latents come back (mean cosine 0.66, by chance 0.15).",
    ]
    summary = render_summary(result, "report.html", "title", [])
    assert "  At the L0 named (128) 60%" in summary


@pytest.mark.parametrize(("share", "outcome"), [(0.25, READ), (0.24, NOT_REPRODUCIBLE)])
def test_a_quarter_of_the_latents_has_to_come_back(share, outcome):
    # an excess of .25 or .24: only the share can carry it
    assert verdict(shared=at((128,), share))["outcome"] == outcome


def test_no_number_is_named_where_seeds_disagree():
    result = verdict(shared=at((128, 192, 300), 0.01))
    assert result["outcome"] == NOT_REPRODUCIBLE
    assert result["headline"] == (
        "Not reproducible: at L0 128 two seeds do not find the same latents (1% matched above "
        "0.9; mean cosine 0.16, by chance 0.15). No L0 is named. Train longer or narrower."
    )
    decision = result["decision"]
    assert (decision["l0"], decision["low"], decision["high"]) == (None, None, None)
    assert decision["as_it_stands"] == READ
    assert result["agreement"].startswith("There is no interval")
    assert result["next"] == {
        "sentence": "Train longer (for example on 4,000 tokens) or use fewer latents (for example "
        "768).",
        "line": "saes.training.training_tokens: 4000",
    }
    assert decision["add_l0"] == []


@pytest.mark.parametrize("where", [4, 64, 192])
def test_only_the_points_that_an_answer_names_have_to_be_reproducible(where):
    # 64 is the last point on the rise, 192 bounds the answer from above: neither is called right
    assert verdict(shared=at((where,), 0.0))["outcome"] == READ


def test_curves_that_fall_to_the_end_are_not_reproducible_if_their_last_point_is_not():
    falling = {"c_dec": FALLING, "s_n": all_n(FALLING)}
    result = verdict(shared=at((300,), 0.0), **falling)
    assert (result["outcome"], result["decision"]["as_it_stands"]) == (NOT_REPRODUCIBLE, FALLS)
    assert "Extend" not in result["headline"]
    assert verdict(shared=at((192,), 0.0), **falling)["outcome"] == FALLS


@pytest.mark.parametrize(("few", "outcome"), [(4, FLAT), (5, NOT_REPRODUCIBLE)])
def test_flat_curves_are_not_reproducible_if_most_points_are_not(few, outcome):
    flat = {"c_dec": LEVEL, "s_n": all_n((1.7,) * 8), "spread": 0.02}
    result = verdict(shared=at(L0[:few], 0.0), **flat)
    assert result["outcome"] == outcome


def test_metrics_that_disagree_are_not_overruled_by_one_of_the_points_between_them():
    # c_dec says 32, s_n^dec 128; between them lies 64
    result = verdict(c_dec=AT_32, shared=at((128,), 0.0))
    assert result["outcome"] == DISAGREE
    assert result["caveats"][0].startswith("At L0 128 two seeds do not find the same latents (0%")
    assert verdict(c_dec=AT_32, shared=at((64, 128), 0.0))["outcome"] == NOT_REPRODUCIBLE


def test_training_health_comes_first():
    result = verdict(init_cosine=0.6, shared=(0.0,) * 8)
    assert result["outcome"] == NOT_TRAINED
    assert "two seeds do not find the same latents" in result["caveats"][0]


def test_too_few_points_stay_too_few():
    few = {"c_dec": C_DEC[:2], "s_n": {400: S_N[:2]}, "f1": {1: F1_GAIN[:2]}}
    result = verdict(l0=L0[:2], shared=(0.0, 0.0), **few)
    assert result["outcome"] == TOO_FEW
    assert result["stability_lines"] == [
        "No latent of one seed is found by another (matched above 0.9) at any L0."
    ]


def test_one_seed_cannot_tell_and_says_so():
    result = verdict(seeds=(0,))
    assert result["outcome"] == READ
    assert result["stability"] is None
    assert (
        "Whether another seed finds the same latents is unknown: add one to saes.seeds."
        in result["caveats"]
    )
    assert not any("another seed" in line for line in verdict()["caveats"])


def test_a_named_point_with_one_seed_is_a_caveat():
    made_up = tables(shared=HALF)
    made_up["stability"] = made_up["stability"].query("l0 != 128")
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert result["outcome"] == READ
    assert result["caveats"] == [
        "There is one seed at L0 128: whether another finds the same latents there is unknown."
    ]


def test_points_with_three_pairs_are_found_again_by_their_measured_l0():
    made_up = tables(seeds=(0, 1, 2), shared=at((128,), 0.0))
    pairs = [made_up["stability"].assign(seed_a=a, seed_b=b) for a, b in ((0, 1), (0, 2), (1, 2))]
    made_up["stability"] = pd.concat(pairs)
    made_up["points"]["l0_measured"] += made_up["points"]["seed"] / 7
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert result["stability"]["pairs"] == [3] * 8
    assert result["decision"]["reproducibility"]["unknown"] == []
    assert result["outcome"] == NOT_REPRODUCIBLE


def test_a_peak_elsewhere_is_a_caveat_unless_it_is_the_grids_start():
    result = verdict(shared=at((32,), 0.8))
    assert result["outcome"] == READ
    assert result["caveats"] == [
        "The latents that come back with another seed peak at L0 32, outside the interval named."
    ]
    result = verdict(shared=at((4,), 0.8))
    assert result["caveats"] == []
    assert result["stability_lines"][0] == (
        "Another seed finds most of the same latents at L0 4, its start (80% matched above 0.9); "
        "at an L0 of a few it is high for reasons of its own."
    )
