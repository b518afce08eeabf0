"""Claims about the toy model and what SAEs of each L0 learn on it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from paper.claims.judgement import (
    CONFOUNDED,
    NOT,
    NOT_RUN,
    PARTLY,
    REPRODUCED,
    Finding,
    Tables,
    at_l0,
    by_share,
    count_of,
    each_seed,
    not_run,
    number,
    per_seed,
    rank_correlation,
    spread_of,
)

PUBLISHED_L0 = 11.0
TRUE_L0_TOLERANCE = 0.5
RIGHT = 0.99
"""Cosine from which on a latent, or the mean over latents, counts as the true feature."""
NEARLY_RIGHT = 0.95
"""Cosine from which on it counts as nearly so."""
HALF_OF_SQUARE = math.sqrt(0.5)
"""Cosine below which less than half of a latent's squared norm lies along its feature."""
FEW_LATENTS, MANY_LATENTS = 0.05, 0.25
CLEAR_RANK, STRONG_RANK = 0.3, 0.8


def truth_of(tables: Tables, quantity: str = "true_l0_measured") -> float:
    """Return a known quantity of the toy model, NaN where the table has none.

    The formula's true L0 stands in for a measured one that is missing.
    """
    known = tables["truth"].set_index("quantity")["value"].astype(float)
    if quantity in known:
        return float(known[quantity])
    return float(known.get("true_l0_formula", math.nan))


def true_l0(tables: Tables) -> Finding:
    """The true L0, measured on samples."""
    value = truth_of(tables)
    if math.isnan(value):
        return not_run("no toy model in the tables")
    meets = abs(value - PUBLISHED_L0) <= TRUE_L0_TOLERANCE
    formula = truth_of(tables, "true_l0_formula")
    ours = f"{value:.2f} measured, {formula:.3f} by the sum of the probabilities"
    return Finding(REPRODUCED if meets else NOT, ours)


def text_probabilities(tables: Tables) -> Finding:
    """The text's firing probabilities against the true L0 that the text gives."""
    known = set(tables["truth"]["quantity"])
    if not {"true_l0_text_formula", "true_l0_formula"} <= known:
        return not_run("no sum of the text's probabilities in the tables")
    text = truth_of(tables, "true_l0_text_formula")
    code = truth_of(tables, "true_l0_formula")
    fits = [abs(x - PUBLISHED_L0) <= TRUE_L0_TOLERANCE for x in (text, code)]
    verdict = REPRODUCED if fits[0] else CONFOUNDED if fits[1] else NOT
    return Finding(
        verdict, f"the text's line sums to {text:.3f}, the line of this study {code:.3f}"
    )


def right_share(tables: Tables, l0: float) -> pd.Series:
    """Return the share of latents that are their feature (|cosine| >= RIGHT), by seed."""
    own = own_cosines(tables, l0)
    return (own["own"] >= RIGHT).groupby(own["seed"]).mean()


def own_cosines(tables: Tables, l0: float) -> pd.DataFrame:
    """Return |cosine| of each latent with its own feature: `seed`, `feature`, `own`."""
    rows = at_l0(tables["cosines"], l0)
    rows = rows[rows["latent"] == rows["feature"]]
    return rows.assign(own=rows["cosine"].abs())[["seed", "feature", "own"]]


def absent(l0: float) -> str:
    """Return that there is no SAE at an L0, in words."""
    return f"no SAE with L0 {l0:g} in this study"


def recovers(tables: Tables) -> Finding:
    """The SAE at the true L0 has the true features, the worst of them too."""
    rows = at_l0(tables["points"], PUBLISHED_L0)
    means, worst = (per_seed(rows, f"{which}_best_cosine") for which in ("mean", "min"))
    if not len(means):
        return not_run(absent(PUBLISHED_L0))
    exact = [x >= RIGHT and y >= NEARLY_RIGHT for x, y in zip(means, worst, strict=True)]
    ours = (
        f"mean best cosine {number(means.mean())}, worst feature {number(worst.min())}; "
        f"{count_of(exact)}"
    )
    verdict = by_share(exact, [x >= NEARLY_RIGHT for x in means])
    return Finding(verdict, ours, spread_of(means), len(means))


def right_verdict(values: Iterable[float]) -> str:
    """Return the verdict on mean best cosines that should be right, one per SAE.

    Examples
    --------
    >>> right_verdict([0.999, 0.995]), right_verdict([0.96, 0.98]), right_verdict([0.9, 0.96])
    ('reproduced', 'partly', 'not')
    """
    known = list(values)
    return by_share([x >= RIGHT for x in known], [x >= NEARLY_RIGHT for x in known])


