"""Where an answer lies: its interval, and the grid points that it stands on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from correct_l0.reading.peak import PeakReading
from correct_l0.reading.reading import FALLS, TOO_HIGH
from correct_l0.reading.voices import Voice, those_that_read


@dataclass(frozen=True)
class Interval:
    """The L0 that is named.

    Attributes
    ----------
    l0
        The peak of stability, or the geometric mean of the voices' own.
    low, high
        The interval of the peak, or the lowest and the highest bound of any voice.
    reach
        Up to here an F1 peak agrees.
    """

    l0: float
    low: float
    high: float
    reach: float


@dataclass(frozen=True)
class Ground:
    """The grid points an answer stands on.

    Attributes
    ----------
    leaning
        Those inside the interval of the peak, or from the rise to the bottom: were one of them
        different, so might be the answer.
    named
        Those it calls right: the one nearest to the peak, or the bottom alone.
    """

    leaning: tuple[float, ...]
    named: tuple[float, ...]


def interval_of_peak(peak: PeakReading) -> Interval:
    """Return the interval of a peak."""
    return Interval(peak.l0, peak.low, peak.high, peak.high)


def interval_of(voices: Sequence[Voice]) -> Interval:
    """Return the interval of voices that agree."""
    said = those_that_read(voices)
    return Interval(
        l0=math.exp(sum(math.log(v.best) for v in said) / len(said)),
        low=min(v.low for v in said),
        high=max(v.high for v in said),
        reach=max(v.reach for v in said),
    )


def ground_of_peak(peak: PeakReading, interval: Interval | None, grid: Sequence[float]) -> Ground:
    """Return what the reading of a peak stands on."""
    if interval is not None:
        inside = tuple(x for x in grid if interval.low <= x <= interval.high or x == peak.point)
        return Ground(inside, (peak.point,))
    if peak.outcome == FALLS:
        return Ground(tuple(grid[-2:]), tuple(grid[-1:]))
    return Ground(tuple(grid), tuple(grid))


def ground_of(outcome: str, voices: Sequence[Voice], grid: Sequence[float]) -> Ground:
    """Return what an answer stands on: the rise and the bottom, the end it is read at, or all."""
    if said := those_that_read(voices):
        low, best = min(v.low for v in said), min(v.best for v in said)
        bottom = max(v.bottom for v in said)
        return Ground(
            tuple(x for x in grid if low <= x <= bottom),
            tuple(x for x in grid if best <= x <= bottom),
        )
    if outcome == FALLS:
        return Ground(tuple(grid[-2:]), tuple(grid[-1:]))
    if outcome == TOO_HIGH:
        return Ground(tuple(grid[:2]), tuple(grid[:1]))
    return Ground(tuple(grid), tuple(grid))


def marks_of_peak(
    peak: PeakReading, interval: Interval | None, grid: Sequence[float]
) -> tuple[float, ...]:
    """Return the grid points between which a peak lies."""
    if interval is None:
        return ()
    below = [x for x in grid if x < peak.point][-1:]
    above = [x for x in grid if x > peak.point][:1]
    return (*below, peak.point, *above)
