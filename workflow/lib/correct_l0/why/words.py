"""The text of `make why`, for a terminal of 80 columns."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from correct_l0.costs.memory import device_of, gpu_mem_mb
from correct_l0.stages import BY_RULE
from correct_l0.study.config import Config
from correct_l0.study.plan import Plan
from correct_l0.why.preflight import Preflight, RuleCost
from correct_l0.why.rates import Rate
from correct_l0.why.reasons import Why, fold_points

WIDTH = 80


def reasons_in_words(plan: Plan, whys: Sequence[Why]) -> list[str]:
    """Return what would run and why; what has the same reason stands together."""
    lines, above = ["WHY"], ""
    order = {point: number for number, point in enumerate(plan.points)}
    # Snakemake lists jobs in another order every time.
    sweep = sorted(whys, key=lambda why: order[why.points[0]] if why.points else -1)
    for rules, reason, jobs in _folded(sweep):
        points = [point for why in jobs for point in why.points]
        names = [_name(rule, [why for why in jobs if why.job.rule == rule]) for rule in rules]
        title = ", ".join(names)
        if not points:
            lines += wrap(f"{title}: {reason}")
        else:
            lines += wrap(title) if title != above else []
            lines += wrap(f"{fold_points(points, plan.points)}: {reason}", indent="    ")
        above = title if points else ""
    return lines


def _name(rule: str, whys: Sequence[Why]) -> str:
    parts = len(whys) if not whys[0].points else 1
    title = BY_RULE[rule].title if rule in BY_RULE else rule
    return title + (f" ({parts} parts)" if parts > 1 else "")


def _folded(whys: Sequence[Why]) -> list[tuple[list[str], str, list[Why]]]:
    """Return rules, reason and jobs; rules with one reason and the same points together."""
    groups: list[tuple[list[str], str, list[Why]]] = []
    for rule in dict.fromkeys([*BY_RULE, *(why.job.rule for why in whys)]):
        by_reason: dict[str, list[Why]] = {}
        for why in whys:
            if why.job.rule == rule:
                by_reason.setdefault(why.reason, []).append(why)
        for reason, jobs in by_reason.items():
            same = [g for g in groups if g[1] == reason and _points(g[2]) == _points(jobs)]
            if same:
                same[-1][0].append(rule)
                same[-1][2].extend(jobs)
            else:
                groups.append(([rule], reason, jobs))
    return groups


def _points(whys: Sequence[Why]) -> set[tuple[str, int]]:
    return {point for why in whys for point in why.points}


def wrap(text: str, indent: str = "  ") -> list[str]:
    """Return a paragraph as lines, all but the first further in; a number keeps its unit."""
    lines = textwrap.wrap(
        re.sub(r"(\d) (TB|GB|MB|days|h|min|s)\b", "\\1\xa0\\2", text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\xa0", " ") for line in lines]


def costs_in_words(
    study: Config, preflight: Preflight, rates: Mapping[str, Rate], free: int
) -> list[str]:
    """Return what the jobs cost: a table, wall time, disk, and where the figures come from."""
    lines = ["COST", *_table(preflight.rules)]
    if preflight.perhaps_less:
        count = preflight.perhaps_less
        saes = "the SAE stands" if count == 1 else f"some of {count} SAEs stand"
        lines += wrap(f"All this is at most: less where {saes}.")
    lines += [""]
    gpu = any(cost.on_gpu for cost in preflight.rules)
    at_once = preflight.at_once
    what = ("GPU" if gpu else "core") + "s" * (at_once > 1)
    about = "at most about" if preflight.perhaps_less else "about"
    wall = f"{about} {duration(preflight.wall_s)} with {at_once} {what} at once (--jobs)"
    lines += wrap(f"Wall time: {wall}, without any queue.")
    if gpu and any(cost.rule == "train_points" for cost in preflight.rules):
        needed = gpu_mem_mb(study, preflight.together) * 2**20
        lines += wrap(f"Training needs about {size(needed)} of a GPU.")
    lines += [*_disk(preflight, free), *_sources(study, preflight.rules, rates)]
    return lines


def _table(rules: Sequence[RuleCost]) -> list[str]:
    lines = [
        f"  {'rule':<26}{'jobs':>5}{'each':>9}{'in all':>9}{'on':>6}{'memory':>10}{'limit':>9}"
    ]
    for cost in rules:
        each, memory = duration(cost.seconds / cost.jobs), size(cost.mem_mb * 1e6)
        limit, on = duration(60 * cost.limit_min), "GPU" if cost.on_gpu else "core"
        lines.append(
            f"  {cost.rule:<26}{cost.jobs:>5}{each:>9}{duration(cost.seconds):>9}{on:>6}"
            f"{memory:>10}{limit:>9}"
        )
    return [*lines, *wrap(f"In all {', '.join(_totals(rules))}.")]


def _totals(rules: Sequence[RuleCost]) -> Iterator[str]:
    yield f"{sum(cost.jobs for cost in rules)} jobs"
    for on_gpu, unit in ((True, "GPU"), (False, "core")):
        total = sum(cost.seconds for cost in rules if cost.on_gpu == on_gpu)
        if total:
            yield worked(total, unit)


def worked(s: float, unit: str) -> str:
    """Return the time that GPUs or cores are at work.

    Examples
    --------
    >>> worked(90, "core"), worked(5400, "GPU"), worked(90_000, "GPU")
    ('2 core-minutes', '1.5 GPU-hours', '25 GPU-hours')
    """
    if s >= 3600:
        return f"{s / 3600:,.{int(s < 36_000)}f} {unit}-hours"
    return f"{math.ceil(s / 60)} {unit}-minutes"


def _disk(preflight: Preflight, free: int) -> list[str]:
    total = sum(preflight.disk.values())
    parts = sorted(preflight.disk.items(), key=lambda part: -part[1])
    listed = ", ".join(f"{name} {size(part)}" for name, part in parts)
    lines = wrap(f"Disk: {size(total)} to be written ({listed}), {size(free)} free here.")
    needed = total + preflight.checkpoints
    if preflight.checkpoints:
        lines += wrap(f"Checkpoints take up to {size(preflight.checkpoints)} more while they run.")
    if needed > free:
        lines += wrap(
            f"WARNING: it does not fit. {size(needed)} are needed, {size(free)} are free; run "
            "where there is room (snakemake --directory), or cache fewer tokens."
        )
    return lines


def _sources(study: Config, rules: Sequence[RuleCost], rates: Mapping[str, Rate]) -> list[str]:
    device = device_of(study)
    if device == "cuda":
        source = "Estimated from throughputs measured on one H100"
    else:
        source = "Estimated from throughputs measured on one CPU core"
    measured = [
        f"{rule} times {rate.factor:.2g} ({rate.points} point{'s' * (rate.points > 1)} done)"
        for rule, rate in rates.items()
        if any(cost.rule == rule for cost in rules)
    ]
    if measured:
        source += f"; corrected by measured rates: {', '.join(measured)}"
    lines = wrap(f"{source}.")
    if study.device == "auto" and device == "cpu":
        lines += wrap("This machine has no GPU; for the cost on one, set device: cuda.")
    return lines


def duration(s: float) -> str:
    """Return seconds in the unit that reads best; never days, which are no unit of GPU time.

    Examples
    --------
    >>> duration(40), duration(400), duration(10_757), duration(400_000)
    ('40 s', '7 min', '3.0 h', '111 h')
    """
    if s >= 7200:
        return f"{s / 3600:,.{int(s < 360_000)}f} h"
    return f"{s / 60:.0f} min" if s >= 120 else f"{s:.0f} s"


def size(count: float) -> str:
    """Return bytes in the unit that reads best, 1 GB being 10^9 bytes.

    Examples
    --------
    >>> size(2_314_840_000_000), size(3_630_000_000), size(56_000_000)
    ('2.3 TB', '3.6 GB', '56 MB')
    """
    for unit, length in (("TB", 1e12), ("GB", 1e9)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"
