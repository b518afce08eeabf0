"""Claims about L0 that changes during training: transitions and automatic L0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from correct_l0.report import words
from paper.claims.judgement import (
    CONFOUNDED,
    REPRODUCED,
    Finding,
    Tables,
    all_of,
    by_share,
    count_of,
    not_run,
    number,
    spread_of,
)
from paper.claims.sweep import (
    NEARLY_RIGHT,
    PUBLISHED_L0,
    RIGHT,
    right_verdict,
    truth_of,
    wrong_verdict,
)

REACHED = 0.05
"""Distance from the intended L0 within which a transition has reached it."""
SETTLED = 1.0
"""Distance from the true L0 within which the automatic L0 has found it."""
PAPERS_RULES = {"paper": "as the formula", "paper_lower": "as the text"}
"""The two readings of the paper's rule. Its formula subtracts the bias from the slope, which makes
a descending optimiser raise L0; its text says that the bias pushes L0 lower."""


def reached(runs: pd.DataFrame) -> pd.Series:
    """Return for each transition whether its L0 ended at the intended one."""
    return (runs["l0_end_reached"] - runs["end_l0"]).abs() <= REACHED


def transition_runs(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row per schedule and start: down first, those that reach their end first.

    `reached` tells whether it ends at the intended L0.
    """
    runs = table.assign(reached=reached(table))
    ordered = runs.sort_values(
        ["direction", "reached", "batch_size", "run"], ascending=[True, False, True, True]
    )
    return ordered.drop_duplicates(["run", "start_l0"]).to_dict("records")  # type: ignore[return-value]


def transition(
    tables: Tables, direction: str, right: bool, batch_size: int | None = None
) -> Finding:
    """Transitions that truly reach the final L0 end with right (or wrong) features.

    Without a batch size, all of them, whatever their batch.
    """
    table = tables["transitions"]
    runs = table[(table["direction"] == direction) & reached(table)]
    there = sorted(runs["batch_size"].unique())
    if batch_size is not None:
        runs = runs[runs["batch_size"] == batch_size]
    if not len(runs):
        others = f"; there are some with {words.join([f'{x:g}' for x in there])}" if there else ""
        batch = "" if batch_size is None else f" with batch {batch_size}"
        return not_run(f"no transition {direction}{batch} that reaches its end{others}")
    values = runs.groupby(["run", "start_l0", "seed"])["mean_best_cosine"].mean()
    held = [bool(value >= RIGHT if right else value < NEARLY_RIGHT) for value in values]
    ours = f"mean best cosine {number(values.mean())} at L0 {runs['l0_end_reached'].mean():.4g}; "
    seeds = runs["seed"].nunique()
    verdict = right_verdict(values) if right else wrong_verdict(values)
    return Finding(verdict, ours + count_of(held, "run"), spread_of(values), seeds)


def published_upward_schedule(tables: Tables) -> Finding:
    """The published upward run, whose code stops before the ramp ends.

    Confounded where it does not reach the final L0: its wrong features then say nothing about
    features learned at the right L0. What runs that do reach it show is said beside it.
    """
    table = tables["transitions"]
    upward = table[table["direction"] == "up"]
    short = upward[~reached(upward)]
    whole = upward[reached(upward)]
    if not len(short):
        return not_run("no upward transition by the authors' schedule")
    ends = short.groupby("seed")["l0_end_reached"].mean()
    values = short.groupby("seed")["mean_best_cosine"].mean()
    ours = (
        f"it ends at L0 {number(ends.mean())}, not {PUBLISHED_L0:g}, with mean best cosine "
        f"{number(values.mean())}"
    )
    if len(whole):
        held = whole.groupby(["batch_size", "seed"])["mean_best_cosine"].mean() >= RIGHT
        ours += f"; of runs that reach it, {int(held.sum())} of {len(held)} end right"
    return Finding(CONFOUNDED, ours, spread_of(values), len(values))


def automatic(tables: Tables, start_l0: float) -> Finding:
    """The automatic L0 ends at the true one, by every reading of the paper's rule that was run."""
    truth = truth_of(tables)

    def found(row: dict[Any, Any]) -> bool:
        return bool(abs(row["l0_end"] - truth) <= SETTLED and not _failure(row))

    return _both_readings(tables, start_l0, found)


def automatic_from_below(tables: Tables, start_l0: float) -> Finding:
    """From too low an L0 the SAE does not recover: its features stay wrong."""
    return _both_readings(
        tables, start_l0, lambda row: bool(row["mean_best_cosine"] < NEARLY_RIGHT)
    )


def automatic_overall(tables: Tables) -> Finding:
    """The paper's rule works from every start above the true L0 that was tried."""
    table, truth = tables["auto_l0"], truth_of(tables)
    runs = table[table["rule"].isin(list(PAPERS_RULES)) & (table["start_l0"] > truth)]
    found = [automatic(tables, start) for start in sorted(runs["start_l0"].unique())]
    if not found:
        return not_run("no automatic L0 from above in this study")
    held = sum(finding.verdict == REPRODUCED for finding in found)
    readings = [reading for rule, reading in PAPERS_RULES.items() if (runs["rule"] == rule).any()]
    ours = (
        f"finds the true L0 from {held} of {len(found)} starts above it, by the rule read "
        f"{' and '.join(readings)}"
    )
    verdict = all_of([finding.verdict for finding in found])
    return Finding(verdict, ours, f"ends at L0 {spread_of(runs['l0_end'])}", found[0].seeds)


def _both_readings(
    tables: Tables, start_l0: float, passes: Callable[[dict[Any, Any]], bool]
) -> Finding:
    """Return the finding of a test of each run from a start, by each reading of the rule."""
    table = tables["auto_l0"]
    table = table[table["start_l0"] == start_l0]
    verdicts, parts = [], []
    for rule, reading in PAPERS_RULES.items():
        runs = table[table["rule"] == rule]
        if len(runs):
            held = [passes(row) for row in runs.to_dict("records")]
            verdicts.append(by_share(held))
            parts.append(f"{reading}: {_ends(runs)}; {count_of(held)}")
    if not verdicts:
        return not_run(f"no automatic L0 from {start_l0:g} in this study")
    ends = table[table["rule"].isin(list(PAPERS_RULES))]["l0_end"]
    seeds = table["seed"].nunique()
    return Finding(all_of(verdicts), ". ".join(parts), f"ends at L0 {spread_of(ends)}", seeds)


def _ends(runs: pd.DataFrame) -> str:
    """Return where runs end, and when they got there, in words."""
    steps = runs["steps_to_settle"].dropna()
    after = f" after {steps.mean():,.0f} steps" if len(steps) else ""
    cosine = number(float(runs["mean_best_cosine"].mean()))
    return f"ends at L0 {number(runs['l0_end'].mean())}{after}, mean best cosine {cosine}"


def _failure(row: dict) -> str:
    reason = row.get("failed")
    return reason if isinstance(reason, str) else ""
