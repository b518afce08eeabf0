"""The peak of a curve over L0, on made-up curves whose peak is known."""

import math

import numpy as np
import pytest

from correct_l0.reading.calibrated import DROP
from correct_l0.reading.peak import (
    FEWEST_POINTS,
    NO_PEAK,
    ORTHOGONAL,
    PROMINENCE,
    SMOOTHING,
    read_peak,
)
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_FEW
from correct_l0.reading.shape import level_set, smooth, vertex

DOUBLING = 4.0 * 2.0 ** np.arange(9)
"""4 to 1024, 64 in the middle."""
SYMMETRIC = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.4, 0.3, 0.2, 0.1])


def fitted(x, y, width):
    """The smoothed curve by numpy, whose weights are those of residuals before they are squared."""
    return np.array(
        [np.polyval(np.polyfit(x, y, 1, w=np.exp(-0.25 * ((x - at) / width) ** 2)), at) for at in x]
    )


def smoothed(l0, y):
    return fitted(np.log(l0), y, SMOOTHING * np.median(np.diff(np.log(l0))))


@pytest.mark.parametrize("width", [0.3, 0.7, 2.0])
def test_smoothing_is_a_weighted_line_at_every_point(width):
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.uniform(0.2, 1.5, 11))
    y = rng.normal(size=11)
    assert smooth(x, y, width) == pytest.approx(fitted(x, y, width), abs=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "top"),
    [
        # 3 - 2 (x - 0.3)^2
        ([-1, 0, 2], [-0.38, 2.82, -2.78], 0.3),
        # level with a neighbour: halfway
        ([0, 1, 2], [0, 1, 1], 1.5),
        # a line, a valley: the middle one
        ([0, 1, 2], [1, 1, 1], 1.0),
        ([0, 1, 3], [2, 1, 2], 1.0),
    ],
)
def test_the_top_of_a_parabola(x, y, top):
    assert vertex(np.array(x, dtype=float), np.array(y, dtype=float)) == pytest.approx(top)


def test_a_symmetric_peak_is_named_to_the_digit():
    reading = read_peak(DOUBLING, SYMMETRIC)
    assert (reading.outcome, reading.point) == (READ, 64)
    assert reading.l0 == pytest.approx(64)
    assert not reading.start_is_higher
    # at the middle of a symmetric curve the line is level: a weighted mean
    weights = np.exp(-0.5 * ((np.arange(9) - 4) / SMOOTHING) ** 2)
    assert reading.height == pytest.approx((weights * SYMMETRIC).sum() / weights.sum())
    assert reading.prominence == pytest.approx(reading.height - smoothed(DOUBLING, SYMMETRIC)[0])


def test_a_peak_between_points_is_that_of_the_parabola_through_three_of_them():
    l0 = np.array([4.0, 7, 16, 30, 70, 128, 150, 300])
    y = np.array([0.1, 0.2, 0.3, 0.5, 0.7, 0.65, 0.5, 0.2])
    reading, x, curve = read_peak(l0, y), np.log(l0), smoothed(l0, y)
    a, b, _ = np.polyfit(x[3:6] - x[4], curve[3:6], 2)
    assert reading.l0 == pytest.approx(70 * math.exp(-b / (2 * a)))
    assert 70 < reading.l0 < math.sqrt(70 * 128)
    assert reading.point == 70


def test_the_point_is_the_nearest_one_not_the_highest():
    # 8 and 12 are near each other and level, so that the top lies between them, nearer to 12
    l0 = np.array([1.0, 2, 4, 8, 12, 18, 40])
    reading = read_peak(l0, np.array([0.1, 0.2, 0.3, 0.6, 0.6, 0.5, 0.1]))
    away = np.abs(np.log(l0 / reading.l0))
    assert reading.point == l0[away.argmin()]


@pytest.mark.parametrize("far", [0.2, 1e-9, 400.0])
def test_a_point_far_from_all_others_hides_no_peak(far):
    """JumpReLU SAEs of the toy model: their coefficients end near L0 10 to 17, and one at 0.2."""
    l0 = np.array([10.0, 11.4, 12.8, 15, 16.6])
    shares = np.array([0.65, 0.84, 0.73, 0.50, 0.34])
    place = int(np.searchsorted(l0, far))
    reading = read_peak(np.insert(l0, place, far), np.insert(shares, place, 0.3))
    assert reading.outcome == READ
    assert reading.point == 11.4
    assert 10 < reading.low < reading.l0 < reading.high < 12.8


def test_the_start_of_the_grid_is_no_peak_however_high():
    y = np.array([0.9, 0.5, 0.3, 0.4, 0.6, 0.4, 0.3, 0.2, 0.1])
    reading = read_peak(DOUBLING, y)
    assert (reading.outcome, reading.point, reading.start_is_higher) == (READ, 64, True)
    curve = smoothed(DOUBLING, y)
    # towards the peak, from the valley between it and the start
    assert reading.prominence == pytest.approx(curve[4] - curve[2])
    assert read_peak(DOUBLING, np.linspace(0.9, 0.1, 9)).outcome == NO_PEAK


def test_of_two_peaks_inside_the_higher_one_counts():
    y = np.array([0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.5, 0.1, 0.1])
    assert read_peak(DOUBLING, y).point == 256
    assert read_peak(DOUBLING, y[::-1]).point == 16


@pytest.mark.parametrize(("times", "outcome"), [(0.99, FLAT), (1.01, READ)])
def test_a_peak_counts_from_the_prominence_on(times, outcome):
    bump = np.zeros(9)
    bump[4] = 1.0
    curve = smoothed(DOUBLING, bump)
    # smoothing is linear
    height = times * PROMINENCE / (curve[4] - curve[:5].min())
    reading = read_peak(DOUBLING, 0.5 + height * bump)
    assert reading.outcome == outcome
    if outcome == READ:
        assert reading.prominence == pytest.approx(times * PROMINENCE)


