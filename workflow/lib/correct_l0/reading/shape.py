"""The shape of a curve over log L0: smooth, where it is highest, how far it stays near that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

ALONE = 1e-200
"""Spread of the weighted points below which a line through them is lost in rounding."""


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


def rise(curve: Float[np.ndarray, " points"], at: int) -> float:
    """Return how far a curve lies above its lowest point since it was last higher than there.

    Examples
    --------
    >>> curve = np.array([0.0, 0.7, 0.5, 0.6, 0.8])
    >>> round(rise(curve, 3), 9), round(rise(curve, 4), 9)
    (0.1, 0.8)
    """
    higher = np.flatnonzero(curve[:at] > curve[at])
    first = int(higher[-1]) + 1 if len(higher) else 0
    return float(curve[at] - curve[first : at + 1].min())


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
