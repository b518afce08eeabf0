"""Were the SAEs trained enough? Which points fail, and whether c_dec still moves.

What matters is whether the metric still moves, not whether the loss still falls: a loss that falls
as a power law t^-a falls by about 0.11 a from the last but one tenth of training to the last,
however long the training is, so that no training would get it below a fixed limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from correct_l0.reading.curve import Curve, curve_of
from correct_l0.reading.reading import (
    FALLS,
    READ,
    TOLERANCE_OF_JUMP,
    TOO_HIGH,
    CurveReading,
    read_curve,
)

NOT_TRAINED = "not trained enough"

COSINE_LIMIT = 0.5
"""Median cosine of decoder rows with their initialisation. Above it the rows are nearer to where
they started than to anything else, and c_dec is largely that of random directions. Refuses."""
MOVED_LIMIT = TOLERANCE_OF_JUMP
"""Move of c_dec in the last tenth of training, as a share of its jump: as much as lifts a point off
the curve's bottom, and so may shift the elbow. Refuses."""
SLOPE_LIMIT = 0.01
"""Fall of the loss from the last but one tenth of training to the last. Only a caveat."""
DEAD_LIMIT = 0.1
"""Share of dead latents, which are missing from the dictionary. Only a caveat."""

TENTHS, HALF, NINE_TENTHS = 10, 5, 9
HIGHER, LOWER, OTHERWISE = "higher", "lower", "otherwise"

_POINT = ["l0", "seed"]


@dataclass(frozen=True)
class Convergence:
    """Whether c_dec, and what its curve says, still changed at the end of training.

    Attributes
    ----------
    points
        Measured L0 of the points.
    moved, moved_share
        Mean over seeds of |c_dec at the end - c_dec at nine tenths of training|, by point, and the
        same over `scale`.
    scale
        c_dec's jump; where its minimum is at the lowest L0, its rise towards the highest; NaN where
        it is flat or has too few points, so that there is nothing to hold a move against.
    half, nine_tenths
        c_dec's curve as it stood at half and at nine tenths of training, read like the final one.
    since_half
        Where the bottom of the curve went since half of training: `higher`, `lower`, `OTHERWISE`
        (it had one then or has one now, not both), or nowhere (empty).
    """

    points: tuple[float, ...]
    moved: tuple[float, ...]
    moved_share: tuple[float, ...]
    scale: float
    half: CurveReading
    nine_tenths: CurveReading
    since_half: str


def at_tenth(training: pd.DataFrame, tenth: int) -> pd.DataFrame:
    """Return the rows after so many tenths of the training, c_dec as `value`.

    Trainings of fewer than 10 steps have no row for a tenth that falls on their last step.

    Parameters
    ----------
    training
        Table `c_dec_training`: c_dec at step ceil(i * steps / 10), i = 1 ... 10, by L0 and seed.
    tenth
        1 to 10.
    """
    return _at_tenth(training, _last_steps(training), tenth)


def _last_steps(training: pd.DataFrame) -> np.ndarray:
    """Return the last step of each row's training."""
    return training.groupby(_POINT)["step"].transform("max").to_numpy()


