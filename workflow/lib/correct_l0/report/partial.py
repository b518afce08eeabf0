"""The report after a failed run, over the points that stand: `python -m correct_l0.report.partial`.

Reads the configuration as JSON from standard input and writes `results/<study>/partial/`. Points
that are missing, failed or disagree are named as gaps with their reasons; nothing is interpolated.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from correct_l0.errors import InputError
from correct_l0.report.build import build_figures, build_page, build_tables, build_verdict
from correct_l0.report.gather import load_tables
from correct_l0.standing.stale import find
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan


def write_partial_report(plan: Plan) -> Path | None:
    """Write the partial report of a study; return its path, or nothing where no SAE stands."""
    folder = Path(plan.results) / "partial"
    tables, verdict, report = folder / "tables", folder / "verdict.json", folder / "report.html"
    build_tables(plan, tables, allow_gaps=True)
    if not len(load_tables(tables)["points"]):
        return None
    build_verdict(plan, tables, verdict)
    build_figures(plan, tables, verdict, folder / "figures")
    build_page(plan, tables, verdict, folder / "figures", report)
    return report


def is_complete(plan: Plan) -> bool:
    """Tell whether the whole report is there and stands: another sweep failed, not this one."""
    return (Path(plan.results) / "report.manifest.json").exists() and not find(plan)


def main() -> int:
    """Write the partial report of the configuration on standard input."""
    plan = Plan(parse_config(json.load(sys.stdin)))
    sweep = "" if plan.study.sweep is None else f"Sweep {plan.study.sweep}: "
    whole = Path(plan.results) / "report.html"
    if is_complete(plan):
        print(f"{sweep}The report stands: {whole}")
        return 0
    try:
        report = write_partial_report(plan)
    except InputError as error:
        print(f"error: {sweep}{error}", file=sys.stderr)
        return 1
    gaps = Path(plan.results) / "partial" / "tables" / "gaps.csv"
    if report is None:
        print(f"{sweep}No SAE stands yet, so there is no partial report; reasons in {gaps}")
    else:
        print(f"{sweep}Report over the points that stand, with reasons for the others: {report}")
        if whole.exists():
            print(f"{sweep}{whole} is of an earlier run.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
