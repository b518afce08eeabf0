"""Which L0 points a search trains next, or why it stops: the whole policy, a pure function.

1. A refusal that no point mends ends it, such as n too low. Where SAEs are trained too little or
   are not reproducible, it begins anew with longer trainings, as far as `longer` and the budget go:
   at all first points, as nothing that the shorter ones said is relied on.
2. An interval that is as narrow as was asked, and stands on points as near, ends it too: between
   points that are far apart the curve is a line, and an interval on it too narrow. On the worlds to
   choose on, their curves interpolated to five points a factor 2.2 apart, two of four such missed.
3. Else points go where the answer is unsure: into every gap between neighbours that the interval
   reaches, and the wider ones beside the best point; where the best point is the first or the last,
   to that end of the range, and then into the gap beside it; where the metrics disagree, between
   what they name; beside the best point, while there are too few points of several seeds for a
   reading.
4. Where there is no such gap, or the budget is used, it ends. Further seeds are never asked for: on
   the worlds to choose on a third one hardly moved an answer or its width (docs/calibration.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from correct_l0.reading.gaps import SAME, Gap, apart, gap_around, gaps_beside, point_in, ratio
from correct_l0.reading.longer import TOO_SHORT, budget_for, next_factor
from correct_l0.reading.outlying import LEANS
from correct_l0.reading.peak import FEWEST_POINTS, NO_PEAK
from correct_l0.reading.reading import ABOVE_N, FALLS, READ, TOO_FEW, TOO_HIGH
from correct_l0.reading.voices import DISAGREE
from correct_l0.saes.search import L0Search
from correct_l0.settings.base import format_l0

UNMENDED = {
    ABOVE_N: "every n of s_n^dec is too low, which no further L0 mends: raise n",
    LEANS: "rows of massive norm weigh too much, which no further L0 mends: leave them out",
}
"""Outcomes that are no matter of L0, and that longer training does not mend either."""


@dataclass(frozen=True)
class Said:
    """What a reading says, as far as the search asks; L0 values are targets.

    Attributes
    ----------
    outcome
        Of `verdict.Decision`.
    low, high
        The answer's interval, `None` where no L0 is named.
    add_l0
        The points that the reading itself proposes.
    too_low
        Whether seeds agree best at an L0 that is clearly too low, so that no lower one would help.
    best
        The point at which seeds agree best, of those that may be right; `None` where it is not
        known.
    """

    outcome: str
    low: float | None = None
    high: float | None = None
    add_l0: tuple[float, ...] = ()
    too_low: bool = False
    best: float | None = None


@dataclass(frozen=True)
class Round:
    """What a search does after a reading.

    Attributes
    ----------
    add_l0
        The points that are trained next, lowest first; none where it stops.
    why
        Why these, or why it stops.
    setting
        Where a setting of the search stops it: the setting.
    factor
        How many times the file's training tokens the points are trained on.
    """

    add_l0: tuple[float, ...]
    why: str
    setting: str | None = None
    factor: int = 1

    @property
    def stops(self) -> bool:
        """Whether this is the end."""
        return not self.add_l0


def next_points(
    search: L0Search,
    said: Said,
    grid: Sequence[float],
    seeds: int,
    *,
    whole: bool = False,
    factor: int = 1,
    spent: int | None = None,
) -> Round:
    """Return the next points, or why there are none.

    Parameters
    ----------
    search
        What is searched.
    said
        What the points so far say.
    grid
        Target L0 of all points so far that were trained alike.
    seeds
        SAEs of each point.
    whole
        Whether the architecture takes whole L0 only.
    factor
        How many times the file's training tokens these points were trained on.
    spent
        What of the budget is used; unset: by these points alone.

    Examples
    --------
    An interval from 22 to 130 with a point in it, and room for one more of two seeds:

    >>> search = L0Search(lowest=4, highest=300, first=6, until=1.5, budget=14)
    >>> said = Said("read", 22.0, 130.0)
    >>> next_points(search, said, (4.0, 9.5, 22.0, 53.0, 130.0, 300.0), seeds=2).add_l0
    (83.0,)
    """
    grid = sorted(grid)
    # With fewer points the decoder metrics answer, on which no search of several seeds should end.
    if seeds > 1 and len(grid) < FEWEST_POINTS:
        said = Said(TOO_FEW, best=said.best)
    spent = len(grid) * seeds * factor if spent is None else spent
    if said.outcome in UNMENDED:
        return Round((), UNMENDED[said.outcome])
    if said.outcome in TOO_SHORT:
        return _first_again(search, said.outcome, factor, spent, seeds, whole=whole)
    if _is_narrow(search, said, grid):
        return Round((), f"the interval is as narrow as asked (until {search.until:g})", "until")
    gaps, why = unsure_gaps(said, grid, search)
    middles = [(point_in(gap, grid, whole=whole), gap) for gap in gaps]
    proposed = [(x, gap_around(x, grid)) for x in said.add_l0 if said.outcome == DISAGREE]
    candidates: list[tuple[float | None, Gap | None]] = [*middles, *proposed]
    wanted = {
        x: gap
        for x, gap in candidates
        if x is not None and gap is not None and all(apart(x, known) for known in grid)
    }
    if not wanted:
        return _end(search, said, grid, seeds)
    left = math.inf if search.budget is None else (search.budget - spent) // (seeds * factor)
    if left < 1:
        words = f"the budget of {search.budget} trainings is used"
        return Round((), words, "budget")
    beside = gaps_beside(said.best, grid)
    widest = sorted(wanted, key=lambda x: (wanted[x] not in beside, -ratio(wanted[x]), x))
    chosen: list[float] = []
    for x in widest:
        if len(chosen) < left and all(apart(x, other) for other in chosen):
            chosen.append(x)
    return Round(tuple(sorted(chosen)), why, factor=factor)


def _first_again(
    search: L0Search, outcome: str, factor: int, spent: int, seeds: int, *, whole: bool
) -> Round:
    """Return the first points again with longer trainings, or why there are none."""
    short, longer = TOO_SHORT[outcome], next_factor(search, outcome, factor)
    said = f"{short.said}{f', not even on {factor} times the training_tokens' * (factor > 1)}"
    if longer <= factor:
        return Round((), f"{said}, which no further L0 mends: {short.remedy}", "longer")
    again = f"the first points again, on {longer} times the training_tokens"
    needed = budget_for(search, longer, spent, seeds, whole=whole)
    if search.budget is not None and needed > search.budget:
        words = f"{again}, would take a budget of {needed} trainings, not {search.budget}"
        return Round((), f"{said}, and {words}", "budget")
    return Round(search.first_points(whole=whole), f"{said}: {again}", factor=longer)


def unsure_gaps(said: Said, grid: Sequence[float], search: L0Search) -> tuple[list[Gap], str]:
    """Return the gaps in which points would help, and why, in words.

    Gaps are those between trained points and, where they are not trained, those to the ends of the
    range. Where an L0 is read, gaps beside the best point that are wider than `until` count too.

    Examples
    --------
    >>> search = L0Search(lowest=4, highest=16, until=1.5)
    >>> unsure_gaps(Said("falls to the grid's end"), [4.0, 8.0, 16.0], search)
    ([(8.0, 16.0)], 'the last point, L0 16, is the best so far: whether the best lies before it')
    >>> unsure_gaps(Said("falls to the grid's end"), [5.0, 8.0, 13.0], search)[0]
    [(13.0, 16.0)]
    """
    gaps = list(pairwise(_with_ends(grid, search)))
    if said.outcome == READ and said.low and said.high:
        inside = [(a, b) for a, b in gaps if a * SAME < said.high and b > said.low * SAME]
        beyond = [
            gap
            for gap, reached in (
                (gaps[0], said.low <= grid[0] * SAME),
                (gaps[-1], said.high * SAME >= grid[-1]),
            )
            if reached and not set(gap) <= set(grid)
        ]
        ends = f"{format_l0(said.low)} to {format_l0(said.high)}"
        wide = [gap for gap in gaps_beside(said.best, grid) if ratio(gap) > (search.until or 1e9)]
        return sorted({*inside, *beyond, *wide}), f"to narrow the interval, {ends}"
    if said.outcome == NO_PEAK and said.too_low:
        return [], ""
    if said.outcome == FALLS:
        best = f"the last point, L0 {format_l0(grid[-1])}, is the best so far"
        side = "before" if gaps[-1][1] in grid else "beyond"
        return gaps[-1:], f"{best}: whether the best lies {side} it"
    if said.outcome in (TOO_HIGH, NO_PEAK):
        best = f"the first point, L0 {format_l0(grid[0])}, is the best so far"
        side = "beyond" if gaps[0][0] in grid else "before"
        return gaps[:1], f"{best}: whether the best lies {side} it"
    if said.outcome == TOO_FEW and said.best is not None:
        best = f"the best so far, L0 {format_l0(said.best)}"
        beside = gaps_beside(said.best, _with_ends(grid, search))
        return beside, f"too few points for a reading: beside {best}"
    if said.outcome == TOO_FEW:
        return gaps, "too few points for a reading"
    if said.outcome == DISAGREE:
        return [], "the metrics disagree: between what they name"
    return [], ""


def _with_ends(grid: Sequence[float], search: L0Search) -> list[float]:
    """Return the trained points and the ends of the range, one of two that are the same."""
    ends = (float(search.lowest), float(search.highest))
    return sorted([*grid, *(x for x in ends if all(apart(x, known) for known in grid))])


def _end(search: L0Search, said: Said, grid: Sequence[float], seeds: int) -> Round:
    """Return the end of a search that no gap is left for."""
    if said.outcome == FALLS:
        return Round((), f"the best point is its end, L0 {format_l0(grid[-1])}", "to")
    if said.outcome == NO_PEAK and said.too_low:
        return Round((), "seeds agree best at an L0 that is too low, and ever less above it")
    if said.outcome in (TOO_HIGH, NO_PEAK):
        return Round((), f"the best point is its start, L0 {format_l0(grid[0])}", "from")
    if said.outcome == READ:
        further = ", and further seeds hardly change an interval" if seeds > 1 else ""
        return Round((), f"points in the interval are as close as they get{further}")
    return Round((), f"no further point would help ({said.outcome})")


def _is_narrow(search: L0Search, said: Said, grid: Sequence[float]) -> bool:
    """Return whether an interval is as narrow as asked, and no gap beside its best point is wider.

    Between points that are far apart a curve is a line, and its interval narrower than it should.
    """
    if search.until is None or said.outcome != READ or said.low is None or said.high is None:
        return False
    ratios = [said.high / said.low, *map(ratio, gaps_beside(said.best, grid))]
    return max(ratios) <= search.until
