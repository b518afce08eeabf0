"""The jobs of a study by its sweeps: why each would run, and what they cost together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from correct_l0.costs.memory import gpu_mem_mb
from correct_l0.stages import BY_RULE
from correct_l0.standing import stale
from correct_l0.standing.stale_comparison import find_comparison
from correct_l0.standing.stale_words import Stale
from correct_l0.study.config import Config
from correct_l0.study.plan import Plan
from correct_l0.why.dry_run import Job
from correct_l0.why.preflight import Preflight, estimate, in_all
from correct_l0.why.rates import Rate
from correct_l0.why.reasons import FOLLOWS, NOT_MADE, Why, explain, verbatim
from correct_l0.why.words import reasons_in_words, wrap

COMPARISON = "compare_sweeps"


class Explained(NamedTuple):
    """Why jobs would run: those of the source, of each sweep, and of all sweeps together."""

    source: list[Why]
    sweeps: list[tuple[Plan, list[Why]]]
    comparison: list[Why]


def explain_sweeps(plans: Sequence[Plan], jobs: Sequence[Job]) -> Explained:
    """Return why the jobs of a study would run, each with its sweep's plan; see `explain`."""
    found = {plan.results: stale.find(plan) for plan in plans}
    compared = [job for job in jobs if job.rule == COMPARISON]
    others = [job for job in jobs if job.rule != COMPARISON]
    source: list[Why] = []
    sweeps = []
    for plan in plans:
        its = [job for job in others if job.wildcards.get("results") in (None, plan.results)]
        whys = explain(plan, its, found[plan.results])
        source = source or [why for why in whys if "results" not in why.job.wildcards]
        sweeps.append((plan, [why for why in whys if "results" in why.job.wildcards]))
    comparison = [Why(job, _why_compared(plans, job, others, found)) for job in compared]
    return Explained(source, sweeps, comparison)


def _why_compared(
    plans: Sequence[Plan],
    job: Job,
    others: Sequence[Job],
    found: Mapping[str, Sequence[Stale]],
) -> str:
    if others:
        return FOLLOWS
    if not BY_RULE[COMPARISON].result_of(plans[0]).exists():
        return NOT_MADE
    reasons = [entry.reason for entry in find_comparison(plans, found)]
    return reasons[0] if reasons else verbatim(job.reason)


def explained_in_words(explained: Explained) -> list[str]:
    """Return what would run and why; of several sweeps under the name of each."""
    first = explained.sweeps[0][0]
    if first.study.sweep is None:
        return reasons_in_words(first, [*explained.source, *explained.sweeps[0][1]])
    lines = reasons_in_words(first, explained.source)
    for plan, whys in explained.sweeps:
        nothing = wrap("nothing: every result is there and stands")
        told = reasons_in_words(plan, whys)[1:] or nothing
        lines += [*wrap(f"Sweep {plan.study.sweep}", ""), *told]
    if explained.comparison:
        lines += ["All sweeps", *reasons_in_words(first, explained.comparison)[1:]]
    return lines


def estimate_sweeps(
    explained: Explained, rates: Mapping[str, Rate], at_once: int | None
) -> tuple[Config, Preflight]:
    """Return what all jobs cost together, and the sweep whose training needs most of a GPU."""
    shared = [*explained.source, *explained.comparison]
    parts = []
    for number, (plan, whys) in enumerate(explained.sweeps):
        its = [*(shared if number == 0 else []), *whys]
        parts.append((plan.study, estimate(plan, its, rates, at_once)))
    study, largest = max(parts, key=lambda part: gpu_mem_mb(part[0], part[1].together))
    return study, replace(in_all([cost for _, cost in parts]), together=largest.together)
