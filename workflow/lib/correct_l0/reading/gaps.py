"""The gaps of a grid of L0, and points in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from correct_l0.reading.remedy import FINE_ENOUGH
from correct_l0.settings.base import rounded_l0

Gap = tuple[float, float]
"""Two neighbours on the grid."""

SAME = 1.03
"""Two L0 that are nearer than this, as a ratio, are the same."""


def gaps_beside(point: float | None, grid: Sequence[float]) -> list[Gap]:
    """Return the gaps of the grid that a point of it ends."""
    return [gap for gap in pairwise(grid) if point in gap]


def point_in(gap: Gap, grid: Sequence[float], *, whole: bool = False) -> float | None:
    """Return the point of a gap that is trained next; none where its ends are near enough.

    Its middle on log L0, rounded; where an end of it is the range's, and not trained, that end.

    Examples
    --------
    >>> grid = [4.0, 16.0, 53.0, 60.0, 130.0]
    >>> point_in((60.0, 130.0), grid), point_in((4.0, 16.0), grid), point_in((53.0, 60.0), grid)
    (88.0, 8.0, None)
    >>> point_in((130.0, 300.0), grid)
    300.0
    """
    for end in gap:
        if end not in grid:
            return end
    low, high = gap
    if high <= FINE_ENOUGH * low:
        return None
    middle = math.sqrt(low * high)
    return float(round(middle)) if whole and middle < 10 else rounded_l0(middle)


def gap_around(x: float, grid: Sequence[float]) -> Gap | None:
    """Return the gap that an L0 lies in; none where it is a point of the grid or outside."""
    return next(((a, b) for a, b in pairwise(grid) if a < x < b), None)


def apart(x: float, other: float) -> bool:
    """Tell whether two L0 are not the same."""
    return abs(math.log(x / other)) > math.log(SAME)


def ratio(gap: Gap) -> float:
    """Return a gap's upper end over its lower one."""
    return gap[1] / gap[0]
