"""How often each estimator is right: tuned on one half of the worlds, reported on the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from calibration.estimators import ESTIMATORS, Curves, curves_of
from calibration.measure import tables_of
from calibration.truth import truth_of
from calibration.worlds import world
from correct_l0.reading.peak import SMOOTHING, drop_to, smooth

NOMINAL = 0.9
WRONG = 1.5
"""Factor from which a named L0 is far off."""


def read_worlds(folder: Path) -> pd.DataFrame:
    """Return one row per world and estimator: the truth, and what it says."""
    rows = []
    for path in sorted(folder.glob("world_*.parquet")):
        table = pd.read_parquet(path)
        tables, each = tables_of(table), world(int(table["world"].iloc[0]))
        d_sae = each.config["saes"]["d_sae"]
        truth = truth_of(tables, each.features, d_sae)
        for name, estimate in ESTIMATORS.items():
            said = estimate(tables)
            rows.append(
                {
                    "world": each.number, "kind": each.kind, "half": each.half,
                    "has_answer": truth.has_answer, "right": truth.right, "found": truth.found,
                    "true_l0": truth.true_l0, "estimator": name, "l0": said.l0,
                    "step": said.step, "own_low": said.low, "own_high": said.high,
                    "drop": drop_at(curves_of(tables), said.l0, truth.right),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def drop_at(curves: Curves, l0: float, right: float) -> float:
    """Return by how much stability lies below its peak between an L0 named and the right one."""
    x = np.log(curves.l0)
    curve = smooth(x, curves.reproduced, SMOOTHING * float(np.median(np.diff(x))))
    return drop_to(x, curve, math.log(l0), math.log(right)) if l0 == l0 else math.nan


def errors_in_steps(rows: pd.DataFrame) -> pd.Series:
    """Return log(right / l0) in grid steps, of worlds that have an answer and got one."""
    answered = rows[rows["has_answer"] & rows["l0"].notna()]
    return np.log(answered["right"] / answered["l0"]) / answered["step"]


def conformal(errors: Sequence[float], nominal: float = NOMINAL) -> tuple[float, float]:
    """Return how many steps below and above an estimate its interval reaches.

    Split conformal prediction: the ceil((n + 1) nominal)-th smallest |error| of the first half
    covers a new one with at least the nominal probability.

    Examples
    --------
    >>> conformal([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9])
    (0.9, 0.9)
    >>> conformal([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9], 0.5)
    (0.5, 0.5)
    """
    sizes = sorted(abs(error) for error in errors)
    rank = math.ceil((len(sizes) + 1) * nominal)
    reach = sizes[rank - 1] if rank <= len(sizes) else math.inf
    return reach, reach


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Give every estimate its interval, from the errors of its estimator on the first half.

    An estimator that has intervals of its own keeps them.
    """
    parts = []
    for _, each in rows.groupby("estimator", sort=False):
        below, above = conformal(errors_in_steps(each[each["half"] == "choose"]).tolist())
        low = each["l0"] * np.exp(-below * each["step"])
        high = each["l0"] * np.exp(above * each["step"])
        parts.append(
            each.assign(
                low=each["own_low"].fillna(low), high=each["own_high"].fillna(high), reach=below
            )
        )
    return pd.concat(parts)


def scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how each estimator did, by half, worlds with and without an answer apart."""
    table = []
    for (name, half), each in rows.groupby(["estimator", "half"], sort=False):
        given = each["l0"].notna()
        with_answer, without = each[each["has_answer"]], each[~each["has_answer"]]
        said = with_answer[with_answer["l0"].notna()]
        covered = (said["low"] <= said["right"]) & (said["right"] <= said["high"])
        table.append(
            {
                "estimator": name, "half": half,
                "worlds_with_answer": len(with_answer),
                "answered": len(said) / max(len(with_answer), 1),
                "covered": covered.mean(), "median_width": (said["high"] / said["low"]).median(),
                "median_error": np.exp(np.abs(np.log(said["l0"] / said["right"])).median()),
                "too_low": (each.loc[given, "l0"] * WRONG < each.loc[given, "right"]).mean(),
                "too_high": (each.loc[given, "l0"] > WRONG * each.loc[given, "right"]).mean(),
                "worlds_without": len(without), "refused": without["l0"].isna().mean(),
                "reach_steps": each["reach"].iloc[0],
            }
        )  # fmt: skip
    return pd.DataFrame(table)
