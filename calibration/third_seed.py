"""Would a third seed change an answer? The worlds to choose on, swept with one seed more.

The reading is given the pairs that two of the three seeds make, and all three together: how far the
answers of two seeds differ is what noise of seeds does, and what a third could mend.
"""

from __future__ import annotations

import copy
import math
import os
import shutil
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from calibration.measure import sweep_in
from calibration.search import read_table
from calibration.truth import truths
from calibration.worlds import SEMI, world
from correct_l0.provenance.manifest import replacing

THIRD_SEED = Path(__file__).with_name("third_seed.parquet")

SEEDS = (0, 1, 2)
CHOICES = (*combinations(SEEDS, 2), SEEDS)
"""What is read of the three: every pair, and all."""


def worlds_of(measured: pd.DataFrame) -> list[int]:
    """Return the synthetic worlds to choose on whose grid is measured."""
    known = (world(int(number)) for number in sorted(measured["world"].unique()))
    return [each.number for each in known if each.half == "choose" and each.kind != SEMI]


def third_quietly(number: int, folder: str) -> int:
    """Sweep a world with three seeds in a process of its own, on one core; keep what is new."""
    os.environ["OMP_NUM_THREADS"] = "1"
    each, done = world(number), Path(folder) / world(number).file
    if not done.exists():
        config = copy.deepcopy(each.config)
        config["saes"]["seeds"] = list(SEEDS)
        work = Path(folder) / each.name
        table = sweep_in(work, config).assign(world=number)
        with replacing(done) as path:
            new_of(table).to_parquet(path, index=False)
        shutil.rmtree(work, ignore_errors=True)
    return number


def new_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the third seed, and of the pairs that it is in."""
    return table[(table["seed"] == SEEDS[-1]) | (table["seed_b"] == SEEDS[-1])]


def of_seeds(table: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """Return the rows of some seeds, and of the pairs that two of them make."""
    of_one = table["seed"].isin(seeds)
    return table[of_one | (table["seed_a"].isin(seeds) & table["seed_b"].isin(seeds))]


def judge_third_seed(
    third: pd.DataFrame, measured: pd.DataFrame, *beside: pd.DataFrame
) -> pd.DataFrame:
    """Return what two and three seeds say of every world that has a third, a row for each choice.

    Returns
    -------
    DataFrame
        `world`, `kind`, `has_answer` and `right` (by all SAEs), `seeds`, `l0`, `low`, `high`: NaN
        where no L0 is named.
    """
    rows = []
    for number in sorted(third["world"].astype(int).unique()):
        each = world(number)
        table = pd.concat([measured[measured["world"] == number], third[third["world"] == number]])
        truth = truths(table, *beside)[number]
        for seeds in CHOICES:
            said = read_table(each, of_seeds(table, seeds))
            rows.append(
                {
                    "world": number, "kind": each.kind, "has_answer": truth.has_answer,
                    "right": truth.right, "seeds": seeds, "l0": said.l0, "low": said.low,
                    "high": said.high,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def scores_of_third_seed(judged: pd.DataFrame) -> pd.DataFrame:
    """Return how pairs of seeds and all three did: answered, interval holds, width, L0 off."""
    table = []
    for count, rows in judged.groupby(judged["seeds"].map(len)):
        with_answer, without = rows[rows["has_answer"]], rows[~rows["has_answer"]]
        said = with_answer[with_answer["l0"].notna()]
        holds = (said["low"] <= said["right"]) & (said["right"] <= said["high"])
        table.append(
            {
                "seeds": count, "readings": len(with_answer),
                "answered": len(said) / max(len(with_answer), 1), "holds": holds.mean(),
                "width": (said["high"] / said["low"]).median(),
                "off": math.exp((said["l0"] / said["right"]).map(math.log).abs().median()),
                "refused": without["l0"].isna().mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(table)
