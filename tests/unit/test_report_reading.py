"""Reading single curves: numbers one can check by hand, and the curves that are known."""

import numpy as np
import pandas as pd
import pytest

from correct_l0.report.curve import (
    Curve,
    curve_of,
    pair_error,
    robust_mean_square,
    roughness,
    typical_variance,
)
from correct_l0.report.f1 import FLAT_F1, NO_SCORES, PEAK, read_f1
from correct_l0.report.reading import (
    BOUNDED,
    FALLS,
    FLAT,
    READ,
    TOO_FEW,
    TOO_HIGH,
    highest_readable_l0,
    read_curve,
)

MINILM_L0 = [4, 8, 16, 32, 64, 128, 192, 300]
MINILM_C_DEC = [0.0736, 0.0647, 0.0571, 0.0489, 0.0397, 0.0330, 0.0349, 0.0381]
MINILM_S_48 = [3.26, 2.99, 2.60, 2.24, 1.90, 1.65, 1.68, 1.77]


def curve(values, l0=None, batch_error=0.0, measured=None):
    """A curve from one list per L0 point (one value per seed)."""
    values = np.array(values, dtype=float)
    if values.ndim == 1:
        values = values[:, None]
    l0 = np.array(l0 if l0 is not None else 2.0 ** np.arange(2, 2 + len(values)), dtype=float)
    measured = l0 if measured is None else np.array(measured, dtype=float)
    return Curve("m", l0, measured, values, np.full(len(values), batch_error))


def with_seeds(means, spread=0.01, seeds=3, random_state=0):
    """The same curve for several seeds, with independent noise."""
    noise = np.random.default_rng(random_state).normal(0, spread, (len(means), seeds))
    return np.array(means, dtype=float)[:, None] + noise


def test_minilm_minimum_at_128_and_elbow_between_64_and_128():
    reading = read_curve(curve(MINILM_C_DEC, MINILM_L0))
    assert reading.outcome == READ
    assert reading.minimum == 128
    assert (reading.elbow_low, reading.elbow_high) == (64, 128)
    assert (reading.low, reading.best, reading.high) == (64, 128, 192)
    assert reading.jump == pytest.approx(0.0406)
    # 10% of the jump above the minimum is 0.03706: 0.394 of the way from 64 to 128 on log L0
    share = (0.0397 - 0.03706) / (0.0397 - 0.0330)
    assert reading.elbow == pytest.approx(64 * 2**share)
    assert reading.noise == "roughness"
    assert reading.seeds == 1


def test_minilm_s_48_reads_the_same_where_it_can_be_read():
    assert read_curve(curve(MINILM_S_48, MINILM_L0)).best == 128
    short = read_curve(curve(MINILM_S_48, MINILM_L0), highest_readable_l0(48))
    assert short.outcome == BOUNDED
    assert short.points == (4, 8, 16, 32)
    assert short.not_read == (64, 128, 192, 300)


def test_undertrained_minilm_falls_to_the_end_of_the_grid():
    reading = read_curve(curve([0.066, 0.064, 0.061, 0.056, 0.051, 0.046], MINILM_L0[:6]))
    assert reading.outcome == FALLS
    assert reading.minimum == 128


def test_toy_elbow_and_minimum_at_11():
    k = np.arange(1, 26)
    c_dec = np.where(k < 11, 0.0017 + 0.012 * (11 - k), 0.0017 + 0.004 * (k - 11))
    reading = read_curve(curve(with_seeds(c_dec, 0.0003, seeds=5), k))
    assert (reading.minimum, reading.best) == (11, 11)
    assert 10 <= reading.elbow <= 11
    assert (reading.low, reading.high) == (10, 12)


def test_a_shallow_valley_is_read_at_its_elbow_not_at_its_minimum():
    l0 = [10, 40, 80, 120, 160, 200, 240, 300, 500, 1000, 2000]
    means = [1.0, 0.8, 0.6, 0.4, 0.2, 0.055, 0.05, 0.045, 0.03, 0.0, 0.2]
    reading = read_curve(curve(with_seeds(means, 0.001), l0))
    assert reading.outcome == READ
    assert reading.minimum == 1000
    assert (reading.elbow_low, reading.elbow_high) == (160, 200)
    assert (reading.low, reading.best, reading.bottom, reading.high) == (160, 200, 200, 240)


def test_a_valley_that_is_level_to_the_end_of_the_grid_is_read_and_marked_open():
    means = [1.0, 0.6, 0.3, 0.1, 0.1, 0.1, 0.0999]
    reading = read_curve(curve(means, batch_error=0.01))
    assert (reading.outcome, reading.best, reading.minimum) == (READ, 32, 256)
    assert reading.open_end
    assert not read_curve(curve([*means, 0.5], batch_error=0.01)).open_end
    falling = read_curve(curve(with_seeds([1.0, 0.6, 0.3, 0.19, 0.16, 0.13, 0.10], 0.001)))
    assert falling.outcome == FALLS


