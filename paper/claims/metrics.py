"""Claims about c_dec and s_n^dec: where they are lowest, and how they rise from there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from correct_l0.reading.curve import curve_of
from correct_l0.reading.reading import FEWEST_POINTS, CurveReading, read_curve
from paper.claims.judgement import (
    NOT,
    NOT_RUN,
    PARTLY,
    REPRODUCED,
    Finding,
    Tables,
    not_run,
    number,
    rank_correlation,
    spread_of,
)
from paper.claims.sweep import STRONG_RANK, truth_of

PUBLISHED_N = (12, 18, 20, 22)
ALL_N = tuple(range(12, 26))
AT_TRUTH, LEVEL, ELSEWHERE = "lowest at the true L0", "level with the true L0", "lowest elsewhere"
FLAT_ABOVE_REACH, FLAT_ABOVE_SHARE = 1.25, 0.1
"""How far above the true L0 s_n^dec is looked at, and what share of its jump counts as flat."""


@dataclass(frozen=True)
class Minimum:
    """Where a metric is lowest.

    Attributes
    ----------
    where
        `AT_TRUTH`: the lowest mean over seeds is at the grid point nearest to the true L0;
        `LEVEL`: it is elsewhere, but within 2 standard errors of that point; `ELSEWHERE`.
    l0
        L0 of the lowest mean.
    by_seed
        L0 of each seed's lowest value.
    reading
        The curve's reading.
    """

    where: str
    l0: float
    by_seed: pd.Series
    reading: CurveReading


def minimum_of(table: pd.DataFrame, truth: float, name: str) -> Minimum | None:
    """Return where a metric is lowest; nothing where there are fewer than 3 points.

    Parameters
    ----------
    table
        `l0`, `l0_measured`, `seed`, `value`.
    truth
        The true L0. A measured L0 stands for itself: where it differs from the target, the nearest
        grid point is that of the measured one.
    name
        Name of the curve.
    """
    if table["l0"].nunique() < FEWEST_POINTS or math.isnan(truth):
        return None
    measured = table.groupby("l0")["l0_measured"].mean()
    placed = table.assign(l0_measured=table["l0"].map(measured))
    reading = read_curve(curve_of(placed, name))
    nearest = float(measured.iloc[int(np.argmin(np.abs(measured - truth)))])
    level = any(math.isclose(nearest, x) for x in reading.minimum_set)
    at_truth = math.isclose(nearest, reading.minimum)
    where = AT_TRUTH if at_truth else LEVEL if level else ELSEWHERE
    lowest = placed.loc[placed.dropna(subset=["value"]).groupby("seed")["value"].idxmin()]
    by_seed = lowest.set_index("seed")["l0_measured"]
    return Minimum(where, reading.minimum, by_seed, reading)


def verdict_of(wheres: Sequence[str]) -> str:
    """Return the verdict over several curves.

    Reproduced where all are lowest at the true L0, partly where at least half are or cannot be told
    from it, not otherwise.

    Examples
    --------
    >>> verdict_of([AT_TRUTH, AT_TRUTH]), verdict_of([LEVEL, ELSEWHERE]), verdict_of([ELSEWHERE])
    ('reproduced', 'partly', 'not')
    """
    if not wheres:
        return NOT_RUN
    if all(where == AT_TRUTH for where in wheres):
        return REPRODUCED
    return PARTLY if 2 * sum(where != ELSEWHERE for where in wheres) >= len(wheres) else NOT


def runs_of(ns: Sequence[int]) -> str:
    """Return whole numbers in words, runs of them joined.

    Examples
    --------
    >>> runs_of([12, 13, 14, 18]), runs_of([12, 18, 20, 22])
    ('12 to 14, 18', '12, 18, 20, 22')
    """
    runs: list[list[int]] = []
    for n in sorted(ns):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


def s_n_minima(
    table: pd.DataFrame, truth: float, ns: Sequence[int], norm: str
) -> dict[int, Minimum]:
    """Return where s_n^dec is lowest, for each n that is in the table."""
    rows = table[table["norm"] == norm]
    minima = {n: minimum_of(rows[rows["n"] == n], truth, f"s_n_dec n={n}") for n in ns}
    return {n: minimum for n, minimum in minima.items() if minimum is not None}


def s_n_lowest(tables: Tables, ns: Sequence[int], norm: str) -> Finding:
    """s_n^dec is lowest at the true L0 for all of these n."""
    minima = s_n_minima(tables["s_n_dec"], truth_of(tables), ns, norm)
    if not minima:
        return not_run(f"no s_n^dec at n = {runs_of(ns)} ({norm} norms) over 3 L0 points")
    missing = [n for n in ns if n not in minima]
    wheres = [minimum.where for minimum in minima.values()]
    parts = []
    for where in (AT_TRUTH, LEVEL, ELSEWHERE):
        found = {n: m for n, m in minima.items() if m.where == where}
        if not found:
            continue
        text = f"{where}: n = {runs_of(list(found))}"
        if where != AT_TRUTH:
            text += f" (L0 {_points([m.l0 for m in found.values()])})"
        parts.append(text)
    if missing:
        parts.append(f"not in this study: n = {runs_of(missing)}")
    lowest = pd.concat([m.by_seed for m in minima.values()])
    seeds = max(len(m.by_seed) for m in minima.values())
    verdict = verdict_of(wheres)
    if missing and verdict == REPRODUCED:
        verdict = PARTLY
    return Finding(verdict, "; ".join(parts), f"lowest at L0 {spread_of(lowest)}", seeds)


def c_dec_lowest(tables: Tables, table: str = "c_dec") -> Finding:
    """c_dec is lowest at the true L0."""
    rows = tables[table].rename(columns={"c_dec": "value"}).dropna(subset=["value"])
    known = "superposition_true_l0" if table == "superposition" else "true_l0_measured"
    minimum = minimum_of(rows, truth_of(tables, known), "c_dec")
    if minimum is None:
        return not_run("no c_dec over 3 L0 points")
    ours = f"lowest at L0 {minimum.l0:.4g} ({minimum.reading.minimum_value:.2g})"
    ours += {LEVEL: ", level with the true L0", ELSEWHERE: ", not at the true L0"}.get(
        minimum.where, ", the point nearest to the true L0"
    )
    spread = f"lowest at L0 {spread_of(minimum.by_seed)}"
    return Finding(verdict_of([minimum.where]), ours, spread, len(minimum.by_seed))


def flat_above(tables: Tables) -> Finding:
    """Just above the true L0 s_n^dec hardly rises, at the published n."""
    truth, table = truth_of(tables), tables["s_n_dec"]
    table = table[(table["norm"] == "unit") & table["n"].isin(PUBLISHED_N)]
    shares = {}
    for n in sorted(table["n"].astype(int).unique()):
        means = table[table["n"] == n].groupby("l0")["value"].mean()
        above = means[(means.index >= truth) & (means.index <= FLAT_ABOVE_REACH * truth)]
        jump = means.iloc[0] - means.min()
        if len(above) > 1 and jump > 0:
            shares[n] = float((above.max() - means.min()) / jump)
    if not shares:
        return not_run("fewer than 2 L0 points just above the true L0")
    held = [share <= FLAT_ABOVE_SHARE for share in shares.values()]
    verdict = REPRODUCED if all(held) else PARTLY if any(held) else NOT
    ours = ", ".join(f"{share:.0%} at n = {n}" for n, share in shares.items())
    ours = f"rise up to L0 {FLAT_ABOVE_REACH * truth:.1f} as a share of the jump: {ours}"
    return Finding(verdict, ours, "of means over seeds", int(table["seed"].nunique()))


def shallower_with_n(tables: Tables) -> Finding:
    """A larger n has a shallower slope towards the minimum."""
    truth, table = truth_of(tables), tables["s_n_dec"]
    table = table[table["norm"] == "unit"]
    slopes = {}
    for n in sorted(table["n"].dropna().astype(int).unique()):
        means = table[table["n"] == n].groupby("l0")["value"].mean()
        below = means[means.index <= truth]
        if len(below) > 1:
            nearest = means.iloc[int(np.argmin(np.abs(means.index - truth)))]
            slopes[n] = float(below.iloc[0] - nearest) / (truth - float(below.index[0]))
    rank = rank_correlation(list(slopes), list(slopes.values()))
    if math.isnan(rank):
        return not_run("fewer than 3 n, or no L0 points below the true L0")
    first, last = min(slopes), max(slopes)
    verdict = (
        REPRODUCED if rank <= -STRONG_RANK else PARTLY if slopes[last] < slopes[first] else NOT
    )
    ours = (
        f"fall per unit of L0 from {number(slopes[first])} at n = {first} to "
        f"{number(slopes[last])} at n = {last}; rank correlation with n {number(rank)}"
    )
    return Finding(verdict, ours, "of means over seeds", int(table["seed"].nunique()))


def _points(values: Sequence[float]) -> str:
    return " to ".join(f"{x:.4g}" for x in dict.fromkeys((min(values), max(values))))
