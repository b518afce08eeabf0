"""What the answer would have been with less training, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from correct_l0.reading.course import (
    FEW_POINTS,
    NO_TRAINING,
    NOT_KEPT,
    ONE_SEED,
    Course,
    Stop,
)
from correct_l0.reading.health import TENTHS
from correct_l0.reading.peak import FEWEST_POINTS
from correct_l0.reading.reading import FALLS, READ
from correct_l0.report.names import Names

SAME = 1.25
"""Ratio of the L0 named, up to which neighbouring tenths are told together."""

_UNKNOWN = {
    NO_TRAINING: "these SAEs were not trained here",
    ONE_SEED: "it takes a second seed",
    FEW_POINTS: f"the agreement of seeds is read from {FEWEST_POINTS} L0 on",
    NOT_KEPT: "no decoders were kept along the training (saes.snapshots keeps those of SAEs that "
    "are trained from then on)",
}


def course_line(course: Course, names: Names) -> str:
    """Return what would have been answered after each tenth of the training, or why not.

    Examples
    --------
    >>> stops = [Stop(1, "not trained enough", None, None, None, 8.0)]
    >>> stops += [Stop(i, READ, 10.0 + i, 8.0, 16.0, 10.0 + i) for i in (2, 3)]
    >>> print(course_line(Course(tuple(stops)), Names({})))
    Had the training ended earlier, the answer would have been: none (not trained enough) after 10% of it; L0 about 12 to 14 after 20% to 30%.
    >>> print(course_line(Course(unknown=ONE_SEED), Names({})))
    What the answer would have been with less training is not known: it takes a second seed.
    """  # noqa: E501
    if course.unknown:
        reason = _UNKNOWN[course.unknown]
        return f"What the answer would have been with less training is not known: {reason}."
    parts = [f"{_said(run, names)} after {_when(run)}" for run in _runs(course.stops)]
    parts[0] += " of it"
    return f"Had the training ended earlier, the answer would have been: {'; '.join(parts)}."


def _runs(stops: Sequence[Stop]) -> list[list[Stop]]:
    """Return the stops in runs of those that say the same, L0 up to a factor `SAME`."""
    runs: list[list[Stop]] = []
    for stop in stops:
        if runs and stop.outcome == runs[-1][0].outcome:
            places = [each.place for each in (*runs[-1], stop)]
            if stop.outcome not in (READ, FALLS) or max(places) <= SAME * min(places):
                runs[-1].append(stop)
                continue
        runs.append([stop])
    return runs


def _said(run: list[Stop], names: Names) -> str:
    """Return what a run of stops of one outcome says."""
    outcome = run[0].outcome
    if outcome == READ:
        return f"L0 about {names.span([stop.place for stop in run])}"
    if outcome == FALLS:
        return f"L0 above {names.span([stop.place for stop in run])}"
    return f"none ({outcome})"


def _when(run: list[Stop]) -> str:
    ends = (f"{100 * stop.tenth // TENTHS}%" for stop in (run[0], run[-1]))
    return " to ".join(dict.fromkeys(ends))