def test_flat_needs_a_jump_below_three_standard_errors():
    # noise 0.05 over 3 seeds: a difference has error 0.05 * sqrt(2 / 3) = 0.04, three are 0.12
    assert read_curve(curve(with_seeds([1.0] * 8, 0.05))).outcome == FLAT
    assert read_curve(curve(with_seeds([1.2, *[1.0] * 7], 0.05, random_state=1))).outcome == READ


def test_three_standard_errors_by_hand():
    # one seed, no batches: the error is that of the batches alone, 0.03 and 0.04 give 0.05
    values, errors = [[1.149], [1.0], [1.0], [1.2]], np.array([0.03, 0.04, 0.04, 0.03])
    below = Curve("m", *(np.array([4.0, 8, 16, 32]),) * 2, np.array(values), errors)
    assert below.seeds == 1
    assert read_curve(below).jump_error == pytest.approx(0.05)
    assert read_curve(below).outcome == TOO_HIGH  # 0.149 < 3 * 0.05, and the right side rises
    values[0] = [1.151]
    above = Curve("m", *(np.array([4.0, 8, 16, 32]),) * 2, np.array(values), errors)
    assert read_curve(above).outcome == READ


def test_minimum_at_the_lowest_l0_starts_too_high():
    reading = read_curve(curve(with_seeds([0.1, 0.2, 0.4, 0.8], 0.001)))
    assert reading.outcome == TOO_HIGH
    assert reading.minimum == 4


def test_minimum_set_holds_points_within_two_standard_errors():
    # paired differences from the minimum (third point): constant over seeds, so their own variance
    # is zero and the typical variance is zero too; the batches give sqrt(2) * 0.01 each
    values = [[3.0, 3.5], [1.02, 1.52], [1.0, 1.5], [1.03, 1.53], [2.0, 2.5]]
    reading = read_curve(curve(values, batch_error=0.01))
    assert reading.minimum_set == (8, 16)


def test_seed_offsets_common_to_all_points_cancel():
    steady = [[3.0, 9.0], [2.0, 8.0], [1.0, 7.0], [1.5, 7.5]]
    assert typical_variance(curve(steady)) == 0
    assert pair_error(curve(steady), 0, 2, 0.0) == 0


def test_typical_variance_recovers_the_noise_and_survives_a_stuck_sae():
    means = np.linspace(2, 1, 25)
    values = with_seeds(means, 0.1, seeds=5)
    assert typical_variance(curve(values, np.arange(1, 26))) == pytest.approx(0.01, rel=0.35)
    values[3, 2] += 50
    assert typical_variance(curve(values, np.arange(1, 26))) == pytest.approx(0.01, rel=0.5)


def test_roughness_recovers_independent_noise():
    noise = np.random.default_rng(0).normal(0, 1, 4000)
    assert roughness(np.arange(4000.0), noise).std() == pytest.approx(1, rel=0.05)


def test_robust_mean_square_cuts_outliers():
    # median 1, cut at 3 * 1.4826: (3 * 1 + 4.4478**2) / 4, times 6 / (6 - 2)
    deviations = np.array([1.0, -1.0, 1.0, 100.0])
    expected = (3 + (3 * 1.4826) ** 2) / 4 * 1.5
    assert robust_mean_square(deviations, 6) == pytest.approx(expected)


def test_flat_curves_are_rarely_read_as_anything_else():
    rng = np.random.default_rng(1)
    outcomes = [read_curve(curve(rng.normal(1, 0.02, (8, 2)))).outcome for _ in range(400)]
    assert outcomes.count(FLAT) / 400 > 0.9


def test_a_clear_elbow_is_found_through_the_noise():
    rng = np.random.default_rng(2)
    means = np.array(MINILM_C_DEC)
    best = [
        read_curve(curve(means[:, None] * rng.normal(1, 0.01, (8, 2)), MINILM_L0)).best
        for _ in range(200)
    ]
    assert best.count(128) / 200 > 0.95


def test_two_points_are_too_few_and_three_suffice():
    assert read_curve(curve([[1.0, 1.0], [0.5, 0.5]])).outcome == TOO_FEW
    assert read_curve(curve([[1.0, 1.0], [0.5, 0.5], [0.9, 0.9]])).best == 8


def test_curve_of_orders_by_measured_l0_and_keeps_missing_seeds_apart():
    table = pd.DataFrame(
        {
            "l0": [16.0, 4.0, 4.0],
            "l0_measured": [15.0, 5.0, 3.0],
            "seed": [0, 0, 1],
            "value": [2.0, 7.0, 9.0],
        }
    )
    built = curve_of(table, "c_dec")
    assert built.l0.tolist() == [4, 16]
    assert built.l0_measured.tolist() == [4, 15]
    assert built.means.tolist() == [8, 2]
    assert np.isnan(built.values[1, 1])
    assert built.batch_error.tolist() == [0, 0]


def test_reading_uses_measured_l0():
    reading = read_curve(curve(MINILM_C_DEC, MINILM_L0, measured=np.array(MINILM_L0) * 1.5))
    assert reading.best == 192


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
