"""What the package says of a single seed, where c_dec and s_n^dec have to name the L0."""

from __future__ import annotations

import pandas as pd

from calibration.measure import tables_of
from calibration.search import read_table
from calibration.truth import truth_of
from calibration.worlds import world

ALONE = "c_dec and s_n^dec of one seed"


def judge_one_seed(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what a report of each seed of each world alone would say, as `judge.estimates` does.

    Parameters
    ----------
    measured
        The worlds' tables (`measure.one_table`), one under another.
    """
    rows = []
    for number in sorted(measured["world"].unique().tolist()):
        table, each = measured[measured["world"] == number], world(number)
        truth = truth_of(tables_of(table), each.features, each.config["saes"]["d_sae"])
        for seed in each.config["saes"]["seeds"]:
            said = read_table(each, table[table["seed"] == seed])
            rows.append(
                {
                    "world": number, "half": each.half, "estimator": ALONE, "seed": seed,
                    "has_answer": truth.has_answer, "right": truth.right, "l0": said.l0,
                    "low": said.low, "high": said.high,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def held(rows: pd.DataFrame) -> tuple[int, int]:
    """Return how many of the readings that name an L0 hold the right one, and how many there are.

    Where a world has no answer none is right.
    """
    named = rows[rows["l0"].notna()]
    holds = named["has_answer"] & named["right"].between(named["low"], named["high"])
    return int(holds.sum()), len(named)
