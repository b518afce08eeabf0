"""Reading single curves: numbers one can check by hand, and the curves that are known."""

import numpy as np
import pandas as pd
import pytest

from correct_l0.reading.curve import (
    Curve,
    curve_of,
    pair_error,
    robust_mean_square,
    roughness,
    typical_variance,
)
from correct_l0.reading.reading import (
    ABOVE_N,
    FALLS,
    FLAT,
    READ,
    TOO_FEW,
    TOO_HIGH,
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


def test_minilm_s_48_names_an_l0_not_below_its_n():
    reading = read_curve(curve(MINILM_S_48, MINILM_L0), n=48)
    assert reading.outcome == ABOVE_N
    assert (reading.minimum, reading.best) == (128, 128)
    assert reading.points == tuple(MINILM_L0)


def test_the_same_curve_at_n_200_is_read_whole():
    reading = read_curve(curve(MINILM_S_48, MINILM_L0), n=200)
    assert reading.outcome == READ
    assert (reading.low, reading.best, reading.minimum, reading.high) == (64, 128, 128, 192)
    assert reading.points == tuple(MINILM_L0)
    # the jump is 3.26 - 1.65; 10% of it above the minimum is 1.811, crossed on log L0 at
    share = (1.90 - 1.811) / (1.90 - 1.65)
    assert reading.elbow == pytest.approx(64 * 2**share)
    assert reading == read_curve(curve(MINILM_S_48, MINILM_L0))


@pytest.mark.parametrize(("n", "outcome"), [(128, ABOVE_N), (129, READ)])
def test_n_has_to_be_above_the_l0_named(n, outcome):
    assert read_curve(curve(MINILM_S_48, MINILM_L0), n).outcome == outcome


def test_a_valley_is_held_to_its_elbow_not_to_its_minimum():
    # the minimum, 1000, lies in a shallow valley far above the elbow between 160 and 200
    l0 = [10, 40, 80, 120, 160, 200, 240, 300, 500, 1000, 2000]
    means = [1.0, 0.8, 0.6, 0.4, 0.2, 0.055, 0.05, 0.045, 0.03, 0.0, 0.2]
    assert read_curve(curve(with_seeds(means, 0.001), l0), n=201).outcome == READ
    assert read_curve(curve(with_seeds(means, 0.001), l0), n=200).outcome == ABOVE_N


@pytest.mark.parametrize(
    ("means", "n", "outcome"),
    [
        ([0.8, 0.4, 0.2, 0.1], 33, FALLS),  # it names the L0 above 16, up to 32
        ([0.8, 0.4, 0.2, 0.1], 32, ABOVE_N),
        ([0.1, 0.2, 0.4, 0.8], 5, TOO_HIGH),  # it names 4
        ([0.1, 0.2, 0.4, 0.8], 4, ABOVE_N),
        ([0.5, 0.5, 0.5, 0.5], 4, FLAT),  # it names nothing
    ],
)
def test_curves_lowest_at_an_end_of_the_grid_are_held_to_that_end(means, n, outcome):
    assert read_curve(curve(with_seeds(means, 0.001)), n).outcome == outcome


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


@pytest.mark.parametrize("n", [11, 12, 18, 25])
def test_toy_s_n_is_read_over_the_whole_sweep_as_in_the_paper(n):
    # k = 1 to 25 and n = 12 to 25: most SAEs of the sweep have an L0 above the lowest n
    k = np.arange(1, 26)
    s_n = np.where(k < 11, 0.15 + 0.05 * (11 - k), 0.15 + 0.01 * (k - 11))
    reading = read_curve(curve(with_seeds(s_n, 0.001, seeds=5), k), n)
    assert (reading.minimum, reading.best) == (11, 11)
    assert reading.outcome == (READ if n > 11 else ABOVE_N)


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