def _at_tenth(training: pd.DataFrame, last: np.ndarray, tenth: int) -> pd.DataFrame:
    step = training["step"].to_numpy()
    wanted = (step == -(-tenth * last // TENTHS)) & ((step < last) | (tenth == TENTHS))
    return training[wanted].rename(columns={"c_dec": "value"})


def last_moves(training: pd.DataFrame) -> pd.DataFrame:
    """Return how far c_dec went in the last tenth of training, one row per L0 and seed: `moved`.

    Examples
    --------
    >>> table = pd.DataFrame({"l0": 4.0, "l0_measured": 4.0, "seed": 0, "step": [9, 10],
    ...                       "c_dec": [0.5, 0.25]})
    >>> last_moves(table)["moved"].tolist()
    [0.25]
    """
    before = at_tenth(training, NINE_TENTHS)[[*_POINT, "value"]]
    both = at_tenth(training, TENTHS).merge(before, on=_POINT, how="left", suffixes=("", "_before"))
    return both.assign(moved=(both["value"] - both["value_before"]).abs())


def read_convergence(
    training: pd.DataFrame, c_dec: pd.DataFrame, final: CurveReading
) -> Convergence:
    """Return whether c_dec still moved.

    Parameters
    ----------
    training
        Table `c_dec_training`.
    c_dec
        Table `c_dec`, with each point's mean measured L0; only its L0 and seeds are looked at.
    final
        Its reading.
    """
    scale = scale_of(final, curve_of(c_dec, "c_dec"))
    moved = last_moves(_placed(training, c_dec)).groupby("l0")[["l0_measured", "moved"]].mean()
    tenths = read_tenths(training, c_dec)
    half, nine_tenths = tenths[HALF], tenths[NINE_TENTHS]
    return Convergence(
        points=tuple(moved["l0_measured"].tolist()),
        moved=tuple(moved["moved"].tolist()),
        moved_share=tuple((moved["moved"] / scale).tolist()),
        scale=scale,
        half=half,
        nine_tenths=nine_tenths,
        since_half=_way(_place(half), _place(final)),
    )


def scale_of(reading: CurveReading, curve: Curve) -> float:
    """Return what a move of c_dec is held against: its jump, or its rise towards the highest L0.

    NaN where there is neither (`Convergence.scale`).
    """
    if reading.outcome in (READ, FALLS):
        return reading.jump
    if reading.outcome == TOO_HIGH:
        return float(curve.means[-1]) - reading.minimum_value
    return math.nan


def read_tenths(training: pd.DataFrame, c_dec: pd.DataFrame) -> dict[int, CurveReading]:
    """Return what c_dec's curve said after each tenth of the training, 1 to 10.

    The SAEs were still learning then, at the learning rate of that moment. Tables as in
    `read_convergence`.
    """
    same = _placed(training, c_dec)
    last, tenths = _last_steps(same), range(1, TENTHS + 1)
    return {i: read_curve(curve_of(_at_tenth(same, last, i), "c_dec")) for i in tenths}


def weak_points(health: pd.DataFrame, l0: Sequence[float]) -> dict[str, tuple[float, ...]]:
    """Return which of the L0 points fail a test of training health, by test.

    Means over seeds: `init_cosine` above 0.5, `c_dec_moved` above 10% of the jump, `loss_slope`
    above 1% per tenth of training, `dead` above 10% of the latents.
    """
    limits = {
        "init_cosine": ("init_cosine_median", COSINE_LIMIT),
        "c_dec_moved": ("c_dec_moved", MOVED_LIMIT),
        "loss_slope": ("loss_slope", SLOPE_LIMIT),
        "dead": ("dead_fraction", DEAD_LIMIT),
    }
    return {
        test: tuple(
            x for x, mean in zip(l0, means_at(health, column, l0), strict=True) if mean > limit
        )
        for test, (column, limit) in limits.items()
    }


def means_at(health: pd.DataFrame, column: str, l0: Sequence[float]) -> list[float]:
    """Return the mean over seeds of a column at points given by their mean measured L0.

    NaN where nothing is known.
    """
    means = health.groupby("l0").mean(numeric_only=True).set_index("l0_measured")
    known = dict(means[column]) if column in means else {}
    return [float(known.get(x, math.nan)) for x in l0]


def _placed(training: pd.DataFrame, c_dec: pd.DataFrame) -> pd.DataFrame:
    """Return c_dec along the training of the points of another table, at their measured L0."""
    return c_dec[[*_POINT, "l0_measured"]].merge(training.drop(columns="l0_measured"), on=_POINT)


def _way(before: float, after: float) -> str:
    if math.isnan(before) or math.isnan(after):
        return "" if math.isnan(before) and math.isnan(after) else OTHERWISE
    return "" if math.isclose(before, after) else HIGHER if after > before else LOWER


def _place(reading: CurveReading) -> float:
    """L0 of the bottom of a curve, or of the grid's end that it is lowest at."""
    if reading.outcome == READ:
        return reading.best
    return reading.minimum if reading.outcome in (FALLS, TOO_HIGH) else math.nan
