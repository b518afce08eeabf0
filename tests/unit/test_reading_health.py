"""Whether the training was long enough: c_dec along it, and what the verdict makes of it."""

import json

import pandas as pd
import pytest

from correct_l0.reading.health import NOT_TRAINED, at_tenth, last_moves, means_at, weak_points
from correct_l0.reading.reading import FLAT, READ, TOO_FEW, TOO_HIGH
from correct_l0.report.study import read_study
from made_up import AT_32, C_DEC, FALLING, L0, LEVEL, RISING, tables

JUMP = C_DEC[0] - C_DEC[5]


def verdict(**made_up):
    result = read_study(tables(**made_up), d_sae=1536, l0=list(L0), training_tokens=1000)
    json.dumps(result, allow_nan=False)
    return result


def all_n(means):
    return {400: means, 500: means, 600: means}


def training(steps, seed=0, l0=8.0, offset=0.0):
    """c_dec = step / 1000 + offset at every tenth of a training."""
    marks = sorted({-(-i * steps // 10) for i in range(1, 11)})
    return pd.DataFrame({"l0": l0, "l0_measured": l0, "seed": seed, "step": marks}).assign(
        c_dec=lambda table: table["step"] / 1000 + offset
    )


@pytest.mark.parametrize(("tenth", "step"), [(1, 124), (5, 617), (9, 1111), (10, 1234)])
def test_tenths_are_rounded_up_to_steps(tenth, step):
    assert at_tenth(training(1234), tenth)["value"].tolist() == [step / 1000]


def test_each_point_has_tenths_of_its_own_training():
    both = pd.concat([training(100), training(50, seed=1)])
    assert at_tenth(both, 5)["value"].tolist() == [0.05, 0.025]
    assert last_moves(both)["moved"].tolist() == pytest.approx([0.01, 0.005])


def test_a_short_training_has_no_nine_tenths_but_an_end():
    assert len(at_tenth(training(9), 9)) == 0
    assert last_moves(training(9))["moved"].isna().all()
    assert at_tenth(training(10), 9)["value"].tolist() == [0.009]


def test_weak_points_are_means_over_seeds_above_their_limits():
    health = pd.DataFrame(
        {
            "l0": [4.0, 4.0, 8.0, 8.0],
            "l0_measured": [3.0, 5.0, 8.0, 8.0],
            "seed": [0, 1, 0, 1],
            "init_cosine_median": [0.4, 0.7, 0.4, 0.6],
            "c_dec_moved": [0.0, 0.2, 0.05, 0.2],
        }
    )
    weak = weak_points(health, [4.0, 8.0])
    assert weak == {"init_cosine": (4.0,), "c_dec_moved": (8.0,), "loss_slope": (), "dead": ()}
    assert means_at(health, "c_dec_moved", [8.0, 4.0]) == [0.125, 0.1]


def test_a_loss_still_falling_is_only_a_caveat():
    # between 64 and 128, on which the reading leans; the curve at 32 does not count
    slope = [0.002] * 3 + [0.05, 0.009, 0.026] + [0.002] * 2
    moved = [*C_DEC[:5], C_DEC[5] + 0.05 * JUMP, *C_DEC[6:]]
    result = verdict(loss_slope=slope, nine_tenths=moved, spread=0)
    assert result["outcome"] == READ
    assert result["caveats"] == [
        "The loss still falls by 0.9% to 2.6% per tenth of training at L0 64 to 128, while c_dec "
        "there moves by 0% to 5% of its whole rise."
    ]
    assert verdict(loss_slope=0.01)["caveats"] == []


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize(("share", "outcome"), [(0.099, READ), (0.101, NOT_TRAINED)])
def test_c_dec_that_moves_by_a_tenth_of_its_jump_is_not_trained_enough(share, outcome, way):
    # |c_dec at the end - c_dec at nine tenths| against the jump, 0.0736 - 0.0330
    before = [*C_DEC[:5], C_DEC[5] + way * share * JUMP, *C_DEC[6:]]
    result = verdict(nine_tenths=before, spread=0)
    assert result["outcome"] == outcome
    assert result["convergence"]["moved_share"][5] == pytest.approx(share)
    if outcome == NOT_TRAINED:
        assert result["headline"] == (
            "Not trained enough to say: at L0 128 c_dec moved by more than 10% of its whole rise "
            "in the last tenth of training. As they stand, the curves would read: L0 about 128 "
            "(between 64 and 192) by c_dec and s_n^dec alone."
        )
        assert result["next"]["line"] == "saes.training.training_tokens: 2000"


@pytest.mark.parametrize(
    ("where", "outcome"), [(3, READ), (4, NOT_TRAINED), (5, NOT_TRAINED), (7, READ)]
)
def test_only_points_that_the_reading_leans_on_must_stand_still(where, outcome):
    before = list(C_DEC)
    before[where] += 0.2 * JUMP
    assert verdict(nine_tenths=before)["outcome"] == outcome


def test_seeds_that_move_in_opposite_ways_do_not_cancel():
    made_up = tables(spread=0)
    training = made_up["c_dec_training"]
    at = (training["l0"] == 128) & (training["step"] == 900)
    training.loc[at, "c_dec"] += training.loc[at, "seed"].map({0: 0.2 * JUMP, 1: -0.2 * JUMP})
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1000)
    assert result["outcome"] == NOT_TRAINED
    assert result["convergence"]["moved_share"][5] == pytest.approx(0.2)


def test_where_c_dec_is_lowest_at_the_start_its_rise_to_the_end_is_the_measure():
    # it rises by 0.066 - 0.036 = 0.03 from L0 4 to 300
    for moved, outcome in ((0.0029, TOO_HIGH), (0.0031, NOT_TRAINED)):
        before = [RISING[0] + moved, *RISING[1:]]
        result = verdict(c_dec=RISING, s_n=all_n(RISING), nine_tenths=before, spread=0)
        assert result["outcome"] == outcome
        assert result["convergence"]["scale"] == pytest.approx(0.03)


def test_a_flat_c_dec_has_nothing_to_hold_its_move_against():
    result = verdict(
        c_dec=LEVEL, s_n=all_n((1.7,) * 8), nine_tenths=(0.04,) * 8, spread=0.02
    )  # fmt: skip
    assert result["outcome"] == FLAT
    assert result["convergence"]["scale"] is None
    assert result["convergence"]["moved"] == pytest.approx([0.01] * 8)
    assert result["convergence"]["moved_share"] == [None] * 8
    assert len(result["training_lines"]) == 1


def test_a_training_of_fewer_than_ten_steps_has_no_last_tenth():
    result = verdict(steps=4, nine_tenths=AT_32, spread=0)
    assert result["outcome"] == READ
    assert result["convergence"]["moved"] == [None] * 8
    assert result["convergence"]["nine_tenths"]["outcome"] == TOO_FEW
    assert "at nine tenths, it would have had too few points" in result["training_lines"][0]


def test_a_reading_that_stood_since_half_of_training_says_so():
    result = verdict(half=[x + 0.002 for x in C_DEC])
    assert result["training_lines"][0] == (
        "Stopped at half or at nine tenths of its training, c_dec would have read L0 128 "
        "(between 64 and 192)."
    )
    assert result["convergence"]["since_half"] == ""
    assert result["caveats"] == []


AT_64 = (0.0736, 0.0647, 0.0571, 0.0489, 0.0330, 0.0390, 0.0420, 0.0440)
AT_192 = (0.0736, 0.0647, 0.0571, 0.0489, 0.0420, 0.0390, 0.0330, 0.0381)


@pytest.mark.parametrize(
    ("half", "way", "stopped", "was"),
    [
        (AT_64, "higher", "read L0 64 (between 32 and 128)", "L0 64"),
        (AT_192, "lower", "read L0 192 (between 128 and 300)", "L0 192"),
        (FALLING, "lower", "still have fallen at the end of the grid", "L0 300 or above"),
        (RISING, "higher", "have been lowest at the start of the grid", "L0 4 or below"),
        (LEVEL, "otherwise", "have been flat", "none (flat)"),
    ],
)
def test_a_minimum_that_still_moves_with_training_is_a_caveat(half, way, stopped, was):
    result = verdict(half=half, nine_tenths=C_DEC)
    assert result["outcome"] == READ
    assert result["convergence"]["since_half"] == way
    assert result["training_lines"][0] == (
        f"Stopped at half of its training, c_dec would {stopped.replace('read', 'have read', 1)}; "
        "at nine tenths, it would have read L0 128 (between 64 and 192)."
    )
    towards = "" if way == "otherwise" else f" towards {way} L0"
    assert result["caveats"] == [
        f"The bottom of c_dec's curve still moves{towards} with training: {was} at half of it, "
        "L0 128 at nine tenths, L0 128 at its end. A longer training may move it on."
    ]
