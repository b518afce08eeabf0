"""What the package says of a single seed, where c_dec and s_n^dec have to point to the L0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from calibration.measure import tables_of
from calibration.search import plan_of
from calibration.truth import Truth, truth_of
from calibration.worlds import world
from correct_l0.reading.reading import FALLS, READ, TOO_HIGH
from correct_l0.report.rounds import verdict_of

WITH_S_N_DEC = {True: "c_dec and s_n^dec", False: "c_dec"}


def judge_one_seed(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what a report of each seed of each world alone would say.

    Parameters
    ----------
    measured
        The worlds' tables (`measure.one_table`), one under another.

    Returns
    -------
    DataFrame
        A row per world, seed and whether s_n^dec is read too: `outcome`; `right`, whether it is
        (`is_right`), false where the world has no answer; `off`, the L0 named over the right one.
    """
    rows = []
    for number in sorted(measured["world"].unique().tolist()):
        table, each = measured[measured["world"] == number], world(number)
        truth = truth_of(tables_of(table), each.features, each.config["saes"]["d_sae"])
        plan = plan_of(each, searched=False)
        for seed in each.config["saes"]["seeds"]:
            tables = tables_of(table[table["seed"] == seed])
            l0 = sorted(tables["points"]["l0_measured"])
            for with_s_n_dec in WITH_S_N_DEC:
                kept = tables["s_n_dec"] if with_s_n_dec else tables["s_n_dec"].iloc[:0]
                verdict = verdict_of(plan, tables | {"s_n_dec": kept})
                rows.append(
                    {
                        "world": number, "half": each.half, "seed": seed,
                        "with_s_n_dec": with_s_n_dec, "outcome": verdict["outcome"],
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


def right_of_hints(rows: pd.DataFrame) -> dict[str, dict[bool, tuple[int, int]]]:
    """Return how many are right, of how many, by outcome and whether s_n^dec is read too."""
    found: dict[str, dict[bool, tuple[int, int]]] = {READ: {}, FALLS: {}, TOO_HIGH: {}}
    for outcome, counts in found.items():
        for with_s_n_dec in WITH_S_N_DEC:
            said = rows[(rows["outcome"] == outcome) & (rows["with_s_n_dec"] == with_s_n_dec)]
            counts[with_s_n_dec] = int(said["right"].sum()), len(said)
    return found
