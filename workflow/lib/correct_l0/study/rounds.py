"""The rounds of a search as their records tell them: which points are known, whether it has ended.

Which points a round adds is a function of the configuration and of what the rounds before it said,
so that a search that was killed goes on to the same points. Imported whenever Snakemake parses the
workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from correct_l0.provenance.manifest import read_or_empty
from correct_l0.reading import RECIPE
from correct_l0.study.plan import Plan
from correct_l0.study.report import round_settings

STAGE = "read_round"


def manifest_of(record: str | Path) -> Path:
    """Return the manifest beside a round's record."""
    return Path(record).with_suffix(".manifest.json")


def read_record(plan: Plan, number: int) -> dict[str, Any] | None:
    """Return what is recorded of a round of a plan, where it was read with these settings.

    Whether the results that it was read from still stand is not asked here: if they do not, they
    are made and read again.
    """
    manifest = read_or_empty(manifest_of(plan.round_file(number)))
    found = [manifest.get(key) for key in ("stage", "recipe", "parameters")]
    if found != [STAGE, RECIPE, round_settings(plan.at_round(number))]:
        return None
    try:
        record: dict[str, Any] = json.loads(Path(plan.round_file(number)).read_text())
        return record if {"add_l0", "add_factor", "why"} <= record.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def follow(plan: Plan) -> Plan:
    """Return the plan of a search with the points of all rounds so far; of a list as it is."""
    if not plan.rounds:
        return plan
    plan = plan.at_round(1)
    while (record := read_record(plan, plan.rounds)) is not None and record["add_l0"]:
        plan = plan.with_round([float(l0) for l0 in record["add_l0"]], int(record["add_factor"]))
    return plan


def has_ended(plan: Plan) -> bool:
    """Tell whether all points are known: of a list always, of a search once it has stopped."""
    return not plan.rounds or read_record(plan, plan.rounds) is not None


def rounds_read(plan: Plan) -> range:
    """Return the numbers of the recorded rounds: all before the last one known, or that too."""
    return range(1, plan.rounds + (plan.rounds > 0 and has_ended(plan)))


def recorded_rounds(plan: Plan) -> list[str]:
    """Return the records that there are."""
    return [plan.round_file(number) for number in rounds_read(plan)]


def open_rounds(plan: Plan) -> list[str]:
    """Return the record that a search is to write next, none where it has ended."""
    return [] if has_ended(plan) else [plan.round_file(plan.rounds)]
