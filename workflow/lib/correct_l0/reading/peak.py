"""The L0 at which two seeds agree best, read as a peak with an interval.

The curve is the threshold-free share of latents that two seeds reproduce (`reproduced_share`),
smoothed over log L0 by a local line whose Gaussian weights have a standard deviation of `SMOOTHING`
grid steps: one pair of seeds is noisy. The L0 named is the top of the parabola through the highest
point *inside* the grid and its neighbours.

*The interval* is where seeds agree as well as at the top but for `DROP`: wide where the curve is
flat, narrow where it is steep, but no narrower than half a gap of the grid on each side: nothing is
known of what lies between two points. `DROP` is as much as a peak has to stand out; how often the
L0 of best recovery is inside is counted on worlds of known truth (docs/calibration.md).

*The second branch.* At an L0 of a few an SAE is nearly a clustering, and seeds agree for reasons of
their own. So the start of the grid is no peak however high it is; a peak inside counts where the
curve rises towards it from lower L0 by `PROMINENCE` at least, since it was last higher than there,
and where latents overlap little: there c_dec is at most `OVERLAP` times that of random directions.
This is what c_dec is good for: it tells an L0 that is clearly too low, and hardly one that is
right. At the L0 of best recovery it was at most 1.44 times chance in the worlds to choose on; at L0
4 of a world of all-MiniLM-L6-v2's own codes, of L0 64, where seeds agreed on half of the latents
and recovered 2% of them, 1.77 times.

*Two witnesses.* An SAE much narrower than its data lets each seed choose other features, and where
they are orthogonal, seeds then agree best at an L0 that is too low. There c_dec, lowest inside the
grid and at most `ORTHOGONAL` times that of random directions, tells better: neither chance nor a
short training makes decoder rows that orthogonal. So the interval reaches there as well, and the L0
named is halfway between the two, on log L0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from correct_l0.reading.calibrated import DROP
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_FEW

if TYPE_CHECKING:
    from jaxtyping import Float

NO_PEAK = "no peak"

FEWEST_POINTS = 5
SMOOTHING = 0.5
PROMINENCE = 0.02
OVERLAP = 1.6
"""Mean |cosine| of decoder rows, in units of that of random directions, from which on an L0 is too
low to be named."""
ORTHOGONAL = 1 / 3
"""The same, up to which the L0 of lowest c_dec is a witness of its own (docs/calibration.md)."""

ALONE = 1e-200
"""Spread of the weighted points below which a line through them is lost in rounding."""


@dataclass(frozen=True)
class PeakReading:
    """What the agreement of seeds says; L0 values are measured ones, NaN where there is none.

    Attributes
    ----------
    outcome
        `READ`; `FALLS`: seeds agree best at the grid's end, so that the right L0 is above;
        `NO_PEAK`: best at its start, and no peak inside; `FLAT`: as much everywhere; `TOO_FEW`.
    l0, low, high
        The top, and its interval.
    point
        The grid point nearest to it.
    height, prominence
        Of the smoothed curve at the peak: its value, and how far it rises towards it from lower L0
        since it was last higher.
    start_is_higher
        Whether seeds agree more at the grid's start than at the peak.
    overlapping
        Where seeds agree best of all places that do not count as latents overlap too much there: a
        peak or, where there is no other, the grid's start.
    seeds_agree
        The top itself, where the L0 named lies between it and that of lowest c_dec.
    """

    outcome: str
    l0: float = math.nan
    low: float = math.nan
    high: float = math.nan
    point: float = math.nan
    height: float = math.nan
    prominence: float = math.nan
    start_is_higher: bool = False
    overlapping: float = math.nan
    seeds_agree: float = math.nan


def smooth(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], width: float
) -> Float[np.ndarray, " points"]:
    """Return y at each x of a line fitted with Gaussian weights around it; alone, y itself.

    Examples
    --------
    A straight line stays one; of a single outlier less is left:

    >>> smooth(np.arange(4.0), np.array([0.0, 2, 4, 6]), 1.0).round(9).tolist()
    [0.0, 2.0, 4.0, 6.0]
    >>> bool(smooth(np.arange(5.0), np.array([0.0, 0, 1, 0, 0]), 1.0)[2] < 0.5)
    True

    Of a point far from all others there is no line:

    >>> smooth(np.array([0.0, 90, 91, 92]), np.array([5.0, 2, 4, 6]), 1.0).round(9).tolist()
    [5.0, 2.0, 4.0, 6.0]
    """
    weights = np.exp(-0.5 * np.square((x[:, None] - x) / width))
    away = x - x[:, None]
    total, first, second = ((weights * power).sum(axis=1) for power in (1.0, away, np.square(away)))
    of_y, of_xy = (weights * y).sum(axis=1), (weights * away * y).sum(axis=1)
    spread = total * second - np.square(first)
    alone = spread < ALONE
    line = (second * of_y - first * of_xy) / np.where(alone, 1.0, spread)
    return np.where(alone, of_y / total, line)


def read_peak(
    l0: Float[np.ndarray, " points"],
    values: Float[np.ndarray, " points"],
    overlap: Float[np.ndarray, " points"] | None = None,
) -> PeakReading:
    """Read how a share of reproduced latents peaks over measured L0, lowest first.

    Parameters
    ----------
    l0
        Measured L0.
    values
        Share of latents that two seeds reproduce.
    overlap
        c_dec, in units of that of random directions; NaN where it is not known, None where it is
        nowhere.

    Examples
    --------
    >>> l0 = np.array([4.0, 8, 16, 32, 64, 128])
    >>> overlap = np.array([2.0, 1.8, 1.2, 1.1, 1.0, 1.0])
    >>> reading = read_peak(l0, np.array([0.2, 0.4, 0.7, 0.4, 0.2, 0.1]), overlap)
    >>> reading.outcome, round(reading.l0), reading.point
    ('read', 16, 16.0)
    >>> read_peak(l0, np.array([0.7, 0.6, 0.5, 0.4, 0.3, 0.1]), overlap).outcome
    'no peak'

    A peak of the second branch, at 8, beside one that counts:

    >>> reading = read_peak(l0, np.array([0.4, 0.7, 0.3, 0.6, 0.2, 0.1]), overlap)
    >>> round(reading.l0), reading.overlapping
    (29, 8.0)

    Decoder rows far more orthogonal than random ones at 32, where seeds agree best at 16:

    >>> overlap = np.array([1.0, 0.8, 0.5, 0.1, 0.5, 0.8])
    >>> reading = read_peak(l0, np.array([0.2, 0.4, 0.7, 0.4, 0.2, 0.1]), overlap)
    >>> round(reading.seeds_agree), round(reading.l0), round(reading.high)
    (16, 23, 32)
    """
    if len(l0) < FEWEST_POINTS:
        return PeakReading(TOO_FEW)
    x, last = np.log(l0), len(l0) - 1
    curve = smooth(x, values, SMOOTHING * float(np.median(np.diff(x))))
    inner = [i for i in range(1, last) if curve[i] >= max(curve[i - 1], curve[i + 1])]
    rises = {i: _rise(curve, i) for i in (*inner, last)}
    peaks = [i for i in inner if rises[i] >= PROMINENCE]
    standing = [i for i in peaks if overlap is None or not overlap[i] > OVERLAP]
    top = max(standing, key=lambda i: curve[i], default=None)
    apart = max((i for i in peaks if i not in standing), key=lambda i: curve[i], default=None)
    overlapping = math.nan if apart is None else float(l0[apart])
    if rises[last] >= PROMINENCE and (top is None or curve[last] > curve[top]):
        return PeakReading(
            FALLS, height=float(curve[last]), prominence=rises[last], overlapping=overlapping
        )
    if top is None:
        if apart is None and overlap is not None and overlap[0] > OVERLAP:
            overlapping = float(l0[0])
        level = float(curve.max() - curve.min()) < PROMINENCE
        return PeakReading(
            FLAT if level else NO_PEAK, height=float(curve.max()), overlapping=overlapping
        )
    place = vertex(x[top - 1 : top + 2], curve[top - 1 : top + 2])
    low, high = level_set(x, curve, place, DROP)
    low = max(x[0], min(low, place - (x[top] - x[top - 1]) / 2))
    high = min(x[last], max(high, place + (x[top + 1] - x[top]) / 2))
    seeds_agree, orthogonal = math.nan, _most_orthogonal(x, overlap)
    if orthogonal is not None:
        seeds_agree = math.exp(place)
        place, low, high = (place + orthogonal) / 2, min(low, orthogonal), max(high, orthogonal)
    return PeakReading(
        READ,
        l0=math.exp(place),
        low=math.exp(low),
        high=math.exp(high),
        point=float(l0[np.abs(x - place).argmin()]),
        height=float(curve[top]),
        prominence=rises[top],
        start_is_higher=bool(curve[0] > curve[top]),
        overlapping=overlapping,
        seeds_agree=seeds_agree,
    )


def _rise(curve: Float[np.ndarray, " points"], at: int) -> float:
    """Return how far a curve lies above its lowest point since it was last higher than there.

    Examples
    --------
    >>> curve = np.array([0.0, 0.7, 0.5, 0.6, 0.8])
    >>> round(_rise(curve, 3), 9), round(_rise(curve, 4), 9)
    (0.1, 0.8)
    """
    higher = np.flatnonzero(curve[:at] > curve[at])
    first = int(higher[-1]) + 1 if len(higher) else 0
    return float(curve[at] - curve[first : at + 1].min())


def _most_orthogonal(
    x: Float[np.ndarray, " points"], overlap: Float[np.ndarray, " points"] | None
) -> float | None:
    """Return log L0 of the lowest overlap, if it is inside the grid and as low as `ORTHOGONAL`."""
    if overlap is None or np.isnan(overlap).any():
        return None
    lowest = int(overlap.argmin())
    if lowest in (0, len(x) - 1) or overlap[lowest] > ORTHOGONAL:
        return None
    return vertex(x[lowest - 1 : lowest + 2], -overlap[lowest - 1 : lowest + 2])


def level_set(
    x: Float[np.ndarray, " points"], curve: Float[np.ndarray, " points"], place: float, drop: float
) -> tuple[float, float]:
    """Return the ends of the run around a place where a curve stays within a drop of it there.

    The curve is the line through its points; the run ends at the grid's ends at the latest.

    Examples
    --------
    >>> x, curve = np.array([0.0, 1, 2, 3]), np.array([0.0, 1.0, 0.5, 0.9])
    >>> level_set(x, curve, place=1.0, drop=0.25)
    (0.75, 1.5)
    >>> level_set(x, curve, place=1.0, drop=0.6)
    (0.4, 3.0)
    """
    level = float(np.interp(place, x, curve)) - drop
    ends = []
    for side in (-1, 1):
        beyond = np.flatnonzero(((x - place) * side > 0) & (curve < level))
        if not len(beyond):
            ends.append(float(x[0] if side < 0 else x[-1]))
            continue
        first = int(beyond[-1] if side < 0 else beyond[0])
        inner = first - side
        inside = (
            (place, level + drop) if (x[inner] - place) * side < 0 else (x[inner], curve[inner])
        )
        share = (inside[1] - level) / (inside[1] - curve[first])
        ends.append(float(inside[0] + share * (x[first] - inside[0])))
    return ends[0], ends[1]


def drop_to(
    x: Float[np.ndarray, " points"],
    curve: Float[np.ndarray, " points"],
    place: float,
    other: float,
) -> float:
    """Return the smallest drop whose `level_set` around a place holds another place.

    Examples
    --------
    >>> x, curve = np.array([0.0, 1, 2, 3]), np.array([0.0, 1.0, 0.5, 0.9])
    >>> drop_to(x, curve, 1.0, 1.5), drop_to(x, curve, 1.0, 3.0)
    (0.25, 0.5)
    """
    between = (x >= min(place, other)) & (x <= max(place, other))
    way = [*curve[between], float(np.interp(other, x, curve))]
    return max(0.0, float(np.interp(place, x, curve)) - float(min(way)))


def vertex(x: Float[np.ndarray, " 3"], y: Float[np.ndarray, " 3"]) -> float:
    """Return where the parabola through three points is highest, the middle one being their top.

    At most half the way to a neighbour.

    Examples
    --------
    y = -(x - 0.2)^2 at -1, 0 and 1:

    >>> round(vertex(np.array([-1.0, 0, 1]), np.array([-1.44, -0.04, -0.64])), 9)
    0.2
    """
    left, right = x[0] - x[1], x[2] - x[1]
    down, up = y[0] - y[1], y[2] - y[1]
    curvature = (up / right - down / left) / (right - left)
    if curvature >= 0:
        return float(x[1])
    slope = down / left - curvature * left
    return float(x[1] + np.clip(-slope / (2 * curvature), left / 2, right / 2))
