"""Claims about reconstruction, which misleads below the true L0."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from paper.claims.judgement import (
    NOT,
    PARTLY,
    REPRODUCED,
    Finding,
    Tables,
    at_l0,
    by_share,
    count_of,
    not_run,
    number,
    per_seed,
    spread_of,
)
from paper.claims.sweep import absent, truth_of

MSE_TOLERANCE = 0.1
PUBLISHED_MSE = {"trained": 2.73, "ground truth": 4.88}
BEATS = 0.01
"""Difference of variance explained from which on one SAE reconstructs better than another."""
CROSSING_TOLERANCE = 2.0
TWICE = 2.0


def wrong_reconstructs_better(tables: Tables) -> Finding:
    """At L0 5 the trained SAE has a lower MSE than the right one, by the published values."""
    trained = per_seed(at_l0(tables["points"], 5), "mse")
    right = at_l0(tables["ground_truth"], 5)["mse"]
    if not len(trained) or not len(right):
        return not_run(absent(5))
    values = {"trained": float(trained.mean()), "ground truth": float(right.mean())}
    close = [abs(values[k] / x - 1) <= MSE_TOLERANCE for k, x in PUBLISHED_MSE.items()]
    better = by_share([x < values["ground truth"] for x in trained])
    verdict = better if all(close) or better == NOT else PARTLY
    ours = f"{values['trained']:.2f} trained, {values['ground truth']:.2f} with the true features"
    return Finding(verdict, ours, spread_of(trained), len(trained))


def crossing(tables: Tables) -> pd.DataFrame:
    """Return by how much each SAE explains more variance than the ground-truth SAE: `difference`.

    One row per L0 and seed.
    """
    right = tables["ground_truth"].groupby("l0")["variance_explained"].mean()
    both = tables["points"].assign(right=tables["points"]["l0"].map(right))
    both = both.assign(difference=both["variance_explained"] - both["right"])
    return both[["l0", "seed", "difference"]].dropna()


def lead_ends(means: pd.Series) -> float:
    """Return up to which L0 trained SAEs are ahead by more than `BEATS`, interpolated.

    NaN where they are nowhere ahead, or still are at the highest L0.

    Parameters
    ----------
    means
        Mean difference of variance explained by L0, lowest first.

    Examples
    --------
    >>> lead_ends(pd.Series({5.0: 0.2, 10.0: 0.03, 12.0: -0.01}))
    11.0
    """
    ahead = np.flatnonzero(means.to_numpy() > BEATS)
    if not len(ahead) or ahead[-1] == len(means) - 1:
        return math.nan
    last = int(ahead[-1])
    (left, right), (above, below) = means.index[last : last + 2], means.iloc[last : last + 2]
    return float(left + (right - left) * (above - BEATS) / (above - below))


def beats_only_below(tables: Tables) -> Finding:
    """The trained SAE explains more variance than the right one below the true L0, not above."""
    table, truth = crossing(tables), truth_of(tables)
    means = table.groupby("l0")["difference"].mean()
    if not len(means) or means.index.min() >= truth or means.index.max() <= truth:
        return not_run("no trained and ground-truth SAEs on both sides of the true L0")
    ahead = means.index[means > BEATS]
    if not len(ahead):
        ours = f"nowhere by more than {BEATS:g}"
        return Finding(NOT, ours, "of means over seeds", table["seed"].nunique())
    below = means.index[means.index <= ahead.max()]
    gapless = len(below) == len(ahead)
    verdict = (
        REPRODUCED
        if gapless and ahead.max() <= truth
        else PARTLY
        if ahead.max() <= truth + CROSSING_TOLERANCE
        else NOT
    )
    tops = table[table["difference"] > BEATS].groupby("seed")["l0"].max()
    ours = f"ahead by more than {BEATS:g} from L0 {ahead.min():g} to {ahead.max():g}"
    ours += "" if gapless else ", with gaps"
    end = lead_ends(means)
    ours += f"; the lead ends at {end:.1f}" if math.isfinite(end) else ""
    return Finding(verdict, ours, f"highest L0 ahead {spread_of(tops)}", table["seed"].nunique())


def twice_the_variance(tables: Tables) -> Finding:
    """At L0 1 and 2 the trained SAE explains more than twice as much, of the squared norm."""
    passed: dict[object, bool] = {}
    parts, values = [], []
    for l0 in (1, 2):
        trained = per_seed(at_l0(tables["points"], l0), "power_explained")
        right = at_l0(tables["ground_truth"], l0)["power_explained"].dropna()
        if not len(trained) or not len(right):
            return not_run(absent(l0))
        limit = TWICE * float(right.mean())
        for seed, x in trained.items():
            passed[seed] = passed.get(seed, True) and bool(x > limit)
        values += trained.tolist()
        parts.append(f"{number(trained.mean())} against {number(right.mean())} at L0 {l0}")
    held = list(passed.values())
    ours = " and ".join(parts) + f"; {count_of(held)}"
    return Finding(by_share(held), ours, spread_of(values), len(held))
