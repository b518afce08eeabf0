"""What whole reports say: of both seeds of a world, and of each alone.

Of one seed c_dec and s_n^dec have to point to the L0; of two, it is where they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from calibration.measure import tables_of
from calibration.search import plan_of
from calibration.third_seed import of_seeds
from calibration.truth import Truth
from calibration.worlds import world
from correct_l0.reading.reading import FALLS, READ, TOO_HIGH
from correct_l0.report.rounds import verdict_of

READ_BY = {
    (2, True): "both seeds: where they agree",
    (1, True): "one seed: c_dec and s_n^dec",
    (1, False): "one seed: c_dec",
}
"""What a report reads by, by number of seeds and whether it has s_n^dec."""


SAYING = (READ, FALLS, TOO_HIGH)
"""The outcomes that say where the right L0 is."""


def judge_reports(measured: pd.DataFrame, right: Mapping[int, Truth]) -> pd.DataFrame:
    """Return what reports of both seeds of each world, and of each alone, would say.

    Parameters
    ----------
    measured
        The worlds' tables (`measure.one_table`), one under another.
    right
        What is right in each.

    Returns
    -------
    DataFrame
        A row per world, choice of seeds and whether s_n^dec is read too: `seeds`, how many;
        `outcome`; `right`, whether it is (`is_right`), false where the world has no answer; `off`,
        the L0 named over the right one.
    """
    rows = []
    for number, truth in right.items():
        table, each = measured[measured["world"] == number], world(number)
        plan = plan_of(each, searched=False)
        both = each.config["saes"]["seeds"]
        for seeds in (both, *([seed] for seed in both)):
            tables = tables_of(of_seeds(table, seeds))
            l0 = sorted(tables["points"].groupby("l0")["l0_measured"].mean())
            for read_with in (with_it for many, with_it in READ_BY if many == len(seeds)):
                kept = tables["s_n_dec"] if read_with else tables["s_n_dec"].iloc[:0]
                verdict = verdict_of(plan, tables | {"s_n_dec": kept})
                rows.append(
                    {
                        "world": each.number, "half": each.half, "seeds": len(seeds),
                        "with_s_n_dec": read_with, "outcome": verdict["outcome"],
                        "right": is_right(verdict, truth, (l0[0], l0[-2])),
                        "off": (verdict["decision"]["l0"] or float("nan")) / truth.right,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def is_right(verdict: Mapping[str, Any], truth: Truth, ends: tuple[float, float]) -> bool:
    """Return whether a verdict says where the right L0 is.

    Parameters
    ----------
    verdict
        As `read_study` makes it.
    truth
        Of the world.
    ends
        The grid's first L0 and its last but one.
    """
    decision, right = verdict["decision"], truth.right
    if not truth.has_answer:
        return False
    if verdict["outcome"] == READ:
        return bool(decision["low"] <= right <= decision["high"])
    return {FALLS: right > ends[1], TOO_HIGH: right <= ends[0]}.get(verdict["outcome"], False)


def counted(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Return how many reports are right, of how many, by what they say."""
    said = {outcome: rows.loc[rows["outcome"] == outcome, "right"] for outcome in SAYING}
    return {outcome: (int(right.sum()), len(right)) for outcome, right in said.items()}


def of_kind(rows: pd.DataFrame, seeds: int, with_s_n_dec: bool) -> pd.DataFrame:
    """Return the rows of so many seeds, with or without s_n^dec."""
    return rows[(rows["seeds"] == seeds) & (rows["with_s_n_dec"] == with_s_n_dec)]


def right_of_hints(rows: pd.DataFrame) -> dict[str, dict[bool, tuple[int, int]]]:
    """Return how many reports of one seed are right, by outcome and whether they have s_n^dec."""
    with_it, without = (counted(of_kind(rows, 1, have)) for have in (True, False))
    return {outcome: {True: with_it[outcome], False: without[outcome]} for outcome in SAYING}
