"""The answer after each tenth of the training, read like that of the end."""

import math

import numpy as np
import pandas as pd
import pytest

from correct_l0.reading.course import FEW_POINTS, NO_TRAINING, NOT_KEPT, ONE_SEED, at_tenth_of_seeds
from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import FALLS, READ
from correct_l0.report.study import read_study
from made_up import C_DEC, F1_GAIN, L0, PEAKED, S_N, interval, tables

LATER = (0.0, 0.3, 0.5, 0.8, 0.5, 0.2, 0.1, 0.0)
"""Shares with a peak at L0 32, further down than that of `PEAKED`."""


def made_up(shares, init_cosines=(0.2,) * 10, **given):
    """Tables of a study whose seeds share, after each tenth, the given shares by L0."""
    found = tables(shared=shares[-1], **given)
    found["c_dec"] = found["c_dec"].assign(random=0.0407)
    training = found["c_dec_training"]
    tenth = training["step"] * 10 // training["step"].max()
    found["c_dec_training"] = training.assign(
        init_cosine_median=tenth.map(dict(enumerate(init_cosines, 1)))
    )
    final, steps = found["stability"], training["step"].max()
    found["stability_training"] = pd.concat(
        final.assign(
            step=i * steps // 10, tokens=i * steps,
            share_above=share, reproduced_share=share, pw_mcc=0.15 + 0.85 * np.array(share),
        )
        for i, share in enumerate(shares, 1)
    )  # fmt: skip
    return found


def course_of(found):
    verdict = read_study(found, d_sae=1536, l0=list(L0), training_tokens=1000)
    return verdict["course"], verdict


def test_the_last_tenth_is_the_answer_and_earlier_ones_are_read_alike():
    course, verdict = course_of(made_up([LATER] * 6 + [PEAKED] * 4, c_dec=(0.04,) * 8))
    stops = course["stops"]
    assert [stop["tenth"] for stop in stops] == list(range(1, 11))
    decision = verdict["decision"]
    assert decision["outcome"] == READ
    last = {name: stops[-1][name] for name in ("outcome", "l0", "low", "high")}
    assert last == {name: decision[name] for name in last}
    for stop in stops:
        low, l0, high = interval(LATER if stop["tenth"] < 7 else PEAKED)
        assert (stop["l0"], stop["low"], stop["high"]) == pytest.approx((l0, low, high))
    assert verdict["course_line"] == (
        "Had the training ended earlier, the answer would have been: L0 about 30 after 10% to "
        "60% of it; L0 about 120 after 70% to 100%."
    )


def test_decoders_near_their_start_refuse_then_as_they_would_at_the_end():
    cosines = (0.9, 0.8, 0.6) + (0.4,) * 7
    course, verdict = course_of(made_up([PEAKED] * 10, cosines, c_dec=(0.04,) * 8))
    assert [stop["outcome"] for stop in course["stops"]] == [NOT_TRAINED] * 3 + [READ] * 7
    assert course["stops"][0]["l0"] is None
    # Where seeds agreed best is known all the same.
    assert course["stops"][0]["place"] == pytest.approx(interval(PEAKED)[1])
    assert "none (not trained enough) after 10% to 30% of it; L0 about" in verdict["course_line"]


def test_a_move_of_c_dec_counts_by_the_part_of_the_last_tenth_of_a_shorter_training():
    """Up to half of the training c_dec falls by 1% of its end per tenth of it, then stands."""
    fall = tuple(1.5 * x for x in C_DEC)
    rising = tuple(0.1 * (i + 1) for i in range(8))
    found = made_up([rising] * 10, half=fall, nine_tenths=fall, spread=0)
    training = found["c_dec_training"]
    found["c_dec"] = found["c_dec"].assign(random=1.0)
    ends = dict(zip(L0, C_DEC, strict=True))
    jump = C_DEC[0] - C_DEC[5]
    tenth = training["step"] * 10 // training["step"].max()
    # Down by 0.15 of the jump from the 5th to the 6th tenth: 0.6 of that is in the last tenth of a
    # training of six, 0.09 and below the limit of 0.1; from the 8th to the 9th, 0.9: 0.135.
    above = 0.15 * jump * ((tenth < 6).astype(float) + (tenth < 9).astype(float))
    found["c_dec_training"] = training.assign(c_dec=training["l0"].map(ends) + above)
    course, _ = course_of(found)
    outcomes = {stop["tenth"]: stop["outcome"] for stop in course["stops"]}
    assert outcomes == {
        **dict.fromkeys(range(1, 11), FALLS),
        # Before the first tenth it is that of random directions, here 1: far away.
        1: NOT_TRAINED,
        9: NOT_TRAINED,
    }


def test_without_a_peak_nothing_is_named():
    level = tuple(0.8 - 0.1 * i for i in range(8))
    course, verdict = course_of(made_up([level] * 5 + [PEAKED] * 5, c_dec=(0.04,) * 8))
    assert [stop["outcome"] for stop in course["stops"][:5]] == [NO_PEAK] * 5
    # They agree best at the grid's start, of L0 4.
    assert course["stops"][0]["place"] == pytest.approx(4 * 1.003)
    assert "none (no peak) after 10% to 50% of it; L0 about" in verdict["course_line"]


def test_a_tenth_that_some_saes_did_not_keep_is_left_out():
    found = made_up([PEAKED] * 10, c_dec=(0.04,) * 8)
    along = found["stability_training"]
    found["stability_training"] = along[~((along["step"] == 300) & (along["l0"] == 16))]
    course, _ = course_of(found)
    assert [stop["tenth"] for stop in course["stops"]] == [1, 2, *range(4, 11)]
    # An L0 whose SAEs kept nothing leaves nothing to read.
    found["stability_training"] = along[along["l0"] != 16]
    assert course_of(found)[0] == {"stops": [], "unknown": NOT_KEPT}


@pytest.mark.parametrize(
    ("given", "unknown", "why"),
    [
        ({"shared": PEAKED}, NOT_KEPT, "no decoders were kept along the training (saes.snapshots"),
        ({"seeds": (0,)}, ONE_SEED, "it takes a second seed"),
        (
            {
                "l0": L0[:4],
                "c_dec": C_DEC[:4],
                "s_n": {400: S_N[:4]},
                "f1": {1: F1_GAIN[:4]},
                "shared": PEAKED[:4],
            },
            FEW_POINTS,
            "the agreement of seeds is read from 5 L0 on",
        ),
    ],
)
def test_what_is_not_known_is_said(given, unknown, why):
    course, verdict = course_of(tables(**given))
    assert course == {"stops": [], "unknown": unknown}
    start = "What the answer would have been with less training is not known: "
    assert verdict["course_line"].startswith(start + why)


def test_saes_that_were_not_trained_here():
    found = tables(shared=PEAKED)
    found["c_dec_training"] = found["c_dec_training"].iloc[:0]
    course, verdict = course_of(found)
    assert course["unknown"] == NO_TRAINING
    assert "these SAEs were not trained here" in verdict["course_line"]


def test_each_l0_has_tenths_of_its_own_training():
    along = pd.DataFrame({"l0": [4.0, 4.0, 8.0, 8.0], "step": [617, 1234, 5, 9]})
    assert at_tenth_of_seeds(along, 5)["step"].tolist() == [617, 5]
    assert at_tenth_of_seeds(along, 10)["step"].tolist() == [1234, 9]
    assert math.ceil(9 * 5 / 10) == 5
