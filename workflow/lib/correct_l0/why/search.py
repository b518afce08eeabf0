"""What a search does next, and what all of it costs at most, beside a list as fine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from correct_l0.costs.memory import device_of
from correct_l0.reading.longer import budget_for, later_factors
from correct_l0.reading.remedy import FINE_ENOUGH
from correct_l0.saes.search import L0Search
from correct_l0.settings.base import format_l0
from correct_l0.stages import OF_POINT
from correct_l0.study.plan import Plan
from correct_l0.study.rounds import has_ended, read_record
from correct_l0.why.rates import Rate
from correct_l0.why.words import worked, wrap


def search_in_words(plans: Sequence[Plan], rates: Mapping[str, Rate]) -> list[str]:
    """Return the lines on the searches among the sweeps of a study; none where there are none."""
    lines = [line for plan in plans if plan.rounds for line in _of_sweep(plan, rates)]
    return ["SEARCH", *lines, ""] if lines else []


def _of_sweep(plan: Plan, rates: Mapping[str, Rate]) -> list[str]:
    saes, search = plan.study.saes, plan.study.saes.search
    assert search is not None, "only a search has rounds"
    sweep = "" if plan.study.sweep is None else f"Sweep {plan.study.sweep}: "
    seeds, spent, factor = len(saes.seeds), saes.spent, saes.factor
    counted = f" that count {factor} times each" if factor > 1 else ""
    if has_ended(plan):
        last = read_record(plan, plan.rounds) or {}
        trainings = f"{spent} trainings{', longer ones counted more,' if counted else ''}"
        return wrap(f"{sweep}ended after {plan.rounds} rounds and {trainings}: {last.get('why')}.")
    added = saes.rounds[-1]
    listed, why = ", ".join(map(format_l0, added)), "spaced evenly on log L0"
    if before := read_record(plan, plan.rounds - 1) if plan.rounds > 1 else None:
        why = before["why"]
    lines = wrap(
        f"{sweep}Round {plan.rounds} trains L0 {listed} ({why}): {len(added) * seeds} trainings"
        f"{counted}, {spent - len(added) * seeds * factor} before it; "
        f"about {cost_of(plan, added, rates)}. "
        "What they say decides the next round."
    )
    most = spent + (most_points(search) - len(saes.l0)) * seeds * factor
    bound = "" if search.budget is None else f" (budget {search.budget})"
    left = max(0, min(most, search.budget or most) - spent)
    dearest = [search.highest] * (left // (seeds * factor))
    if dearest:
        most_more = f"At most {len(dearest) * seeds} more trainings{counted} follow{bound}"
        lines += wrap(f"{most_more}, mostly fewer: up to {cost_of(plan, dearest, rates)}.")
    lines += _longer_in_words(plan, search, rates)
    if search.until is not None:
        even = even_points(search)
        lines += wrap(
            f"An even list as fine in all places has {len(even)} points: {len(even) * seeds} "
            f"trainings, about {cost_of(plan, even, rates)}."
        )
    return lines


def _longer_in_words(plan: Plan, search: L0Search, rates: Mapping[str, Rate]) -> list[str]:
    """Return the lines on the longest trainings that there may be yet; none where there are none.

    In the budget they have to find room after what is spent.
    """
    saes = plan.study.saes
    first, seeds = search.first_points(whole=saes.takes_whole_l0), len(saes.seeds)
    fitting = [
        factor
        for factor in later_factors(search, saes.factor)
        if budget_for(search, factor, saes.spent, seeds, whole=saes.takes_whole_l0)
        <= (search.budget or math.inf)
    ]
    if not fitting:
        return []
    longest = fitting[-1]
    cost = cost_of(plan.with_round(first, longest), first, rates)
    return wrap(
        "Where SAEs are not trained enough or not reproducible, it begins anew on up to "
        f"{longest} times the training_tokens: {len(first) * seeds} trainings that count {longest} "
        f"times each, about {cost}, and further ones as long."
    )


def beside_in_words(file: Path, plans: Sequence[Plan], rates: Mapping[str, Rate]) -> list[str]:
    """Return the lines on another configuration, to hold a search against."""
    lines = []
    for plan in plans:
        points = sorted(plan.study.saes.l0)
        trainings = len(points) * len(plan.study.saes.seeds)
        told = f"{file}: {len(points)} points, {trainings} trainings"
        lines += wrap(f"Beside it {told}, about {cost_of(plan, points, rates)}.")
    return [*lines, ""]


def most_points(search: L0Search) -> int:
    """Return how many points the finest grid of a search has, where no budget ends it before.

    Every gap of the first round halved until its parts are near enough, and the half ones to the
    ends of the range.

    Examples
    --------
    Two gaps of a factor 4 are halved four times, to 1.09, those to the ends three times:

    >>> most_points(L0Search(lowest=1, highest=64, first=3, until=1.5))
    49
    """
    gap = (search.highest / search.lowest) ** (1 / search.first)
    halvings = max(0, math.ceil(math.log2(math.log(gap) / math.log(FINE_ENOUGH))))
    return (search.first - 1) * 2**halvings + 1 + 2 * 2 ** max(0, halvings - 1)


def points_of_list(search: L0Search) -> int:
    """Return how many points an even list has that is as fine as `until`, else as can be.

    An interval is two gaps at least, one on each side of the best point.

    Examples
    --------
    >>> points_of_list(L0Search(lowest=1, highest=16, first=3, until=4))
    5
    """
    step = math.sqrt(search.until or FINE_ENOUGH**2)
    ratio = math.log(search.highest / search.lowest) / math.log(step)
    return math.ceil(round(ratio, 9)) + 1


def even_points(search: L0Search) -> list[float]:
    """Return an even list that is as fine in all places as a search ends where it looks.

    Examples
    --------
    >>> even_points(L0Search(lowest=1, highest=16, first=3, until=4))
    [1.0, 2.0, 4.0, 8.0, 16.0]
    """
    gaps = points_of_list(search) - 1
    step = (search.highest / search.lowest) ** (1 / gaps)
    return [round(search.lowest * step**i, 6) for i in range(gaps + 1)]


def cost_of(plan: Plan, l0: Sequence[float], rates: Mapping[str, Rate]) -> str:
    """Return what SAEs of every seed at some L0 cost, measured and probed, in words."""
    total = {True: 0.0, False: 0.0}
    on_gpu = device_of(plan.study) == "cuda"
    for stage in OF_POINT:
        if stage.asked(plan):
            factor = rates.get(stage.rule, Rate()).factor * len(plan.study.saes.seeds)
            seconds = sum(stage.seconds(plan.study, (each,)) for each in l0)
            total[on_gpu and stage.on_device] += factor * seconds
    units = ((total[True], "GPU"), (total[False], "core"))
    return " and ".join(worked(s, unit) for s, unit in units if s)
