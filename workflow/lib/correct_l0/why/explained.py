"""What would run and why, and what it would cost, as text: `correct-l0 why`."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

from correct_l0.jobs.running import describe_run
from correct_l0.settings.errors import read_yaml
from correct_l0.study.opened import open_plans
from correct_l0.why.dry_run import read_jobs, run_dry
from correct_l0.why.preflight import free_bytes
from correct_l0.why.rates import measured_rates
from correct_l0.why.search import beside_in_words, search_in_words
from correct_l0.why.sweeps import estimate_sweeps, explain_sweeps, explained_in_words
from correct_l0.why.words import costs_in_words, wrap

UNREADABLE = (
    "The jobs could not be read from Snakemake's dry run, perhaps because of another version of "
    "it; this is what it printed."
)


def describe(
    configfile: Path,
    directory: Path,
    at_once: int | None,
    more: list[str],
    beside: Path | None = None,
) -> str:
    """Return the whole text; `beside` is a configuration to hold the cost of a search against.

    Raises
    ------
    InputError
        If the configuration cannot be used, or Snakemake refuses.
    """
    raw, other_raw = read_yaml(configfile), read_yaml(beside) if beside else None
    shown, configfile = configfile, configfile.absolute()
    with chdir(directory):
        plans = open_plans(raw, configfile.parent)
        plan = plans[0]
        events, text = run_dry(configfile, Path.cwd(), more)
        jobs = read_jobs(events)
        if jobs is None:
            return f"{UNREADABLE}\n\n{text}"
        heading = f"Study {plan.study.study} ({shown})"
        remarks = dict.fromkeys(remark for each in plans for remark in each.warnings())
        other = describe_run(plan.study_folder)
        at_work = wrap(f"Study {plan.study.study} {other}.", "") if other else []
        at_work += [line for remark in remarks for line in wrap(f"Warning: {remark}.", "")]
        if not jobs:
            nothing = f"{heading}: nothing would run. Every result is there and stands."
            return "\n".join([*wrap(nothing, ""), *at_work])
        explained, rates = explain_sweeps(plans, jobs), measured_rates(*plans)
        study, preflight = estimate_sweeps(explained, rates, at_once)
        words = costs_in_words(study, preflight, rates, free_bytes(plan.study_folder))
        heading = f"{heading}: {len(jobs)} job{'s' * (len(jobs) > 1)} would run."
        searching = search_in_words(plans, rates)
        if beside and other_raw:
            searching += beside_in_words(beside, open_plans(other_raw, beside.parent), rates)
        lines = [*wrap(heading, ""), *at_work, "", *explained_in_words(explained), ""]
        lines += [*searching, *words]
        return "\n".join(lines)