@pytest.mark.parametrize(("height", "outcome"), [(0.1, NO_PEAK), (10.0, READ)])
def test_a_ripple_on_the_way_down_from_the_start_is_no_peak(height, outcome):
    y = np.array([0.9, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    y[6] += height * PROMINENCE
    assert read_peak(DOUBLING, y).outcome == outcome
    # Nor on the way down from a peak at too low an L0, however low the start itself is.
    y[0] = 0.1
    overlap = np.where(np.arange(9) < 3, 2.0, 1.0)
    assert read_peak(DOUBLING, y, overlap).outcome == outcome


def test_highest_at_the_end_the_right_l0_is_above():
    reading = read_peak(DOUBLING, np.linspace(0.1, 0.9, 9))
    assert reading.outcome == FALLS
    assert reading.prominence == pytest.approx(0.8)
    assert math.isnan(reading.l0)


@pytest.mark.parametrize(("end", "outcome"), [(0.9, FALLS), (0.4, READ)])
def test_a_rise_at_the_end_counts_where_it_goes_above_the_peak(end, outcome):
    y = np.array([0.2, 0.4, 0.7, 0.4, 0.2, 0.2, 0.2, 0.2 + (end - 0.2) / 2, end])
    reading = read_peak(DOUBLING, y)
    assert reading.outcome == outcome
    assert outcome == FALLS or reading.point == 16


@pytest.mark.parametrize("times", [0.0, 0.9])
def test_a_curve_that_hardly_changes_is_flat(times):
    assert read_peak(DOUBLING, 0.5 + times * PROMINENCE * np.linspace(0, 1, 9)).outcome == FLAT
    assert read_peak(DOUBLING, 0.5 - times * PROMINENCE * np.linspace(0, 1, 9)).outcome == FLAT


def test_points_are_too_few_below_five():
    assert FEWEST_POINTS == 5
    y = np.array([0.1, 0.2, 0.6, 0.2, 0.1])
    assert read_peak(DOUBLING[:5], y).point == 16
    assert read_peak(DOUBLING[:4], y[:4]).outcome == TOO_FEW
    assert read_peak(DOUBLING[:0], y[:0]).outcome == TOO_FEW


def test_the_interval_of_a_broad_peak_ends_where_the_curve_is_lower_by_the_drop():
    broad = np.array([0.1, 0.2, 0.3, 0.6, 0.6, 0.6, 0.3, 0.2, 0.1])
    reading, curve = read_peak(DOUBLING, broad), smoothed(DOUBLING, broad)
    # the curve is a line from 32 to 64, and it is there that it falls by the drop
    steps = DROP / (curve[4] - curve[3])
    assert 0.5 < steps < 1
    assert reading.low == pytest.approx(64 / 2**steps)
    assert reading.high == pytest.approx(64 * 2**steps)


def test_an_interval_reaches_at_least_half_the_way_to_the_points_beside_it():
    reading, curve = read_peak(DOUBLING, SYMMETRIC), smoothed(DOUBLING, SYMMETRIC)
    assert DROP / (curve[4] - curve[3]) < 0.5
    assert reading.low == pytest.approx(64 / 2**0.5)
    assert reading.high == pytest.approx(64 * 2**0.5)


@pytest.mark.parametrize(
    ("drop", "ends"),
    [
        # .1 lower halfway to .6 on both sides of the top
        (0.1, (1.5, 2.5)),
        # .3 lower: from .6 at 1 to .2 at 0, a quarter; to the right the rise to .7 is inside
        (0.3, (0.75, 4.0)),
        # nothing is so low: the grid's ends
        (0.9, (0.0, 4.0)),
    ],
)
def test_a_level_set_runs_to_where_the_curve_leaves_it(drop, ends):
    x, curve = np.arange(5.0), np.array([0.2, 0.6, 0.8, 0.6, 0.7])
    assert level_set(x, curve, 2.0, drop) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("lowest_at", "low", "named"),
    [(6, 256, 128), (2, 16, 32)],
    ids=["above the peak", "below it"],
)
def test_rows_far_more_orthogonal_than_random_ones_are_a_second_witness(lowest_at, low, named):
    """Seeds agree best at 64; c_dec is lowest two doublings away, alike on both sides."""
    overlap = 0.1 + 0.2 * np.abs(np.arange(9.0) - lowest_at)
    alone, both = read_peak(DOUBLING, SYMMETRIC), read_peak(DOUBLING, SYMMETRIC, overlap)
    assert both.seeds_agree == pytest.approx(64)
    assert both.l0 == pytest.approx(named)
    assert both.low == pytest.approx(min(low, alone.low))
    assert both.high == pytest.approx(max(low, alone.high))
    assert both.point == named


@pytest.mark.parametrize(
    "overlap",
    [
        ORTHOGONAL * 1.01 + 0.1 * np.abs(np.arange(9.0) - 6),
        0.1 + 0.05 * np.arange(9.0),
        0.1 + 0.05 * np.arange(9.0)[::-1],
        np.where(np.arange(9) == 3, np.nan, 0.1 + 0.1 * np.abs(np.arange(9.0) - 6)),
    ],
    ids=["not that orthogonal", "lowest at the start", "lowest at the end", "one not known"],
)
def test_no_second_witness(overlap):
    alone, reading = read_peak(DOUBLING, SYMMETRIC), read_peak(DOUBLING, SYMMETRIC, overlap)
    assert math.isnan(reading.seeds_agree)
    assert (reading.l0, reading.low, reading.high) == (alone.l0, alone.low, alone.high)
