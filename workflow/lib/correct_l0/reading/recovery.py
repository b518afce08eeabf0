"""Where the truth is known: the L0 of best recovery, and where an answer lies.

What is *right* for an SAE of a given width is the L0 that recovers the features best; the true L0,
the number of features that fire, is reported beside it and may be another (an SAE narrower than its
world, or with one latent absorbing what two features share). Neither has a say in the answer.

*Best* is judged by MCC, the mean cosine of features and latents matched one to one: it has no
threshold, and a latent that mixes two features cannot stand for both. The L0 named is a grid point,
an SAE that was trained, as in the answer it is held against, and not the top of a parabola: towards
higher L0 recovery falls faster than towards lower in one world and slower in another, and a
parabola through three points of a lopsided curve is off by as much as it promises. Its neighbours
on the grid bound it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from correct_l0.reading.curve import curve_of, pair_error, typical_variance
from correct_l0.reading.reading import FEWEST_POINTS, READ, SET_ERRORS
from correct_l0.reading.verdict import Decision

INSIDE = "inside"
BELOW = "below"
ABOVE = "above"


@dataclass(frozen=True)
class RecoveryReading:
    """Where the features are recovered best; L0 values are measured ones.

    Attributes
    ----------
    points
        Measured L0, lowest first.
    mcc, recovered
        Means over seeds at each point: cosine of matched features, share of features above 0.9.
    best, low, high
        L0 of the highest mean `mcc`, and its neighbours on the grid (itself at the grid's ends).
    best_set
        L0 of every point whose paired difference from the best is within 2 standard errors.
    """

    points: tuple[float, ...]
    mcc: tuple[float, ...]
    recovered: tuple[float, ...]
    best: float
    low: float
    high: float
    best_set: tuple[float, ...]

    @property
    def at_end(self) -> bool:
        """Whether the best point is an end of the grid, so that the right L0 may lie beyond."""
        return self.best in (self.points[0], self.points[-1])


@dataclass(frozen=True)
class Place:
    """Where an answer's interval lies: `INSIDE` it is the L0 of best recovery, or the true one.

    Attributes
    ----------
    best_recovery, true_l0
        `INSIDE`, or where that L0 lies: `BELOW` the interval or `ABOVE` it; `None` where it is not
        known.
    ratio
        L0 named, over that of best recovery.
    """

    best_recovery: str
    true_l0: str | None
    ratio: float


def read_recovery(table: pd.DataFrame) -> RecoveryReading:
    """Return the L0 of best recovery.

    Parameters
    ----------
    table
        One row per L0 and seed: `l0`, `l0_measured`, `seed`, `mcc`, `share_recovered` (of the
        features, those matched above 0.9).

    Examples
    --------
    >>> table = pd.DataFrame({"l0": [8.0, 11, 16], "l0_measured": [8.0, 11, 16], "seed": 0,
    ...                       "mcc": [0.9, 0.99, 0.8], "share_recovered": [0.7, 1.0, 0.5]})
    >>> reading = read_recovery(table)
    >>> reading.best, reading.low, reading.high, reading.at_end
    (11.0, 8.0, 16.0, False)
    """
    curve = curve_of(table.assign(value=table["mcc"]), "mcc")
    x, means = curve.l0_measured, curve.means
    best = int(np.argmax(means))
    typical = typical_variance(curve) if len(x) >= FEWEST_POINTS else float("nan")
    errors = np.array([pair_error(curve, i, best, typical) for i in range(len(x))])
    level = means[best] - means <= SET_ERRORS * errors
    recovered = table.groupby("l0")["share_recovered"].mean().loc[curve.l0]
    return RecoveryReading(
        points=tuple(x.tolist()),
        mcc=tuple(means.tolist()),
        recovered=tuple(recovered.tolist()),
        best=float(x[best]),
        low=float(x[max(best - 1, 0)]),
        high=float(x[min(best + 1, len(x) - 1)]),
        best_set=tuple(x[level].tolist()),
    )


def place_of(
    decision: Decision, recovery: RecoveryReading, true_l0: float | None = None
) -> Place | None:
    """Return where an answer lies against the truth; nothing where it names no L0.

    Parameters
    ----------
    decision, recovery
        The answer, and where the features are recovered best.
    true_l0
        Mean number of features that fire, where it is known.
    """
    best = side_of(decision, recovery.best)
    if best is None or decision.l0 is None:
        return None
    return Place(
        best_recovery=best,
        true_l0=None if true_l0 is None else side_of(decision, true_l0),
        ratio=decision.l0 / recovery.best,
    )


def side_of(decision: Decision, x: float) -> str | None:
    """Return where an L0 lies against an answer's interval; nothing where it names no L0.

    Examples
    --------
    >>> answer = Decision(READ, (), l0=8.0, low=4.0, high=16.0)
    >>> side_of(answer, 25.0), side_of(Decision("flat", ()), 2.0)
    ('above', None)
    """
    low, high = decision.low, decision.high
    if decision.outcome != READ or low is None or high is None:
        return None
    return INSIDE if low <= x <= high else BELOW if x < low else ABOVE
