"""What is right, more finely than the grid tells: SAEs between the best one and its neighbours.

The grids are coarse, a factor 1.42 from point to point. In every world with an answer the gaps
beside the SAE of best recovery are halved, on log L0, until none is wider than `NEAR`: the points
of searches count as well, and where they lie must not decide what is right.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from calibration.measure import tables_of
from calibration.search import MEASURED, SEARCHED, Measured, train_beside
from calibration.truth import truth_in
from calibration.worlds import World, world
from correct_l0.reading.gaps import gaps_beside, point_in, ratio

BETWEEN = Path(__file__).with_name("between.parquet")

NEAR = 1.3
"""Ratio of neighbours: nearer ones cost more than they tell."""


def train_between(each: World, known: Iterable[float], trained: Measured) -> tuple[float, ...]:
    """Train SAEs around that of best recovery; return all target L0, those known too, in order."""
    l0 = sorted(known)
    while True:
        table = trained(l0)
        means = tables_of(table)["recovery"].groupby("l0")["mcc"].mean()
        wide = [gap for gap in gaps_beside(l0[int(means.argmax())], l0) if ratio(gap) > NEAR]
        if not (truth_in(each, table).has_answer and wide):
            return tuple(l0)
        l0 = sorted([*l0, *(x for x in (point_in(gap, l0) for gap in wide) if x is not None)])


def between_quietly(number: int, folder: str) -> int:
    """Do a world in a process of its own, on one core."""
    os.environ["OMP_NUM_THREADS"] = "1"
    both = pd.concat([pd.read_parquet(MEASURED), pd.read_parquet(SEARCHED)], ignore_index=True)
    known = both[both["world"] == number].drop(columns="wall_s")
    trained = train_beside(world(number), known, Path(folder))
    train_between(world(number), known["l0"].unique().tolist(), trained)
    return number
