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
right. At the L0 of best recovery it was at most 1.55 times chance in the worlds to choose on; at L0
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
from correct_l0.reading.shape import level_set, rise, smooth, vertex

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
    rises = {i: rise(curve, i) for i in (*inner, last)}
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
