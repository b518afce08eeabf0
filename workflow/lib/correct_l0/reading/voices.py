"""What the decoder metrics say together: two voices, c_dec and s_n^dec.

The readings at different n of s_n^dec are one voice: what more than half of them say. Who says
something else is named. Two voices agree where their intervals overlap, from the last grid point on
the rise to the minimum or its right neighbour: on a grid, a curve only says which neighbours its
bottom lies between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from correct_l0.reading.reading import ABOVE_N, FALLS, FLAT, READ, TOO_FEW, TOO_HIGH, CurveReading

DISAGREE = "metrics disagree"
SPLIT = "its n disagree"
SPEAKING = (READ, FALLS, TOO_HIGH)
"""Outcomes that say something about the right L0, in the order in which equal numbers win."""


@dataclass(frozen=True)
class Voice:
    """What a decoder metric says; L0 values are measured ones, NaN where there is none.

    Attributes
    ----------
    outcome
        An outcome of `reading`, or `SPLIT`.
    low, best, bottom, high
        As in `CurveReading`; medians over the agreeing n.
    reach
        Upper end of the interval in which it agrees with others: the minimum, or `high`.
    agreeing, differing, silent
        Names of the curves that say this, that say something else, and that cannot tell or are
        not counted.
    """

    name: str
    outcome: str
    low: float = math.nan
    best: float = math.nan
    bottom: float = math.nan
    high: float = math.nan
    reach: float = math.nan
    agreeing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


def voices_of(c_dec: CurveReading | None, s_n_dec: Mapping[int, CurveReading]) -> tuple[Voice, ...]:
    """Return the voice of c_dec and that of s_n^dec, of those that were measured."""
    voices = [voice_of(c_dec)] if c_dec else []
    if s_n_dec:
        voices.append(voice_of_many("s_n^dec", list(s_n_dec.values())))
    return tuple(voices)


def voice_of(reading: CurveReading) -> Voice:
    """Return the voice of a single curve."""
    return Voice(
        reading.metric,
        reading.outcome,
        reading.low,
        reading.best,
        reading.bottom,
        reading.high,
        max(reading.minimum, reading.high) if reading.outcome == READ else math.nan,
        agreeing=(reading.metric,),
    )


def voice_of_many(name: str, readings: Sequence[CurveReading]) -> Voice:
    """Return the common voice of the same metric at several n: what more than half of them say.

    Readings that name an L0 not below their n have no vote, and the voice is silent where all do;
    flat ones win where they are more than those that say something.
    """
    voices = [voice_of(reading) for reading in readings]
    voters = [v for v in voices if v.outcome in SPEAKING]
    flat = [v for v in voices if v.outcome == FLAT]
    loudest = max((_saying(what, voters) for what in SPEAKING), key=len)
    if len(flat) > len(loudest):
        return _together(name, FLAT, flat, voices)
    if not voters:
        if any(v.outcome == ABOVE_N for v in voices):
            return Voice(name, ABOVE_N, silent=_names(voices))
        return _together(name, TOO_FEW, voices, voices)
    if 2 * len(loudest) <= len(voters):
        return Voice(name, SPLIT, differing=_names(voters))
    return _together(name, loudest[0].outcome, loudest, voices)


def common_outcome(voices: Sequence[Voice]) -> str:
    """Return what the voices say together: `DISAGREE` where they do not say the same.

    Voices that are flat, have too few points or are not counted leave the word to the others.
    """
    outcomes = {v.outcome for v in voices}
    speaking = outcomes & {*SPEAKING, SPLIT}
    if not speaking:
        return next((what for what in (FLAT, ABOVE_N) if what in outcomes), TOO_FEW)
    if len(speaking) > 1 or SPLIT in speaking:
        return DISAGREE
    said = those_that_read(voices)
    if said and max(v.low for v in said) >= min(v.reach for v in said):
        return DISAGREE
    return speaking.pop()


def those_that_read(voices: Sequence[Voice]) -> list[Voice]:
    """Return the voices that name an L0."""
    return [v for v in voices if v.outcome == READ]


def _saying(outcome: str, voters: Sequence[Voice]) -> list[Voice]:
    """Return those that say the same: the same outcome and, where it is an L0, a common place."""
    said = [v for v in voters if v.outcome == outcome]
    return _largest_overlap(said) if outcome == READ else said


def _together(name: str, outcome: str, said: Sequence[Voice], voices: Sequence[Voice]) -> Voice:
    """Return the voice of those in `said`; the other voices differ or are silent."""
    others = [v for v in voices if v not in said]
    return Voice(
        name,
        outcome,
        low=_median(v.low for v in said),
        best=_median(v.best for v in said),
        bottom=_median(v.bottom for v in said),
        high=_median(v.high for v in said),
        reach=_median(v.reach for v in said),
        agreeing=_names(said),
        differing=_names(v for v in others if v.outcome in SPEAKING),
        silent=_names(v for v in others if v.outcome not in SPEAKING),
    )


def _names(voices: Iterable[Voice]) -> tuple[str, ...]:
    return tuple(v.name for v in voices)


def _largest_overlap(voices: Sequence[Voice]) -> list[Voice]:
    """Return the most voices whose open intervals (low, reach) share a point."""
    overlaps = [[w for w in voices if w.low <= v.low < w.reach] for v in voices]
    return max(overlaps, key=len, default=[])


def _median(values: Iterable[float]) -> float:
    """Return the middle one, the lower of two, of the values that are numbers."""
    known = sorted(v for v in values if math.isfinite(v))
    return known[(len(known) - 1) // 2] if known else math.nan
