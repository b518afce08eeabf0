"""What the answer would have been, had the training ended after each tenth of it.

The same reading as that of the end (`verdict.decide`), of what is known of each tenth: c_dec, the
agreement of seeds and how far the decoder is from its start. Only where the agreement of seeds
leads: s_n^dec and F1, which refuse nothing then, are not known along a training. The SAEs were
still learning, at the learning rate of that moment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from correct_l0.reading.curve import curve_of
from correct_l0.reading.health import TENTHS, at_tenth, scale_of
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import FALLS, READ, TOO_FEW, read_curve
from correct_l0.reading.stability import StabilityReading, overlap_of, read_stability
from correct_l0.reading.verdict import decide

_POINT = ["l0", "seed"]

NO_TRAINING = "no training"
ONE_SEED = "one seed"
FEW_POINTS = "few points"
NOT_KEPT = "not kept"


@dataclass(frozen=True)
class Stop:
    """The answer after some tenths of the training; L0 values are measured ones.

    Attributes
    ----------
    tenth
        1 to 10.
    outcome
        As `Decision.outcome`.
    l0, low, high
        What is named; None where no L0 is.
    place
        Where seeds agreed best, named or not; an end of the grid where that was the best, NaN where
        they agreed as much everywhere.
    """

    tenth: int
    outcome: str
    l0: float | None
    low: float | None
    high: float | None
    place: float


@dataclass(frozen=True)
class Course:
    """The answers along the training, or why there are none.

    Attributes
    ----------
    stops
        Of the tenths that are known, in order.
    unknown
        Where there are none: `NO_TRAINING`, `ONE_SEED`, `FEW_POINTS` or `NOT_KEPT`; else empty.
    """

    stops: tuple[Stop, ...] = ()
    unknown: str = ""


def read_course(
    training: pd.DataFrame,
    c_dec: pd.DataFrame,
    along: pd.DataFrame,
    points: pd.DataFrame,
    final: StabilityReading | None,
    d_sae: int,
    leans: bool = False,
) -> Course:
    """Return the answer after every tenth of the training that all SAEs kept their decoders of.

    A training that ends after i tenths has its own last tenth, in which c_dec moves by i / 10 of
    what it moves between two tenths, on a straight line between them; before the first it starts at
    that of random directions.

    Parameters
    ----------
    training
        Table `c_dec_training`, with `init_cosine_median` where it is known.
    c_dec
        Table `c_dec`, with each point's mean measured L0 and `random`.
    along
        Table `stability_training`, with each point's mean measured L0.
    points
        One row per L0 and seed, as `decide` takes health.
    final
        How seeds agree at the end.
    d_sae, leans
        As in `decide`.
    """
    if training.empty:
        return Course(unknown=NO_TRAINING)
    if final is None:
        return Course(unknown=ONE_SEED)
    if final.peak.outcome == TOO_FEW:
        return Course(unknown=FEW_POINTS)
    if along.empty or "random" not in c_dec:
        return Course(unknown=NOT_KEPT)
    placed = c_dec[[*_POINT, "l0_measured", "random"]].merge(
        training.drop(columns="l0_measured"), on=_POINT
    )
    before = at_tenth(placed, 1).assign(value=lambda table: table["random"])
    stops = []
    for tenth in range(1, TENTHS + 1):
        c_dec_then = at_tenth(placed, tenth)
        compared = at_tenth_of_seeds(along, tenth)
        if len(compared) == sum(final.pairs) and len(c_dec_then) == len(c_dec):
            health = _health(points, c_dec_then, before, tenth)
            reading = read_stability(compared, overlap_of(c_dec_then))
            stops.append(_stop(tenth, reading, health, d_sae, leans))
        before = c_dec_then
    if not any(stop.tenth < TENTHS for stop in stops):
        return Course(unknown=NOT_KEPT)
    return Course(tuple(stops))


def at_tenth_of_seeds(along: pd.DataFrame, tenth: int) -> pd.DataFrame:
    """Return the rows of `stability_training` after so many tenths of the training."""
    ends = along.groupby("l0")["step"].transform("max")
    return along[along["step"] == -(-tenth * ends // TENTHS)]


def _health(
    points: pd.DataFrame, c_dec: pd.DataFrame, before: pd.DataFrame, tenth: int
) -> pd.DataFrame:
    """Return the health of the points after so many tenths, as far as it refuses an answer."""
    curve = curve_of(c_dec, "c_dec")
    then = c_dec.merge(before[[*_POINT, "value"]], on=_POINT, suffixes=("", "_before"))
    moved = (then["value"] - then["value_before"]).abs() * tenth / TENTHS
    then["c_dec_moved"] = moved / scale_of(read_curve(curve), curve)
    known = [name for name in ("c_dec_moved", "init_cosine_median") if name in then]
    return points[[*_POINT, "l0_measured"]].merge(then[[*_POINT, *known]], on=_POINT, how="left")


def _stop(
    tenth: int, reading: StabilityReading, health: pd.DataFrame, d_sae: int, leans: bool
) -> Stop:
    """Return what is answered from the agreement of seeds and the health of the points."""
    decision = decide(None, {}, {}, health, d_sae, reading, leans)
    named = decision.outcome == READ
    return Stop(
        tenth,
        decision.outcome,
        decision.l0 if named else None,
        decision.low if named else None,
        decision.high if named else None,
        _best_place(reading),
    )


def _best_place(reading: StabilityReading) -> float:
    """Return where seeds agree best, whether it counts or not; NaN where as much everywhere."""
    peak, points = reading.peak, reading.points
    if peak.outcome == FALLS:
        return points[-1]
    if peak.outcome == NO_PEAK:
        return points[0] if math.isnan(peak.overlapping) else peak.overlapping
    return peak.l0
