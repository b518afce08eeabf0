"""The curves of a toy study, read like those of a language model, held against the truth."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from correct_l0.reading.curve import curve_of
from correct_l0.reading.reading import CurveReading, read_curve
from correct_l0.reading.verdict import Decision, decide
from correct_l0.report import words
from correct_l0.report.study import plain
from correct_l0.toy_model.report.claims.judgement import Tables
from correct_l0.toy_model.report.claims.metrics import (
    AT_TRUTH,
    ELSEWHERE,
    LEVEL,
    runs_of,
    s_n_minima,
)
from correct_l0.toy_model.report.claims.sweep import (
    PUBLISHED_FEATURES,
    PUBLISHED_L0,
    is_the_papers,
    truth_of,
)

EXACT = "finds the true L0"
INSIDE = "the true L0 is inside its interval"
MISSED = "misses the true L0"
SILENT = "names no L0"


def read_toy_curves(tables: Tables, d_sae: int) -> dict[str, Any]:
    """Read the curves of the sweep and return the verdict, ready for JSON.

    The readings are those of `report.reading` and `report.verdict`; they are not told the truth.

    Parameters
    ----------
    tables
        `points`, `c_dec`, `s_n_dec` and `truth`.
    d_sae
        Number of latents.

    Returns
    -------
    dict
        `outcome`, `headline`, `lines`, `s_n_dec_lines`, `minima` (which n are lowest at the true
        L0, by norm), `caveats`, `decision`, the readings, and `truth`: the true `l0`, the `outcome`
        of holding the answer against it, and that in words (`sentence`).
    """
    truth = truth_of(tables)
    measured = tables["points"].groupby("l0")["l0_measured"].mean()
    names = words.Names(dict(zip(measured, measured.index, strict=True)))
    c_dec, s_n = _readings(tables, measured)
    decision = decide(c_dec, s_n, {}, tables["points"], d_sae)
    grid = sorted(measured)
    lines = [words.curve_line(c_dec, names)] if c_dec else []
    lines += [words.voice_line(v, s_n, names) for v in decision.voices if v.name == "s_n^dec"]
    outcome = hold(decision, truth, grid)
    return plain(
        {
            "outcome": decision.outcome,
            "headline": words.headline(decision, names, grid),
            "truth": {
                "l0": truth,
                "outcome": outcome,
                "sentence": truth_sentence(decision, truth, outcome, names),
            },
            "lines": lines,
            "minima": minima_lines(tables, truth),
            "s_n_dec_lines": [words.curve_line(reading, names) for reading in s_n.values()],
            "caveats": _caveats(tables, words.not_counted(s_n)),
            "decision": asdict(decision) | {"weak": dict(decision.weak)},
            "c_dec": asdict(c_dec) if c_dec else None,
            "s_n_dec": {str(n): asdict(reading) for n, reading in s_n.items()},
        }
    )


def hold(decision: Decision, truth: float, grid: list[float]) -> str:
    """Return how an answer stands to the truth.

    Parameters
    ----------
    decision
        The answer.
    truth
        The true L0.
    grid
        Measured L0 of the points.

    Returns
    -------
    str
        `EXACT`: the L0 named lies nearest to the grid point that is nearest to the truth; `INSIDE`:
        another point, but the truth lies in the interval; `MISSED`; `SILENT`: no L0 is named.
    """
    if decision.l0 is None or decision.low is None or decision.high is None or math.isnan(truth):
        return SILENT
    points = np.array(grid)
    nearest = points[int(np.argmin(np.abs(points - truth)))]
    named = points[int(np.argmin(np.abs(points - decision.l0)))]
    if named == nearest:
        return EXACT
    return INSIDE if decision.low <= truth <= decision.high else MISSED


def truth_sentence(decision: Decision, truth: float, outcome: str, names: words.Names) -> str:
    """Return in words how an answer stands to the truth."""
    known = f"The true L0 is {truth:.2f}"
    if outcome == SILENT or decision.l0 is None:
        return f"{known}; the curves name no L0 to hold against it."
    distance = f"{abs(decision.l0 / truth - 1):.0%} {'above' if decision.l0 > truth else 'below'}"
    if outcome == EXACT:
        return f"{known}: the curves name the grid's nearest point to it, without being told."
    where = "inside" if outcome == INSIDE else "outside"
    return f"{known}, {where} the interval; the L0 named, {names(decision.l0)}, is {distance} it."


def minima_lines(tables: Tables, truth: float) -> list[str]:
    """Return which n of s_n^dec are lowest at the true L0 and which are not, by norm."""
    lines = []
    curves: list[tuple[str, str, str | None, float]] = [
        (f"s_n^dec on {norm} decoder norms", "s_n_dec", norm, truth) for norm in ("unit", "raw")
    ]
    known = truth_of(tables, "superposition_true_l0")
    curves.append(("In superposition s_n^dec", "s_n_dec_superposition", None, known))
    for name, table, norm, true_l0 in curves:
        ns = sorted({*tables[table]["n"].dropna().astype(int)})
        minima = s_n_minima(tables[table], true_l0, ns, norm)
        if not minima:
            continue
        groups = [
            (where, [n for n, minimum in minima.items() if minimum.where == where])
            for where in (AT_TRUTH, LEVEL, ELSEWHERE)
        ]
        said = "; ".join(f"{where} for n = {runs_of(found)}" for where, found in groups if found)
        lines.append(f"{name} is {said}.")
    return lines


def _readings(
    tables: Tables, measured: pd.Series
) -> tuple[CurveReading | None, dict[int, CurveReading]]:
    """Read c_dec, and s_n^dec on unit norms at every n, over each point's mean measured L0."""
    c_table, s_table = (
        tables[name].assign(l0_measured=tables[name]["l0"].map(measured))
        for name in ("c_dec", "s_n_dec")
    )
    unit = s_table[s_table["norm"] == "unit"]
    readings = {
        n: read_curve(curve_of(unit[unit["n"] == n], f"s_n_dec n={n}"), n)
        for n in sorted(unit["n"].dropna().astype(int).unique())
    }
    return read_curve(curve_of(c_table, "c_dec")) if len(c_table) else None, readings


def _caveats(tables: Tables, not_counted: str) -> list[str]:
    caveats, points = [], tables["points"]
    if not is_the_papers(tables):
        caveats.append(
            f"The toy model is not the paper's, which has {PUBLISHED_FEATURES} features and a true "
            f"L0 of {PUBLISHED_L0:g}: the ledger holds the paper's claims against another model."
        )
    if points["seed"].nunique() == 1:
        caveats.append("One seed per L0: the spread over seeds is unknown.")
    if not_counted:
        caveats.append(f"s_n^dec: {not_counted}, as n has to be above the correct L0.")
    if len(points) and (dead := points[points["dead_latents"] > 0])["l0"].nunique():
        l0 = ", ".join(f"{x:g}" for x in sorted(dead["l0"].unique()))
        caveats.append(f"Some latents are dead at L0 {l0}.")
    return caveats
