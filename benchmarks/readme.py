"""Write the tables of README.md and docs/benchmarks.md from the benchmarks' results.

    python benchmarks/readme.py [--check]

docs/benchmarks.md has everything; the README has of each room the first workload that meets its
target, and everything that does not. `--check` changes nothing and fails where a table is not that
of the results.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import gpu_table
import result_tables as tables
import study_metrics

HERE = Path(__file__).parent

README, DOCS = HERE.parent / "README.md", HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
BEGIN_GPU, END_GPU = "<!-- gpu -->", "<!-- /gpu -->"
ROOMS = {
    "study": "The whole study",
    "saes": "Training",
    "activations": "Activations",
    "decoder_metrics": "Decoder metrics",
    "probing": "Probing",
    "toy_model": "Toy model",
}
"""The rooms in the order of the tables, and their headings."""


def ratio_words(row: tables.Row) -> str:
    """Return a ratio with its range, or why there is none.

    Examples
    --------
    >>> ratio_words({"error": "", "ratio": "8.1", "smallest": "7.6", "largest": "8.4"})
    '8.1 (7.6 to 8.4)'
    """
    if row["error"]:
        return "failed"
    if row["smallest"] == row["largest"]:
        return row["ratio"]
    return f"{row['ratio']} ({row['smallest']} to {row['largest']})"


def target_words(row: tables.Row) -> str:
    """Return a target and whether it is met.

    Examples
    --------
    >>> target_words({"target": "4", "met": "no"}), target_words({"target": "4", "met": "yes"})
    ('**below the target of 4**', '4')
    >>> target_words({"target": "", "met": ""})
    ''
    """
    return f"**below the target of {row['target']}**" if row["met"] == "no" else row["target"]


def memory_words(row: tables.Row) -> str:
    """Return the peak memory of both sides, and whether ours is within its limit.

    Examples
    --------
    >>> memory_words({"memory_mb_ours": "90", "memory_mb_rival": "800", "memory_limit_mb": "100",
    ...               "memory_met": "yes"})
    '90 / 800 (limit 100)'
    """
    if not row["memory_mb_ours"]:
        return ""
    words = f"{row['memory_mb_ours']} / {row['memory_mb_rival']}"
    if not row["memory_limit_mb"]:
        return words
    if row["memory_met"] == "no":
        return f"{words}, **above the limit of {row['memory_limit_mb']}**"
    return f"{words} (limit {row['memory_limit_mb']})"


def in_short(summary: Sequence[tables.Row]) -> list[tables.Row]:
    """Return of each room the first row that meets all that is wanted, and every one that does not.

    Rows of which nothing is wanted are left out.
    """
    missed = [row for row in summary if "no" in (row["met"], row["memory_met"])]
    met = [row for row in summary if row["target"] and row not in missed]
    first = {row["room"]: row for row in reversed(met)}.values()
    return [row for row in summary if row in missed or row in first]


def ratio_table(shown: Sequence[tables.Row], full: bool) -> list[str]:
    """Return the lines of the table of ratios; a full one has the times as well.

    Memory has a column where a row has it.
    """
    with_memory = any(row["memory_mb_ours"] for row in shown)
    head = ["workload", "against", "times as fast", "target"]
    if full:
        head[3:3] = ["ours", "theirs"]
    if with_memory:
        head.append("peak MB, ours / theirs")
    lines = [_line(head), "|" + "---|" * len(head)]
    names = [*ROOMS, *sorted({row["room"] for row in shown} - set(ROOMS))]
    for room in names:
        rows = [row for row in shown if row["room"] == room]
        if rows:
            lines.append(_line([f"**{ROOMS.get(room, room)}**", *[""] * (len(head) - 1)]))
        for row in rows:
            cells = [row["workload"], row["rival"], ratio_words(row)]
            if full:
                cells += [f"{row[side]} {row['unit']}".strip() for side in ("ours", "rivals")]
            cells.append(target_words(row))
            lines.append(_line([*cells, memory_words(row)] if with_memory else cells))
    return lines


def start_up_table(rows: Sequence[tables.Row]) -> list[str]:
    """Return the lines of the table of start-up times; none where nothing was measured."""
    if not rows:
        return []
    lines = [_line(["start-up", "seconds", "limit"]), "|---|---|---|"]
    for row in rows:
        over = row["met"] == "no"
        limit = f"**above the limit of {row['limit']}**" if over else row["limit"]
        lines.append(_line([row["what"], row["seconds"], limit]))
    return ["", *lines]


def provenance(summary: Sequence[tables.Row]) -> list[str]:
    """Return where, when and with what code the rows were measured."""
    found = dict.fromkeys(
        (row["machine"], row["cores"], row["date"], row["commit"]) for row in summary
    )
    places = [
        f"{machine}, {cores} cores, {date}, commit {commit}"
        for machine, cores, date, commit in found
    ]
    later = [commit for row in summary if (commit := row.get("memory_commit"))]
    places += [
        f"memory of {later.count(commit)} of them, measured alone: commit {commit}"
        for commit in dict.fromkeys(later)
    ]
    return places


def content(
    summary: Sequence[tables.Row], start_up: Sequence[tables.Row], full: bool = False
) -> str:
    """Return what stands between the markers."""
    if not summary:
        return "\nNot measured yet: `make bench`.\n"
    met = [row[key] for row in summary for key in ("met", "memory_met") if row[key]]
    met += [row["met"] for row in start_up if row["met"]]
    counted = f"{met.count('yes')} of {len(met)} targets and limits met."
    if not full:
        slow = [row for row in start_up if row["met"] == "no"]
        lines = [*ratio_table(in_short(summary), full), *start_up_table(slow), "", counted]
        return "\n".join(["", *lines, ""])
    lines = [*ratio_table(summary, full), *start_up_table(start_up), ""]
    lines += [f"{counted} Measured on:", ""]
    lines += [f"- {place}" for place in provenance([*summary, *start_up])]
    if same := study_metrics.written():
        what = "The metrics of the default study's SAEs, when both last trained all of them:"
        lines += ["", what, "", *same]
    return "\n".join(["", *lines, ""])


def with_content(text: str, new: str, begin: str = BEGIN, end: str = END) -> str:
    """Return a document with what stands between its markers replaced.

    Examples
    --------
    >>> with_content(f"a {BEGIN} old {END} z", " new ") == f"a {BEGIN} new {END} z"
    True
    """
    before, rest = text.split(begin)
    return f"{before}{begin}{new}{end}{rest.split(end)[1]}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def documents() -> dict[Path, str]:
    """Return both documents as the results want them."""
    summary, start_up = (tables.read(tables.RESULTS / t) for t in (tables.SUMMARY, tables.START_UP))
    gpu = tables.read(tables.RESULTS / "gpu_check.csv")
    made = {}
    for path, full in ((README, False), (DOCS, True)):
        text = with_content(path.read_text(), content(summary, start_up, full))
        made[path] = with_content(text, gpu_table.content(gpu, full), BEGIN_GPU, END_GPU)
    return made


def stale() -> dict[Path, str]:
    """Return the documents that do not say what the results say, as they should be."""
    return {path: text for path, text in documents().items() if path.read_text() != text}


def write() -> None:
    """Write both documents."""
    for path, text in stale().items():
        path.write_text(text)


def main() -> int:
    """Write both documents, or say which is not up to date."""
    if "--check" not in sys.argv[1:]:
        write()
        return 0
    for path in stale():
        print(f"{path.name}: not the table of the results; run python benchmarks/readme.py")
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main())
