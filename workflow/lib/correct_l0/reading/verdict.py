"""From the readings of the curves to one answer, with everything that speaks against it.

Two *voices* of the decoder, c_dec and s_n^dec, say which L0; F1 agrees, disagrees or cannot tell.
The readings at different n of s_n^dec are one voice: what more than half of them say. Who says
something else is named.

Two voices agree where their intervals overlap, from the last grid point on the rise to the minimum
or its right neighbour: on a grid, a curve only says which neighbours its bottom lies between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pandas as pd

from correct_l0.reading.f1 import FLAT_F1, PEAK, F1Reading
from correct_l0.reading.health import weak_points
from correct_l0.reading.reading import ABOVE_N, FALLS, FLAT, READ, TOO_FEW, TOO_HIGH, CurveReading

DISAGREE = "metrics disagree"
NOT_TRAINED = "not trained enough"
SPLIT = "its n disagree"
SPEAKING = (READ, FALLS, TOO_HIGH)

FINE_ENOUGH = 1.15


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


@dataclass(frozen=True)
class Decision:
    """The answer; `l0`, `low`, `high` are measured L0 and `None` unless there is one to name.

    Attributes
    ----------
    outcome
        `READ`, `FLAT`, `FALLS`, `TOO_HIGH`, `TOO_FEW`, `ABOVE_N`, `NOT_TRAINED` or `DISAGREE`.
    as_it_stands
        For `NOT_TRAINED`: what the curves would say otherwise.
    leaning
        L0 of the points the answer leans on.
    f1_agrees, f1_disagrees, f1_silent
        probe_k of the F1 curves by what they say about the answer.
    add_l0
        Points to add next.
    weak
        Of `leaning`, the points that fail a test of training health (`health.weak_points`).
    """

    outcome: str
    voices: tuple[Voice, ...]
    l0: float | None = None
    low: float | None = None
    high: float | None = None
    as_it_stands: str | None = None
    leaning: tuple[float, ...] = ()
    f1_agrees: tuple[int, ...] = ()
    f1_disagrees: tuple[int, ...] = ()
    f1_silent: tuple[int, ...] = ()
    add_l0: tuple[float, ...] = ()
    weak: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


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
    groups = {what: [v for v in voices if v.outcome == what] for what in (FALLS, TOO_HIGH, FLAT)}
    groups[READ] = _largest_overlap([v for v in voices if v.outcome == READ])
    voters = sum(v.outcome in SPEAKING for v in voices)
    outcome = max(SPEAKING, key=lambda what: len(groups[what]))
    if len(groups[FLAT]) > len(groups[outcome]):
        outcome = FLAT
    elif not voters:
        if any(v.outcome == ABOVE_N for v in voices):
            return Voice(name, ABOVE_N, silent=tuple(v.name for v in voices))
        outcome = TOO_FEW
        groups[outcome] = voices
    elif 2 * len(groups[outcome]) <= voters:
        return Voice(name, SPLIT, differing=tuple(v.name for v in voices if v.outcome in SPEAKING))
    said = groups[outcome]
    middle = {
        key: _median([getattr(v, key) for v in said])
        for key in ("low", "best", "bottom", "high", "reach")
    }
    differing: list[str] = []
    silent: list[str] = []
    for voice in voices:
        if voice in said:
            continue
        (differing if voice.outcome in SPEAKING else silent).append(voice.name)
    return Voice(
        name,
        outcome,
        **middle,
        agreeing=tuple(v.name for v in said),
        differing=tuple(differing),
        silent=tuple(silent),
    )


def decide(
    c_dec: CurveReading | None,
    s_n_dec: Mapping[int, CurveReading],
    f1: Mapping[int, F1Reading],
    health: pd.DataFrame,
    d_sae: int,
) -> Decision:
    """Return the answer.

    Parameters
    ----------
    c_dec
        Reading of c_dec, the headline metric of the paper's later version.
    s_n_dec
        Readings of s_n^dec by n.
    f1
        Readings of F1 by probe_k.
    health
        One row per L0 and seed: `l0`, `l0_measured` and, where known, `init_cosine_median`,
        `c_dec_moved` (in the last tenth of training, as a share of c_dec's jump), `loss_slope`,
        `dead_fraction`.
    d_sae
        Number of latents: no L0 above half of it is proposed.
    """
    voices = tuple(
        ([voice_of(c_dec)] if c_dec else [])
        + ([voice_of_many("s_n^dec", list(s_n_dec.values()))] if s_n_dec else [])
    )
    grid = sorted(health.groupby("l0")["l0_measured"].mean())
    outcome = _common_outcome(voices)
    said = [v for v in voices if v.outcome == READ]
    answer: dict = {}
    if outcome == READ:
        answer = {
            "l0": math.exp(sum(math.log(v.best) for v in said) / len(said)),
            "low": min(v.low for v in said),
            "high": max(v.high for v in said),
        }
        reach = max(v.reach for v in said)
        peaks = {k: reading for k, reading in f1.items() if reading.outcome == PEAK}
        agrees = [
            k for k, r in peaks.items() if any(answer["low"] <= x <= reach for x in r.peak_set)
        ]
        answer |= {
            "f1_agrees": tuple(agrees),
            "f1_disagrees": tuple(k for k in peaks if k not in agrees),
        }
        if answer["f1_disagrees"]:
            outcome = DISAGREE
    answer["f1_silent"] = tuple(k for k, r in f1.items() if r.outcome == FLAT_F1)
    leaning = _leaning(outcome, said, grid)
    answer |= {"leaning": leaning, "weak": weak_points(health, leaning)}
    lean_on = answer["weak"].get("init_cosine", ()) + answer["weak"].get("c_dec_moved", ())
    if len(set(lean_on)) > (len(leaning) / 2 if outcome == FLAT else 0):
        answer |= {"as_it_stands": outcome}
        outcome = NOT_TRAINED
    decision = Decision(outcome, voices, **answer)
    return Decision(**{**vars(decision), "add_l0": next_l0(decision, f1, grid, d_sae)})


def next_l0(
    decision: Decision, f1: Mapping[int, F1Reading], grid: Sequence[float], d_sae: int
) -> tuple[float, ...]:
    """Return the L0 points that would narrow the answer, none where more points cannot.

    Inside the interval: halfway on log L0, unless neighbours are within 15% already. Beyond the
    grid's end: one and two of its last steps further, at most to d_sae / 2.
    """
    if not grid or decision.outcome in (NOT_TRAINED, TOO_FEW, ABOVE_N):
        return ()
    step = grid[-1] / grid[-2] if len(grid) > 1 else 2.0
    if decision.outcome == FALLS:
        wanted = [grid[-1] * step, grid[-1] * step**2]
    elif decision.outcome == TOO_HIGH:
        wanted = [grid[0] / 4, grid[0] / 2]
    else:
        said = [v for v in decision.voices if v.outcome == READ]
        marks = [x for v in said for x in (v.low, v.high)]
        marks += [x for k in decision.f1_disagrees for x in f1[k].peak_set]
        if not marks:
            return ()
        inner = [x for x in grid if min(marks) <= x <= max(marks)]
        wanted = [math.sqrt(a * b) for a, b in pairwise(inner) if b > FINE_ENOUGH * a]
    rounded = dict.fromkeys(_rounded(x) for x in wanted if 1 <= x <= d_sae / 2)
    return tuple(x for x in rounded if all(abs(math.log(x / g)) > 0.03 for g in grid))


def _common_outcome(voices: Sequence[Voice]) -> str:
    outcomes = {v.outcome for v in voices}
    speaking = outcomes & {*SPEAKING, SPLIT}
    if not speaking:
        return next((what for what in (FLAT, ABOVE_N) if what in outcomes), TOO_FEW)
    if len(speaking) > 1 or SPLIT in speaking:
        return DISAGREE
    if speaking == {READ}:
        said = [v for v in voices if v.outcome == READ]
        if max(v.low for v in said) >= min(v.reach for v in said):
            return DISAGREE
    return speaking.pop()


def _leaning(outcome: str, said: Sequence[Voice], grid: Sequence[float]) -> tuple[float, ...]:
    """Points an answer leans on: from the rise to the bottom; the end it is read at; or all."""
    if said:
        low, bottom = min(v.low for v in said), max(v.bottom for v in said)
        return tuple(x for x in grid if low <= x <= bottom)
    if outcome == FALLS:
        return tuple(grid[-2:])
    if outcome == TOO_HIGH:
        return tuple(grid[:2])
    return tuple(grid)


def _largest_overlap(voices: Sequence[Voice]) -> list[Voice]:
    """Return the most voices whose open intervals (low, reach) share a point."""
    overlaps = [[w for w in voices if w.low <= v.low < w.reach] for v in voices]
    return max(overlaps, key=len, default=[])


def _median(values: Sequence[float]) -> float:
    """Return the middle one, the lower of two, of the values that are numbers."""
    known = sorted(v for v in values if math.isfinite(v))
    return known[(len(known) - 1) // 2] if known else math.nan


def _rounded(x: float) -> float:
    """Two significant digits, at least to whole numbers from 10 on.

    Examples
    --------
    >>> _rounded(90.5), _rounded(1234.0), _rounded(5.66)
    (90.0, 1200.0, 5.7)
    """
    return float(f"{x:.2g}")
