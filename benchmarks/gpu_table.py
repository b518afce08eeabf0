"""The tables of `make gpu-check` for README.md and docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Row = Mapping[str, str]
RIVAL = "SAELens, autocast, compiled"
"""SAELens' fastest step."""
MISSED = "below target"
NONE = "–"
"""Shown for what was not measured."""


def steps(rows: Sequence[Row], full: bool) -> list[str]:
    """Return the lines of the table of training steps, by L0.

    Examples
    --------
    >>> made = {"step, ours, reduced, sparse, L0 20": "5", "step, ours, reduced, dense, L0 20": "8",
    ...         "step, SAELens, autocast, compiled, L0 20": "18",
    ...         "SAELens, autocast, compiled / ours, L0 20": "3.6"}
    >>> rows = [{"what": what, "value": value, "verdict": "met"} for what, value in made.items()]
    >>> steps(rows, full=False)[-1]
    '| 20 | 5 ms (sparse) | 18 ms | 3.6 |'
    """
    values = {row["what"]: row["value"] for row in rows if row["value"]}
    missed = {row["what"] for row in rows if row["verdict"] == MISSED}
    head = ["L0", "ours, reduced", "SAELens, compiled", "times as fast"]
    if full:
        head += [
            "ours, float32",
            "SAELens, autocast",
            "share of the floor's speed",
            "peak GB, ours / compiled",
        ]
    lines = [_line(head), "|" + "---|" * len(head)]
    found = (re.fullmatch(r"step, ours, reduced, dense, L0 (\d+)", what) for what in values)
    for l0 in (match[1] for match in found if match):
        best, ms = _best(values, "reduced", l0)
        ratio = f"{RIVAL} / ours, L0 {l0}"
        cells = [l0, ms]
        cells += [_ms(values.get(f"step, {RIVAL}, L0 {l0}"))]
        cells += [_marked(values.get(ratio), ratio in missed)]
        if full:
            floor = f"floor / ours, L0 {l0}"
            names = (f"step, ours, reduced, {best}", f"step, {RIVAL}")
            memory = [values.get(f"{name}, L0 {l0}: peak memory") for name in names]
            cells += [_best(values, "float32", l0)[1]]
            cells += [_ms(values.get(f"step, SAELens, autocast, L0 {l0}"))]
            cells += [_marked(values.get(floor), floor in missed)]
            cells += [" / ".join(f"{float(each):.3g}" if each else NONE for each in memory)]
        lines.append(_line(cells))
    return lines


def _best(values: Mapping[str, str], precision: str, l0: str) -> tuple[str, str]:
    """Return the faster form of our step, and its time in words; where none was timed `NONE`."""
    forms = {
        form: float(values[key])
        for form in ("dense", "sparse")
        if (key := f"step, ours, {precision}, {form}, L0 {l0}") in values
    }
    if not forms:
        return "", NONE
    best = min(forms, key=lambda form: forms[form])
    return best, f"{forms[best]:.3g} ms ({best})"


def others(rows: Sequence[Row], full: bool) -> list[str]:
    """Return the lines of the table of all else that was timed; in short, what is missed of it."""
    shown = [
        row
        for row in rows
        if (row["part"] in ("study", "utilisation") or _of_others(row["what"]))
        and row["value"]
        and row["verdict"] not in ("ok", "FAILED")
        and (full or row["verdict"] == MISSED)
    ]
    lines = [_line(["part", "what", "value", "aim", "note"]), "|---|---|---|---|---|"]
    for row in shown:
        value = f"{float(row['value']):.3g} {row['unit']}".strip()
        aim = f"**misses {row['wanted']}**" if row["verdict"] == MISSED else row["wanted"]
        lines.append(_line([row["part"], row["what"], value, aim, row["note"]]))
    return lines if shown else []


def content(rows: Sequence[Row], full: bool) -> str:
    """Return what stands between the markers."""
    if not rows:
        return "\nNot measured yet: `make gpu-check`.\n"
    wanted = [row for row in rows if row["wanted"]]
    right = [row["verdict"] for row in wanted if row["verdict"] in ("ok", "FAILED")]
    speed = [row["verdict"] for row in wanted if row["verdict"] in ("met", MISSED)]
    first = rows[0]
    broken = [row for row in rows if row["verdict"] == "ERROR"]
    broke = f"{len(broken)} checks broke off, " if broken else ""
    said = (
        f"{broke}{right.count('ok')} of {len(right)} numbers right, {speed.count('met')} of "
        f"{len(speed)} aims of speed and memory met: {first['device']}, {first['date']}, commit "
        f"{first['commit']}."
    )
    lines = [said, "", *steps(rows, full), "", *others(rows, full)]
    if full:
        lines += ["", f"With {first['versions']}."]
    return "\n".join(["", *lines, ""])


def _ms(value: str | None) -> str:
    return f"{float(value):.3g} ms" if value else NONE


def _marked(value: str | None, missed: bool) -> str:
    if not value:
        return NONE
    shown = f"{float(value):.3g}"
    return f"**{shown}, below its target**" if missed else shown


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _of_others(what: str) -> bool:
    """Return whether a row is of the step of another architecture than BatchTopK.

    Examples
    --------
    >>> [_of_others(f"step, ours, {rest}") for rest in ("topk, reduced, L0 50", "float32, dense")]
    [True, False]
    """
    return what.startswith("step, ours, ") and what.split(", ")[2] not in ("reduced", "float32")
