"""The L0 of best recovery, the true L0, and where an answer lies against them."""

import json

import pandas as pd
import pytest

from correct_l0.reading.recovery import (
    ABOVE,
    BELOW,
    INSIDE,
    place_of,
    read_recovery,
)
from correct_l0.reading.verdict import Decision
from correct_l0.report.study import read_study
from correct_l0.report.summary import render_summary
from made_up import AT_32, L0, tables

MCC = (0.3, 0.4, 0.5, 0.6, 0.8, 0.95, 0.9, 0.7)


def recovery(mcc=MCC, l0=L0, seeds=(0, 1)):
    """Two seeds that differ by 0.002 at every point, and are alike where features are counted."""
    return pd.DataFrame(
        [
            (x, x * 1.003, seed, value + 0.002 * seed, value**2)
            for x, value in zip(l0, mcc, strict=True)
            for seed in seeds
        ],
        columns=["l0", "l0_measured", "seed", "mcc", "share_recovered"],
    )


def verdict(true_l0=None, mcc=MCC, **made_up):
    found = tables(**made_up) | {"recovery": recovery(mcc)}
    result = read_study(found, d_sae=1536, l0=list(L0), training_tokens=1000, true_l0=true_l0)
    json.dumps(result, allow_nan=False)
    return result


def answer(l0, low, high):
    return Decision("read", (), l0=l0, low=low, high=high)


def test_the_best_grid_point_its_neighbours_and_what_is_level_with_it():
    reading = read_recovery(recovery())
    assert (reading.low, reading.best, reading.high) == pytest.approx((64.192, 128.384, 192.576))
    assert reading.best_set == (reading.best,)
    assert reading.mcc[5] == pytest.approx(0.951)
    assert reading.recovered[5] == pytest.approx(0.9025)
    assert not reading.at_end


@pytest.mark.parametrize(
    ("at_8", "level"), [([0.92, 0.96], (8, 16)), ([0.91, 0.95], (16,))], ids=["level", "lower"]
)
def test_points_within_two_standard_errors_are_level(at_8, level):
    # Paired differences 0.03 and -0.01 (0.04 and 0): variance 0.0008 with weight 1, a typical one
    # of 0 with weight 8; over 2 seeds two standard errors are 2 sqrt(0.0008 / 9 / 2) = 0.0133.
    table = pd.DataFrame(
        {
            "l0": [4.0, 4.0, 8.0, 8.0, 16.0, 16.0, 32.0, 32.0],
            "seed": [0, 1] * 4,
            "mcc": [0.5, 0.5, *at_8, 0.95, 0.95, 0.7, 0.7],
            "share_recovered": 1.0,
        }
    ).assign(l0_measured=lambda rows: rows["l0"])
    assert read_recovery(table).best_set == level


@pytest.mark.parametrize("mcc", [(0.9, 0.8, 0.7), (0.7, 0.8, 0.9)])
def test_a_best_point_at_an_end_of_the_grid_says_so(mcc):
    reading = read_recovery(recovery(mcc, l0=(4.0, 8.0, 16.0)))
    assert reading.at_end
    assert reading.best in (reading.low, reading.high)


@pytest.mark.parametrize(
    ("decision", "best", "true"),
    [
        (answer(128, 64, 192), INSIDE, INSIDE),
        (answer(128, 64, 150), INSIDE, ABOVE),
        (answer(32, 16, 64), ABOVE, ABOVE),
        (answer(300, 192, 300), BELOW, INSIDE),
    ],
)
def test_where_an_answer_lies(decision, best, true):
    place = place_of(decision, read_recovery(recovery()), true_l0=192.0)
    assert (place.best_recovery, place.true_l0) == (best, true)
    assert place.ratio == pytest.approx(decision.l0 / 128.384)


def test_an_answer_that_names_nothing_lies_nowhere():
    assert place_of(Decision("flat", ()), read_recovery(recovery())) is None
    assert place_of(answer(8, 4, 16), read_recovery(recovery())).true_l0 is None


def test_the_page_and_the_summary_hold_the_answer_against_the_truth():
    result = verdict(true_l0=120.0)
    assert result["truth_line"] == (
        "The features are known: recovered best at L0 128 (mean cosine 0.951, 90% of them above "
        "0.9); the true L0 is 120. Both lie inside the hint's interval, 64 to 192."
    )
    assert f"  {result['truth_line']}" in render_summary(result, "report.html", "title", [])
    assert verdict()["truth_line"].endswith("That lies inside the hint's interval, 64 to 192.")
    assert verdict(true_l0=250.0)["truth_line"].endswith(
        "The first lies inside the hint's interval, 64 to 192, the second above it."
    )
    assert verdict(true_l0=120.0, c_dec=AT_32)["truth_line"].endswith(
        "the true L0 is 120. No L0 is named that could be held against that."
    )


@pytest.mark.parametrize(
    ("true_l0", "words"),
    [
        (120.0, "It lies inside the hint's interval, 64 to 192."),
        (34.04, "It lies below the hint's interval, 64 to 192."),
        (250.0, "It lies above the hint's interval, 64 to 192, and an SAE of fewer latents than "
         "there are features may be right below it."),
    ],
)  # fmt: skip
def test_a_true_l0_that_a_person_tells_is_held_against_the_answer(true_l0, words):
    result = read_study(tables(), d_sae=1536, l0=list(L0), training_tokens=1000, true_l0=true_l0)
    told = f"The true L0 is {true_l0:.3g}, as saes.import.true_l0 tells. {words}"
    assert result["truth_line"] == told and result["true_l0"] == true_l0
    assert f"  {told}" in render_summary(result, "report.html", "title", [])


def test_the_truth_has_no_say():
    elsewhere = verdict(true_l0=6.0, mcc=tuple(reversed(MCC)))
    known = verdict()
    assert elsewhere["decision"] == known["decision"]
    assert elsewhere["caveats"] == known["caveats"]
    assert "recovered best at L0 16" in elsewhere["truth_line"]
    assert elsewhere["truth_line"].endswith("Both lie below the hint's interval, 64 to 192.")


def test_without_a_truth_nothing_is_said():
    result = read_study(tables(), d_sae=1536, l0=list(L0), training_tokens=1000)
    assert (result["recovery"], result["truth_line"]) == (None, None)
