"""Reading F1 over L0: peak, its set and what is not resolved."""

import numpy as np
import pandas as pd
import pytest

from correct_l0.reading.f1 import FLAT_F1, NO_SCORES, PEAK, read_f1


def scores(effect, tasks=40, seeds=1, noise=0.02, random_state=0):
    """F1 per task: a task's own level, the L0's effect, and independent noise."""
    rng = np.random.default_rng(random_state)
    level = rng.uniform(0.5, 0.9, tasks)
    return pd.DataFrame(
        [
            (l0, l0 * 1.0, seed, f"task{t}", 16, level[t] + gain + rng.normal(0, noise))
            for l0, gain in effect.items()
            for seed in range(seeds)
            for t in range(tasks)
        ],
        columns=["l0", "l0_measured", "seed", "task", "probe_k", "f1"],
    )


def test_f1_peak_is_paired_over_tasks():
    # tasks differ by up to 0.4, points by 0.05: only pairing resolves them
    reading = read_f1(scores({4: -0.05, 16: 0.0, 64: 0.0, 256: -0.05}), 16)
    assert reading.outcome == PEAK
    assert reading.peak in (16, 64)
    assert reading.peak_set == (16, 64)
    assert reading.tasks == 40
    assert reading.lows[0] < reading.means[0] < reading.highs[0]


def test_f1_resolution_is_twice_the_standard_error_of_a_paired_difference():
    # noise 0.02 on both sides: sqrt(2) * 0.02 / sqrt(400) = 0.00141, twice that is 0.0028
    effect = {4: -0.1, 8: -0.1, 16: 0.0}
    assert read_f1(scores(effect, tasks=400), 16).resolution == pytest.approx(0.0028, rel=0.1)


@pytest.mark.parametrize(("below", "peak_set"), [(0.0035, (4, 8)), (0.0045, (8,))])
def test_f1_set_ends_at_two_standard_errors(below, peak_set):
    # 100 paired differences of below +- 0.02, half each: their mean has standard error 0.002
    rows = [
        (l0, float(l0), 0, f"task{t}", 16, 0.7 + (0.04 * (t % 2) - 0.02 - below) * (l0 == 4) + gain)
        for l0, gain in ((4, 0.0), (8, 0.0), (16, -0.3))
        for t in range(100)
    ]
    columns = ["l0", "l0_measured", "seed", "task", "probe_k", "f1"]
    assert read_f1(pd.DataFrame(rows, columns=columns), 16).peak_set == peak_set


def test_f1_that_does_not_move_is_flat():
    assert read_f1(scores({4: 0.0, 16: 0.001, 64: 0.0, 256: 0.0}), 16).outcome == FLAT_F1


def test_f1_spread_over_seeds_counts():
    table = scores({4: -0.02, 16: 0.0, 64: -0.02}, seeds=2, noise=1e-4)
    assert read_f1(table, 16).outcome == PEAK
    swing = {(4, 0): 0.1, (4, 1): -0.1, (16, 0): -0.1, (16, 1): 0.1, (64, 0): 0.1, (64, 1): -0.1}
    table["f1"] += [swing[key] for key in zip(table["l0"], table["seed"], strict=True)]
    assert read_f1(table, 16).outcome == FLAT_F1


def test_f1_compares_only_tasks_that_every_l0_has():
    table = scores({4: 0.0, 16: 0.0, 64: 0.0}, noise=0)
    table = table[~((table["task"] == "task0") & (table["l0"] == 4))]
    reading = read_f1(table, 16)
    assert reading.tasks == 39
    assert reading.spread == pytest.approx(0)


def test_f1_without_scores():
    assert read_f1(scores({4: 0.0, 16: 0.0}), 1).outcome == NO_SCORES
