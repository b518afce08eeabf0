"""Reading one metric-against-L0 curve: minimum, jump, elbow.

The reading follows the paper's later version, which takes the elbow just before the rise at low L0
and not the bare minimum. The point it names is the lowest grid point at the bottom of the curve,
the upper end of the elbow's interval: an SAE that was trained and measured, not an interpolation.

*s_n^dec and its n.* The n-th projection per token tells of latents that should not fire only if
fewer than n should: n has to be above the correct L0. It need not be above the L0 of every SAE of
the grid (the paper reads n = 12 over k = 1 to 25), as the projections are those on the decoder,
whatever the SAE lets fire. The correct L0 is what is asked for, so the curve is read whole and held
to its own answer: one that names an L0 not below its n contradicts what it rests on and is evidence
of nothing, `ABOVE_N`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from correct_l0.reading.curve import Curve, pair_error, typical_variance

TOLERANCE_OF_JUMP = 0.1
SET_ERRORS = 2.0
FLAT_ERRORS = 3.0
VALLEY_RATIO = 2.0
FEWEST_POINTS = 3

READ = "read"
FLAT = "flat"
FALLS = "falls to the grid's end"
TOO_HIGH = "starts too high"
TOO_FEW = "too few points"
ABOVE_N = "names an L0 not below its n"


@dataclass(frozen=True)
class CurveReading:
    """What one curve says. L0 values are measured ones; NaN where there is nothing to say.

    Attributes
    ----------
    outcome
        One of `READ`, `FLAT`, `FALLS`, `TOO_HIGH`, `TOO_FEW`, `ABOVE_N`.
    minimum, minimum_set
        L0 of the lowest mean, and of all points not distinguishable from it.
    jump, jump_error
        Rise from the minimum to the lowest L0, and its standard error.
    tolerance
        Height above the minimum that still counts as the bottom.
    elbow_low, elbow, elbow_high
        Grid points on both sides of the crossing, and its place interpolated on log L0.
    low, best, bottom, high
        Last grid point on the rise; first one at the bottom; last one the reading leans on (the
        minimum, or `best` where the minimum lies far off in a shallow valley); its right
        neighbour, which bounds the reading from above.
    open_end
        The minimum is the highest point of the grid, but level with the elbow.
    noise
        `seeds`, `roughness` (one seed) or `unknown`.
    """

    metric: str
    outcome: str
    seeds: int
    noise: str
    points: tuple[float, ...]
    minimum: float = math.nan
    minimum_value: float = math.nan
    minimum_set: tuple[float, ...] = ()
    jump: float = math.nan
    jump_error: float = math.nan
    tolerance: float = math.nan
    elbow_low: float = math.nan
    elbow: float = math.nan
    elbow_high: float = math.nan
    low: float = math.nan
    best: float = math.nan
    bottom: float = math.nan
    high: float = math.nan
    open_end: bool = False


def read_curve(curve: Curve, n: float = math.inf) -> CurveReading:
    """Read one curve.

    Parameters
    ----------
    curve
        The curve; lower is better.
    n
        The n of s_n^dec. All points are read; a reading that names an L0 of n or more (where the
        curve falls to the grid's end, the highest; where it starts too high, the lowest) becomes
        `ABOVE_N`.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560: the elbow just before the metric rises at low L0;
    n has to be above the correct L0.
    """
    reading = _read_whole(curve)
    named = {
        READ: reading.best,
        FALLS: max(reading.points, default=math.nan),
        TOO_HIGH: min(reading.points, default=math.nan),
    }.get(reading.outcome, math.nan)
    return replace(reading, outcome=ABOVE_N) if named >= n else reading


def _read_whole(curve: Curve) -> CurveReading:
    typical = typical_variance(curve) if len(curve.l0) >= FEWEST_POINTS else float("nan")
    facts: dict = {
        "metric": curve.metric,
        "seeds": curve.seeds,
        "noise": "seeds" if curve.seeds > 1 else "roughness" if np.isfinite(typical) else "unknown",
        "points": tuple(curve.l0_measured.tolist()),
    }
    if len(curve.l0) < FEWEST_POINTS:
        return CurveReading(outcome=TOO_FEW, **facts)
    x, m = curve.l0_measured, curve.means
    last = len(x) - 1
    lowest = int(np.argmin(m))
    errors = np.array([pair_error(curve, i, lowest, typical) for i in range(len(x))])
    in_set = m - m[lowest] <= SET_ERRORS * errors
    jump = float(m[0] - m[lowest])
    facts |= {
        "minimum": float(x[lowest]),
        "minimum_value": float(m[lowest]),
        "minimum_set": tuple(x[in_set].tolist()),
        "jump": jump,
        "jump_error": float(errors[0]),
    }
    if jump <= FLAT_ERRORS * errors[0]:
        rises = lowest < last and m[last] - m[lowest] > FLAT_ERRORS * errors[last]
        return CurveReading(outcome=TOO_HIGH if rises else FLAT, **facts)

    height = np.maximum(TOLERANCE_OF_JUMP * jump, SET_ERRORS * errors)
    rise = lowest - 1
    while m[rise] - m[lowest] <= height[rise]:
        rise -= 1
    best = rise + 1
    level = m[lowest] + height[rise]
    share = float(np.clip((m[rise] - level) / (m[rise] - m[best]), 0, 1))
    facts |= {
        "tolerance": float(height[rise]),
        "elbow_low": float(x[rise]),
        "elbow": float(np.exp(np.log(x[rise]) + share * np.log(x[best] / x[rise]))),
        "elbow_high": float(x[best]),
        "low": float(x[rise]),
        "best": float(x[best]),
    }
    if lowest == last and not (in_set[best] and best <= last - 2):
        return CurveReading(outcome=FALLS, **facts)
    bound = best if x[lowest] > VALLEY_RATIO * x[best] else lowest
    facts |= {"bottom": float(x[bound]), "high": float(x[min(bound + 1, last)])}
    return CurveReading(outcome=READ, open_end=lowest == last, **facts)