def wrong_verdict(values: Iterable[float]) -> str:
    """Return the verdict on mean best cosines that should be wrong, one per SAE.

    Examples
    --------
    >>> wrong_verdict([0.8, 0.9]), wrong_verdict([0.97, 0.98]), wrong_verdict([0.995, 0.999])
    ('reproduced', 'partly', 'not')
    """
    known = list(values)
    return by_share([x < NEARLY_RIGHT for x in known], [x < RIGHT for x in known])


def low_is_all_wrong(tables: Tables) -> Finding:
    """At L0 5 no latent is its feature."""
    shares = right_share(tables, 5)
    return each_seed(shares, lambda x: x <= FEW_LATENTS, "share of right latents", absent(5))


def low_mixes_correlated(tables: Tables) -> Finding:
    """At L0 5 a latent has components of correlated features, by the sign of the correlation."""
    rows = at_l0(tables["cosines"], 5)
    once = tables["correlations"][["i", "j", "expected"]]
    pairs = pd.concat([once, once.rename(columns={"i": "j", "j": "i"})]).drop_duplicates(["i", "j"])
    columns = ["seed", "latent", "feature", "cosine"]
    both = rows[rows["latent"] != rows["feature"]][columns].merge(
        pairs, left_on=["latent", "feature"], right_on=["i", "j"]
    )
    if not len(both):
        return not_run(absent(5))
    values = _rank_correlations(both, "cosine", "expected")
    return each_seed(values, lambda x: x >= CLEAR_RANK, "rank correlation", absent(5))


def _rank_correlations(table: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Return the rank correlation of two columns, by seed."""
    ranks = {seed: rank_correlation(rows[x], rows[y]) for seed, rows in table.groupby("seed")}
    return pd.Series(ranks, dtype=float)


def low_breaks_frequent(tables: Tables) -> Finding:
    """At L0 5 the latents of frequent features are the most broken."""
    own = own_cosines(tables, 5).merge(tables["features"], on="feature")
    if not len(own):
        return not_run(absent(5))
    values = _rank_correlations(own, "own", "probability")
    return each_seed(values, lambda x: x <= -CLEAR_RANK, "rank correlation", absent(5))


def high_mixes(tables: Tables) -> Finding:
    """At L0 18 the SAE does not have the true features."""
    values = per_seed(at_l0(tables["points"], 18), "mean_best_cosine")
    if not len(values):
        return not_run(absent(18))
    ours = (
        f"mean best cosine {number(values.mean())}; {count_of([x < NEARLY_RIGHT for x in values])}"
    )
    return Finding(wrong_verdict(values), ours, spread_of(values), len(values))


def high_has_many_right(tables: Tables) -> Finding:
    """At L0 18 many latents are right all the same."""
    shares = right_share(tables, 18)
    return each_seed(shares, lambda x: x >= MANY_LATENTS, "share of right latents", absent(18))


def further_is_worse(tables: Tables) -> Finding:
    """The further L0 is from the true one, the lower the mean best cosine, on both sides."""
    truth, points = truth_of(tables), tables["points"]
    means = points.groupby("l0")["mean_best_cosine"].mean()
    distance = means.index.to_numpy(dtype=float) - truth
    ranks = [
        rank_correlation(np.abs(distance[side]), means.to_numpy()[side])
        for side in (distance <= 0.5, distance >= -0.5)
    ]
    if not len(means) or any(math.isnan(rank) for rank in ranks):
        return not_run("fewer than 3 L0 points on one side of the true L0")
    held = sum(rank <= -STRONG_RANK for rank in ranks)
    ours = f"rank correlation {number(ranks[0])} below, {number(ranks[1])} above the true L0"
    seeds = points["seed"].nunique()
    return Finding((NOT, PARTLY, REPRODUCED)[held], ours, "of means over seeds", seeds)


def little_resemblance(tables: Tables) -> Finding:
    """At L0 1 and 2 latents have less than half of their squared norm along a feature."""
    found = [per_seed(at_l0(tables["points"], l0), "mean_best_cosine") for l0 in (1, 2)]
    if not all(len(values) for values in found):
        return not_run(absent(1 if not len(found[0]) else 2))
    seeds = found[0].index.intersection(found[1].index)
    held = [all(values[seed] < HALF_OF_SQUARE for values in found) for seed in seeds]
    verdict = by_share(held)
    if verdict == NOT_RUN:
        return not_run("no seed has both L0 1 and 2")
    ours = f"mean best cosine {number(found[0].mean())} at L0 1, {number(found[1].mean())} at L0 2"
    return Finding(verdict, f"{ours}; {count_of(held)}", spread_of(pd.concat(found)), len(held))
