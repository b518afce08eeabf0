"""The benchmarks' tables: a row per round and side, a row per comparison; read and written."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from comparison import Comparison

RESULTS = Path(__file__).parent / "results"
ROUNDS, SUMMARY, START_UP = "comparisons.csv", "summary.csv", "start_up.csv"

Row = dict[str, str]

UNKNOWN = "unknown"
"""The commit where git does not tell."""

STAMP = ("machine", "cores", "date", "commit", "versions")
ROUND_COLUMNS = (
    *("name", "room", "workload", "rival", "side", "round", "seconds", "units", "unit"),
    *("threads", "curve", "x", *STAMP),
)
SUMMARY_COLUMNS = (
    *("name", "room", "workload", "rival", "rounds", "ours", "rivals", "unit"),
    *("ratio", "smallest", "largest", "target", "met"),
    *("memory_mb_ours", "memory_mb_rival", "memory_limit_mb", "memory_met", "memory_commit"),
    *("threads", "curve", "x", *STAMP, "error"),
)
START_UP_COLUMNS = ("what", "seconds", "limit", "met", *STAMP)


def ratios(ours: Sequence[float], rival: Sequence[float]) -> list[float]:
    """Return the rival's time over ours, round by round.

    Examples
    --------
    >>> ratios([1.0, 2.0], [4.0, 6.0])
    [4.0, 3.0]
    """
    return [theirs / mine for mine, theirs in zip(ours, rival, strict=True)]


def per_unit(seconds: float, comparison: Comparison) -> float:
    """Return the time of one unit of work, in the comparison's unit (`ms ...` or `s ...`).

    Examples
    --------
    >>> per_unit(3.0, Comparison("a", "saes", "a", "b", dict, unit="ms per step", units=10))
    300.0
    """
    return seconds * (1000 if comparison.unit.split()[0] == "ms" else 1) / comparison.units


def round_rows(
    comparison: Comparison, seconds: Mapping[str, Sequence[float]], stamp: Mapping[str, str]
) -> list[Row]:
    """Return one row per round and side.

    Parameters
    ----------
    comparison
        What was timed.
    seconds
        Of each side, the seconds of each round.
    stamp
        `STAMP`: where, when and with what.
    """
    return [
        {
            **_facts(comparison),
            "side": side,
            "round": str(number),
            "seconds": f"{value:.6g}",
            "units": str(comparison.units),
            **stamp,
        }
        for side, values in seconds.items()
        for number, value in enumerate(values)
    ]


def summary_row(
    comparison: Comparison,
    seconds: Mapping[str, Sequence[float]],
    memory_mb: Mapping[str, float],
    stamp: Mapping[str, str],
) -> Row:
    """Return a comparison's row: the median of the rounds' ratios, their range, and the targets.

    Parameters
    ----------
    comparison, seconds, stamp
        As in `round_rows`.
    memory_mb
        Growth of the resident memory of each side, where it was measured.
    """
    found = ratios(seconds["ours"], seconds["rival"])
    median = statistics.median(found)
    return {
        **_facts(comparison),
        "rounds": str(len(found)),
        "ours": f"{per_unit(statistics.median(seconds['ours']), comparison):.4g}",
        "rivals": f"{per_unit(statistics.median(seconds['rival']), comparison):.4g}",
        "ratio": f"{median:.3g}",
        "smallest": f"{min(found):.3g}",
        "largest": f"{max(found):.3g}",
        "target": _number(comparison.target, ".3g"),
        "met": "" if comparison.target is None else yes(median >= comparison.target),
        **memory_columns(comparison, memory_mb),
        **stamp,
        "error": "",
    }


def memory_columns(comparison: Comparison, memory_mb: Mapping[str, float], commit: str = "") -> Row:
    """Return what a comparison's row has of its memory.

    Parameters
    ----------
    comparison, memory_mb
        As in `summary_row`.
    commit
        Of the code, where it is not that of the times.
    """
    ours, rival = memory_mb.get("ours"), memory_mb.get("rival")
    limit = comparison.memory_limit_mb
    return {
        "memory_mb_ours": _number(ours, ".0f"),
        "memory_mb_rival": _number(rival, ".0f"),
        "memory_limit_mb": _number(limit),
        "memory_met": "" if ours is None or limit is None else yes(ours <= limit),
        "memory_commit": commit,
    }


def same_place(old: Mapping[str, str], stamp: Mapping[str, str]) -> bool:
    """Whether a row was measured on the machine, and with the versions, of a stamp."""
    return all(old[key] == stamp[key] for key in ("machine", "cores", "versions"))


def memory_of_same_code(old: Mapping[str, str], stamp: Mapping[str, str]) -> dict[str, float]:
    """Return the memory that a row has, if the same code and machine would have it.

    Parameters
    ----------
    old
        A comparison's row.
    stamp
        Of the run that did not measure memory; a commit with changes is none in particular.

    Examples
    --------
    >>> here = {"machine": "a", "cores": "2", "commit": "c0ffee", "versions": "torch 2"}
    >>> old = {**here, "memory_mb_ours": "90", "memory_mb_rival": "800"}
    >>> memory_of_same_code(old, here)
    {'ours': 90.0, 'rival': 800.0}
    >>> memory_of_same_code(old, {**here, "commit": "decade"})
    {}
    """
    commit = old.get("memory_commit") or old["commit"]
    same = same_place(old, stamp) and commit == stamp["commit"]
    if not same or stamp["commit"].endswith(("+", UNKNOWN)) or not old["memory_mb_ours"]:
        return {}
    return {side: float(old[f"memory_mb_{side}"]) for side in ("ours", "rival")}


def failed_row(comparison: Comparison, error: str, stamp: Mapping[str, str]) -> Row:
    """Return the row of a comparison that could not be measured."""
    blank = dict.fromkeys(SUMMARY_COLUMNS, "")
    target, limit = _number(comparison.target, ".3g"), _number(comparison.memory_limit_mb)
    wanted = {"target": target, "met": yes(False) if target else "", "memory_limit_mb": limit}
    return {**blank, **_facts(comparison), **wanted, **stamp, "error": error}


def start_up_rows(found: Iterable[Mapping[str, object]], stamp: Mapping[str, str]) -> list[Row]:
    """Return the rows of the start-up times, each held against its limit."""
    rows = []
    for row in found:
        seconds, limit = float(str(row["seconds"])), row.get("limit")
        met = "" if limit is None else yes(seconds <= float(str(limit)))
        rows.append(
            {
                "what": str(row["what"]),
                "seconds": f"{seconds:.3g}",
                "limit": _number(None if limit is None else float(str(limit))),
                "met": met,
                **stamp,
            }
        )
    return rows


def yes(met: bool) -> str:
    """Return how the tables say whether a target is met."""
    return "yes" if met else "no"


def read(path: Path) -> list[Row]:
    """Return the rows of a table; one that is not there has none."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.partial")
    with open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def replace(
    path: Path, columns: Sequence[str], name: str, new: Sequence[Row], order: Sequence[str]
) -> None:
    """Put a comparison's new rows in the place of its old ones.

    Parameters
    ----------
    path, columns
        The table.
    name
        Of the comparison.
    new
        Its rows.
    order
        All comparisons there are: the rows are sorted so, those of others are dropped.
    """
    rows = [row for row in read(path) if row["name"] != name] + list(new)
    place = {known: number for number, known in enumerate(order)}
    kept = [row for row in rows if row["name"] in place]
    write(path, columns, sorted(kept, key=lambda row: place[row["name"]]))


def _facts(comparison: Comparison) -> Row:
    curve, x = comparison.curve or ("", None)
    return {
        "name": comparison.name,
        "room": comparison.room,
        "workload": comparison.workload,
        "rival": comparison.rival,
        "unit": comparison.unit,
        "threads": str(comparison.threads),
        "curve": curve,
        "x": _number(x),
    }


def _number(value: float | None, form: str = "g") -> str:
    return "" if value is None else f"{value:{form}}"
