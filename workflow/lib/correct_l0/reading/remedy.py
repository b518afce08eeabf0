"""What to do next: the one place where it is decided, so that no two sentences give two orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.outlying import LEANS
from correct_l0.reading.peak import NO_PEAK
from correct_l0.reading.reading import ABOVE_N, FALLS, TOO_FEW, TOO_HIGH
from correct_l0.reading.stability import NOT_REPRODUCIBLE
from correct_l0.settings.base import rounded_l0

ADD_POINTS = "add L0 points"
WIDEN = "widen the SAE"
TRAIN = "train longer"
TRAIN_OR_NARROW = "train longer or narrower"
RAISE_N = "raise n"
DROP_ROWS = "leave outlying rows out"
MORE_POINTS = "add any L0 points"
NOTHING = "no further L0 point"

FINE_ENOUGH = 1.15
"""Neighbours on the grid that are this near, as a ratio, get no point between them."""
LOWEST_L0 = 1.0

LONGER, MUCH_LONGER = 2, 4
"""How many times longer the next training is to be, the second where seeds disagree: for 768
latents of all-MiniLM-L6-v2 at L0 128, six times the tokens raised the share of latents that two
seeds match above 0.9 from .010 to .05 only, so that twice is no help there."""


@dataclass(frozen=True)
class Remedy:
    """What to do next, and the L0 points to add where it is `ADD_POINTS`."""

    what: str
    add_l0: tuple[float, ...] = ()


def remedy_of(
    outcome: str,
    marks: Sequence[float],
    grid: Sequence[float],
    d_sae: int,
    too_low: bool = False,
) -> Remedy:
    """Return what would help.

    Parameters
    ----------
    outcome
        Of the decision.
    marks
        Between the lowest and the highest of these L0 the answer is unsure: the neighbours of the
        peak, or the bounds of what the voices and the F1 curves name.
    grid
        Measured L0 of all points, lowest first.
    d_sae
        Number of latents: no L0 above half of it is proposed.
    too_low
        Whether seeds agree best at an L0 that is clearly too low, so that no lower one is proposed.

    Examples
    --------
    >>> remedy_of("falls to the grid's end", [], [16.0, 32.0], d_sae=768)
    Remedy(what='add L0 points', add_l0=(64.0, 130.0))
    >>> remedy_of("falls to the grid's end", [], [32.0, 64.0], d_sae=128).what
    'widen the SAE'
    """
    without_points = {
        NOT_TRAINED: TRAIN,
        NOT_REPRODUCIBLE: TRAIN_OR_NARROW,
        TOO_FEW: MORE_POINTS,
        ABOVE_N: RAISE_N,
        LEANS: DROP_ROWS,
    }
    if outcome in without_points:
        return Remedy(without_points[outcome])
    if outcome == FALLS:
        beyond = points_beyond(grid, d_sae)
        return Remedy(ADD_POINTS, beyond) if beyond else Remedy(WIDEN)
    if outcome == NO_PEAK and too_low:
        return Remedy(NOTHING)
    wanted = points_below(grid) if outcome in (TOO_HIGH, NO_PEAK) else points_between(marks, grid)
    added = new_points(wanted, grid, d_sae)
    return Remedy(ADD_POINTS, added) if added else Remedy(NOTHING)


def points_beyond(grid: Sequence[float], d_sae: int) -> tuple[float, ...]:
    """Return one and two of the grid's last steps further, at most half of d_sae.

    That half itself where one step is too far, unless the grid is there already.
    """
    step = grid[-1] / grid[-2] if len(grid) > 1 else 2.0
    added = new_points([grid[-1] * step, grid[-1] * step**2], grid, d_sae)
    most = float(d_sae // 2)
    return added or ((most,) if most > FINE_ENOUGH * grid[-1] else ())


def points_below(grid: Sequence[float]) -> list[float]:
    """Return a quarter and a half of the grid's first L0, at least 1."""
    return [max(LOWEST_L0, grid[0] / 4), max(LOWEST_L0, grid[0] / 2)]


def points_between(marks: Sequence[float], grid: Sequence[float]) -> list[float]:
    """Return the middle, on log L0, of all neighbours within the marks that are not near enough."""
    inner = [x for x in grid if marks and min(marks) <= x <= max(marks)]
    return [math.sqrt(a * b) for a, b in pairwise(inner) if b > FINE_ENOUGH * a]


def new_points(wanted: Sequence[float], grid: Sequence[float], d_sae: int) -> tuple[float, ...]:
    """Return the wanted points, rounded, that are not on the grid, up to d_sae / 2."""
    rounded = dict.fromkeys(rounded_l0(x) for x in wanted if LOWEST_L0 <= x <= d_sae / 2)
    return tuple(x for x in rounded if all(abs(math.log(x / g)) > 0.03 for g in grid))
