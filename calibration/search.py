"""The pipeline's own search on worlds of known truth: does it find what the fixed grid finds?

A world is searched over the range of its grid by the code of the pipeline
(`correct_l0.reading.search`); the points a round asks for are trained as the grid's are. A point of
the grid that it asks for is taken from there, and counts as trained.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from calibration.estimators import Estimate
from calibration.measure import sweep_in, tables_of
from calibration.truth import Truth
from calibration.worlds import World, world
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import replacing
from correct_l0.reading.reading import READ
from correct_l0.reading.search import next_points
from correct_l0.report.rounds import said_of, verdict_of
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan

MEASURED = Path("calibration/measured.parquet")
"""What `make calibrate` measured when it was last run whole."""
SEARCHED = Path("calibration/searched.parquet")
"""The points beside the grid's that searches trained when `--search` was last run."""

FIRST, MOST = 0.4, 0.6
"""Points of the first round and of all, as shares of the grid's."""
UNTIL = 1.5
"""Ratio of the interval's ends at which a search stops."""

GRID, SEARCH = "the fixed grid", "the search"

Measured = Callable[[Sequence[float]], pd.DataFrame]
"""From target L0 to their tables, one under another."""


@dataclass(frozen=True)
class Searched:
    """What a search came to.

    Attributes
    ----------
    estimate
        What it says.
    points
        Target L0 that it asked for, lowest first.
    rounds
        How many there were.
    why
        Why it stopped.
    """

    estimate: Estimate
    points: tuple[float, ...]
    rounds: int
    why: str


def search(each: World, measured: Measured) -> Searched:
    """Search a world, round by round, as `report.rounds.build_round` does."""
    plan = plan_of(each, searched=True)
    while True:
        saes = plan.study.saes
        assert saes.search is not None, "the study is a search"
        tables = tables_of(measured(saes.l0))
        verdict = verdict_of(plan, tables)
        said = said_of(verdict, tables["points"])
        choice = next_points(saes.search, said, saes.l0, len(saes.seeds))
        if choice.stops:
            return Searched(_named(verdict), saes.l0, plan.rounds, choice.why)
        plan = plan.with_round(choice.add_l0, choice.factor)


def read_grid(each: World, measured: Measured) -> Searched:
    """Read a world's fixed grid as a report does, refusals for want of training included."""
    l0 = tuple(each.config["saes"]["l0"])
    return Searched(read_table(each, measured(l0)), l0, 1, "it is a list")


def read_table(each: World, table: pd.DataFrame) -> Estimate:
    """Read the points of a world as a report does, refusals for want of training included."""
    return _named(verdict_of(plan_of(each, searched=False), tables_of(table)))


def searched_config(each: World) -> dict[str, Any]:
    """Return the study of a world with a search in place of its grid, its trainings as long.

    Examples
    --------
    >>> searched_config(world(8))["saes"]["l0"]
    {'from': 2.0, 'to': 48.0, 'first': 4, 'until': 1.5, 'budget': 12, 'longer': 1}
    """
    config = copy.deepcopy(each.config)
    saes = config["saes"]
    grid, seeds = saes["l0"], len(saes["seeds"])
    saes["l0"] = {
        "from": grid[0], "to": grid[-1], "first": round(FIRST * len(grid)), "until": UNTIL,
        "budget": math.floor(MOST * len(grid)) * seeds, "longer": 1,
    }  # fmt: skip
    return config


def known_points(*tables: pd.DataFrame) -> Measured:
    """Return a lookup among points that are measured.

    Raises
    ------
    InputError
        By the lookup, if one is not.
    """
    known = pd.concat(tables, ignore_index=True)

    def look_up(l0: Sequence[float]) -> pd.DataFrame:
        if missing := sorted({*l0} - {*known["l0"]}):
            raise InputError(
                f"L0 {', '.join(f'{x:g}' for x in missing)} of a search is not in {SEARCHED}; "
                "run python -m calibration --search"
            )
        return known[known["l0"].isin(l0)]

    return look_up


def train_beside(each: World, known: pd.DataFrame, folder: Path) -> Measured:
    """Return a lookup that trains the points of a world that are asked for and not known.

    They are kept in a file of `folder`, so that, started again, it trains only what is not there.

    Parameters
    ----------
    each
        The world.
    known
        Its tables so far (`measure.one_table`).
    folder
        Where the files are.
    """
    done = folder.resolve() / each.file
    own = pd.read_parquet(done) if done.exists() else known.iloc[:0]

    def trained(l0: Sequence[float]) -> pd.DataFrame:
        nonlocal own
        if missing := sorted({*l0} - {*known["l0"]} - {*own["l0"]}):
            config = copy.deepcopy(each.config)
            config["saes"]["l0"] = missing
            table = sweep_in(folder.resolve() / each.name, config).assign(world=each.number)
            own = pd.concat([own, table], ignore_index=True)
            with replacing(done) as path:
                own.to_parquet(path, index=False)
        return known_points(known, own)(l0)

    return trained


def search_quietly(number: int, folder: str) -> int:
    """Search a world in a process of its own, on one core."""
    os.environ["OMP_NUM_THREADS"] = "1"
    measured = pd.read_parquet(MEASURED)
    grid = measured[measured["world"] == number].drop(columns="wall_s")
    search(world(number), train_beside(world(number), grid, Path(folder)))
    return number


def plan_of(each: World, searched: bool) -> Plan:
    """Return the plan of a world; the SAE of a semi-synthetic one is not looked for."""
    return Plan(parse_config(searched_config(each) if searched else each.config))


def _named(verdict: dict[str, Any]) -> Estimate:
    decision = verdict["decision"]
    if verdict["outcome"] != READ:
        return Estimate()
    return Estimate(decision["l0"], decision["low"], decision["high"])


def judge_searches(
    measured: pd.DataFrame, searched: pd.DataFrame, right: Mapping[int, Truth]
) -> pd.DataFrame:
    """Return what search and fixed grid say of every world that was searched, a row for each.

    Parameters
    ----------
    measured, searched
        The worlds' grids, and the points that searches trained beside them.
    right
        What is right in each world.

    Returns
    -------
    DataFrame
        As `judge.estimates` makes it, with `trained`: points, as a share of the grid's.
    """
    rows = []
    for number in sorted(searched["world"].astype(int).unique()):
        each, grid = world(number), measured[measured["world"] == number]
        points = known_points(grid, searched[searched["world"] == number])
        truth = right[number]
        for way, found in ((GRID, read_grid(each, points)), (SEARCH, search(each, points))):
            rows.append(
                {
                    "world": number, "kind": each.kind, "half": each.half, "estimator": way,
                    "has_answer": truth.has_answer, "right": truth.right, "l0": found.estimate.l0,
                    "low": found.estimate.low, "high": found.estimate.high,
                    "trained": len(found.points) / len(each.config["saes"]["l0"]), "why": found.why,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
