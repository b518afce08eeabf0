"""How often each estimator is right: tuned on one half of the worlds, reported on the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from calibration.estimators import ESTIMATORS, READING, Curves, curves_of
from calibration.measure import tables_of
from calibration.reports import judge_reports
from calibration.search import judge_searches
from calibration.truth import Truth, truths
from calibration.worlds import SEEN, world
from correct_l0.reading.calibrated import NOMINAL
from correct_l0.reading.peak import SMOOTHING
from correct_l0.reading.shape import drop_to, smooth

WRONG = 1.5
"""Factor from which a named L0 is far off."""
UNSEEN = "unseen"
"""The worlds to report whose reading has not changed since they were first looked at."""


@dataclass(frozen=True)
class Judged:
    """What came out.

    Attributes
    ----------
    worlds
        One row per world and estimator: the truth, what it says and its interval.
    scores
        One row per estimator and half, and one for what is `UNSEEN` of the second.
    drop
        The drop of stability that the intervals of the reading have to allow, by the first half.
    searches
        One row per world that was searched, and one for its fixed grid (`judge_searches`); those
        of what is `UNSEEN` once more.
    reports
        What whole reports say (`judge_reports`).
    """

    worlds: pd.DataFrame
    scores: pd.DataFrame
    drop: float
    searches: pd.DataFrame
    reports: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name."""
        return {
            "worlds": self.worlds, "scores": self.scores, "searches": self.searches,
            "reports": self.reports,
        }  # fmt: skip


def judge(measured: pd.DataFrame, searched: pd.DataFrame, between: pd.DataFrame) -> Judged:
    """Hold every estimator against the truth of every world.

    Parameters
    ----------
    measured
        The worlds' tables (`measure.one_table`), one under another.
    searched
        The points that searches trained beside them.
    between
        Further points, for what is right.
    """
    right = truths(measured, searched, between)
    rows = with_intervals(estimates(measured, right))
    reading = rows[(rows["estimator"] == READING) & (rows["half"] == "choose")]
    drops = reading.loc[reading["has_answer"], "drop"].dropna()
    searches = judge_searches(measured, searched, right)
    reports = judge_reports(measured, right)
    by_half = scores(_and_unseen(rows))
    return Judged(rows, by_half, conformal(drops), _and_unseen(searches), reports)


def _and_unseen(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of worlds, and those of the unseen ones once more as a half of their own."""
    unseen = rows[(rows["half"] == "report") & ~rows["world"].isin(SEEN)]
    return pd.concat([rows, unseen.assign(half=UNSEEN)], ignore_index=True)


def estimates(measured: pd.DataFrame, right: Mapping[int, Truth]) -> pd.DataFrame:
    """Return one row per world and estimator: the truth, and what it says."""
    rows = []
    for number, truth in right.items():
        tables, each = tables_of(measured[measured["world"] == number]), world(number)
        curves = curves_of(tables)
        for name, estimate in ESTIMATORS.items():
            said = estimate(tables)
            rows.append(
                {
                    "world": each.number, "kind": each.kind, "half": each.half,
                    "has_answer": truth.has_answer, "right": truth.right, "found": truth.found,
                    "true_l0": truth.true_l0, "estimator": name, "l0": said.l0,
                    "step": curves.step, "own_low": said.low, "own_high": said.high,
                    "drop": drop_at(curves, said.l0, truth.right),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def drop_at(curves: Curves, l0: float, right: float) -> float:
    """Return by how much stability lies below its peak between an L0 named and the right one."""
    x = np.log(curves.l0)
    curve = smooth(x, curves.reproduced, SMOOTHING * curves.step)
    return math.nan if math.isnan(l0) else drop_to(x, curve, math.log(l0), math.log(right))


def errors_in_steps(rows: pd.DataFrame) -> pd.Series:
    """Return log(right / l0) in grid steps, of worlds that have an answer and got one."""
    answered = rows[rows["has_answer"] & rows["l0"].notna()]
    return np.log(answered["right"] / answered["l0"]) / answered["step"]


def conformal(errors: Iterable[float], nominal: float = NOMINAL) -> float:
    """Return what an error stays below with at least the nominal probability.

    The ceil((n + 1) nominal)-th smallest |error|; infinite where there are too few.

    References
    ----------
    Split conformal prediction: Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random
    world.

    Examples
    --------
    >>> errors = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9]
    >>> conformal(errors, 0.9), conformal(errors, 0.5), conformal(errors, 0.95)
    (0.9, 0.5, inf)
    """
    sizes = sorted(abs(error) for error in errors)
    rank = math.ceil((len(sizes) + 1) * nominal)
    return sizes[rank - 1] if rank <= len(sizes) else math.inf


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Give every estimate its interval, from the errors of its estimator on the first half.

    An estimator that has intervals of its own keeps them.
    """
    parts = []
    for _, each in rows.groupby("estimator", sort=False):
        reach = conformal(errors_in_steps(each[each["half"] == "choose"]))
        low = each["own_low"].fillna(each["l0"] * np.exp(-reach * each["step"]))
        high = each["own_high"].fillna(each["l0"] * np.exp(reach * each["step"]))
        parts.append(each.drop(columns=["own_low", "own_high"]).assign(low=low, high=high))
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
                "median_error": math.exp((said["l0"] / said["right"]).map(math.log).abs().median()),
                "too_low": (each.loc[given, "l0"] * WRONG < each.loc[given, "right"]).mean(),
                "too_high": (each.loc[given, "l0"] > WRONG * each.loc[given, "right"]).mean(),
                "worlds_without": len(without), "refused": without["l0"].isna().mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(table)
