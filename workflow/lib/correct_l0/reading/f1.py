"""Reading F1 against L0: the peak as a set of points, paired over tasks and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from correct_l0.reading.curve import Curve, pair_error, typical_variance
from correct_l0.reading.reading import FLAT_ERRORS, SET_ERRORS

if TYPE_CHECKING:
    from jaxtyping import Float

RESAMPLES = 2000
PEAK = "peak"
FLAT_F1 = "flat"
NO_SCORES = "no scores"


@dataclass(frozen=True)
class F1Reading:
    """Where F1 peaks. L0 values are measured ones.

    Attributes
    ----------
    outcome
        `PEAK`, `FLAT_F1` (best and worst point within 3 standard errors) or `NO_SCORES`.
    peak, peak_f1
        L0 of the highest mean over tasks and seeds, and that mean.
    peak_set
        L0 of every point whose paired difference from the best is within 2 standard errors.
    resolution
        Twice the median standard error of a difference from the best: smaller ones are unresolved.
    spread, spread_error
        Best minus worst point, and its standard error.
    means, lows, highs
        Mean F1 of each point in `points`, with its 95% bootstrap interval over tasks.
    paired_errors
        Standard error of each point's difference from the best.
    """

    probe_k: int
    outcome: str
    tasks: int
    seeds: int
    points: tuple[float, ...] = ()
    peak: float | None = None
    peak_f1: float | None = None
    peak_set: tuple[float, ...] = ()
    resolution: float | None = None
    spread: float | None = None
    spread_error: float | None = None
    means: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    paired_errors: tuple[float, ...] = ()


def bootstrap_means(
    scores: Float[np.ndarray, "points tasks"], resamples: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "resamples points"]:
    """Return mean scores over tasks drawn with replacement; the same draw for every point.

    Because all points share a draw, the spread of the difference of two columns is that of the
    difference paired over tasks.

    Examples
    --------
    Two points that differ by 0.1 in every task differ by 0.1 in every draw:

    >>> import numpy as np
    >>> means = bootstrap_means(np.array([[0.5, 0.9, 0.7], [0.6, 1.0, 0.8]]), resamples=4)
    >>> (means[:, 1] - means[:, 0]).round(12)
    array([0.1, 0.1, 0.1, 0.1])
    """
    tasks = scores.shape[1]
    draws = np.random.default_rng(seed).multinomial(
        tasks, np.full(tasks, 1 / tasks), size=resamples
    )
    return draws @ scores.T / tasks


def read_f1(table: pd.DataFrame, probe_k: int) -> F1Reading:
    """Read the F1 curve of one probe size.

    Parameters
    ----------
    table
        One row per L0, seed, task and probe_k: columns `l0`, `l0_measured`, `seed`, `task`,
        `probe_k`, `f1`. Tasks that some L0 lacks are left out everywhere, so that every comparison
        is over the same tasks.
    probe_k
        Number of latents in a probe.
    """
    rows = table[(table["probe_k"] == probe_k) & np.isfinite(table["f1"].astype(float))]
    by_task = rows.pivot_table(index="l0", columns="task", values="f1", aggfunc="mean")
    by_task = by_task.dropna(axis="columns")
    points, tasks = by_task.shape
    seeds = rows["seed"].nunique()
    if points < 2 or tasks < 2:
        return F1Reading(probe_k, NO_SCORES, tasks, seeds)
    measured = rows.groupby("l0")["l0_measured"].median().loc[by_task.index]
    by_task = by_task.iloc[np.argsort(measured.to_numpy(), kind="stable")]
    x = measured.loc[by_task.index].to_numpy()

    scores = by_task.to_numpy()
    means = scores.mean(axis=1)
    best = int(np.argmax(means))
    worst = int(np.argmin(means))
    resampled = bootstrap_means(scores)
    # The bootstrap's spread is that of n tasks over sqrt(n), not over sqrt(n - 1).
    over_tasks = (resampled - resampled[:, [best]]).std(axis=0) * np.sqrt(tasks / (tasks - 1))
    over_seeds = _errors_over_seeds(rows, by_task, x, best)
    errors = np.sqrt(over_tasks**2 + over_seeds**2)
    in_set = means[best] - means <= SET_ERRORS * errors
    flat = means[best] - means[worst] <= FLAT_ERRORS * errors[worst]
    lows, highs = np.quantile(resampled, [0.025, 0.975], axis=0)
    others = [i for i in range(points) if i != best]
    return F1Reading(
        probe_k,
        FLAT_F1 if flat else PEAK,
        tasks,
        seeds,
        points=tuple(x.tolist()),
        peak=float(x[best]),
        peak_f1=float(means[best]),
        peak_set=tuple(x[in_set].tolist()),
        resolution=float(SET_ERRORS * np.median(errors[others])),
        spread=float(means[best] - means[worst]),
        spread_error=float(errors[worst]),
        means=tuple(means.tolist()),
        lows=tuple(lows.tolist()),
        highs=tuple(highs.tolist()),
        paired_errors=tuple(errors.tolist()),
    )


def _errors_over_seeds(
    rows: pd.DataFrame,
    by_task: pd.DataFrame,
    x: Float[np.ndarray, " points"],
    best: int,
) -> Float[np.ndarray, " points"]:
    """Standard error over SAE seeds of each point's difference from the best; zero for one seed."""
    shared = rows[rows["task"].isin(by_task.columns)]
    per_seed = shared.pivot_table(index="l0", columns="seed", values="f1", aggfunc="mean")
    values = per_seed.loc[by_task.index].to_numpy()
    if values.shape[1] < 2:
        return np.zeros(len(x))
    curve = Curve("f1", by_task.index.to_numpy(dtype=float), x, values, np.zeros(len(x)))
    typical = typical_variance(curve)
    return np.array([pair_error(curve, i, best, typical) for i in range(len(x))])
