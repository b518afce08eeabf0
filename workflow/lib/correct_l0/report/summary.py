"""The summary that ends `make demo`: the verdict, where the report is, the time of each stage."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from correct_l0.report.terms import what_is_right


class StageTime(NamedTuple):
    """Jobs of one rule, with the seconds of all of them together and of the longest."""

    rule: str
    jobs: int
    total_s: float
    longest_s: float


def stage_times(*folders: Path | str) -> list[StageTime]:
    """Return the times that Snakemake's benchmark files hold, one row per rule, in order of time.

    Parameters
    ----------
    *folders
        `benchmarks` folders; each rule's files are below the folder of its name.
    """
    files: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("**/*.tsv")):
            files.setdefault(path.relative_to(folder).parts[0].removesuffix(".tsv"), []).append(
                path
            )
    ordered = sorted(files.items(), key=lambda item: min(p.stat().st_mtime for p in item[1]))
    times = []
    for rule, paths in ordered:
        seconds = [s for path in paths if (s := _seconds(path)) is not None]
        if seconds:
            times.append(StageTime(rule, len(seconds), sum(seconds), max(seconds)))
    return times


def render_summary(
    verdict: Mapping[str, Any],
    report: Path | str,
    title: str,
    times: Sequence[StageTime],
    checked: str | None = None,
) -> str:
    """Return the summary as plain text; `checked` is what the self-check says, if there is one."""
    lines = [title, "", verdict["headline"]]
    lines += [*filter(None, [what_is_right(verdict)]), ""]
    said = (*verdict["lines"], verdict["agreement"], *verdict["stability_lines"],
            *verdict["training_lines"], verdict["course_line"], verdict["truth_line"],
            checked)  # fmt: skip
    lines += [f"  {line}" for line in said if line]
    lines += [f"  But: {line}" for line in verdict["caveats"]]
    lines += ["", f"  Next: {verdict['next']['sentence']}"]
    if verdict["next"]["line"]:
        lines.append(f"        {verdict['next']['line']}")
    lines += ["", f"Report: {report}"]
    return "\n".join([*lines, *times_table(times)]) + "\n"


def times_table(times: Sequence[StageTime]) -> list[str]:
    """Return the lines of a table of the stages' times; none where there are no times."""
    if not times:
        return []
    width = max(len(time.rule) for time in times)
    return [
        "",
        "Time of each stage, as last run (s):",
        f"  {'':{width}}  {'jobs':>5} {'sum':>9} {'longest':>9}",
        *(
            f"  {time.rule:{width}}  {time.jobs:5d} {time.total_s:9.1f} {time.longest_s:9.1f}"
            for time in times
        ),
    ]


def _seconds(path: Path) -> float | None:
    """Return the mean wall time of a benchmark file; nothing where it has none."""
    with open(path, newline="") as file:
        seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t") if row.get("s")]
    return sum(seconds) / len(seconds) if seconds else None
