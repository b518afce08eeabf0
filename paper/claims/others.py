"""Claims about the small model, superposition, JumpReLU SAEs, and the theory."""

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
    each_seed,
    not_run,
    number,
    rank_correlation,
    spread_of,
)
from paper.claims.sweep import (
    RIGHT,
    STRONG_RANK,
    right_verdict,
    truth_of,
)

MIXED = 0.05
"""Mean |cosine| onto the other features from which on a latent of the small model is mixed."""
STICKS_WITHIN = 0.1
"""Distance from the true L0, as a share of it, within which a JumpReLU SAE sticks to it."""
STICKS_OVER = 2.0
"""Factor of lambda over which it has to stick."""
LOSS_TOLERANCE = 0.005
SIMULATED_TOLERANCE = 0.02


def small_recovers(tables: Tables) -> Finding:
    """The small model's SAE at its true L0, 2, has the true features."""
    rows = _small(tables, "true_l0", 2.0)
    values = rows[rows["init"] == "random"]["mean_best_cosine"]
    if not len(values):
        return not_run("no small model with L0 2 in this study")
    held = [bool(value >= RIGHT) for value in values]
    ours = f"mean best cosine {number(values.mean())}; {count_of(held, 'SAE')}"
    kept = rows[rows["init"] == "truth"]["mean_best_cosine"]
    ours += f"; started at the truth {number(kept.mean())}" if len(kept) else ""
    seeds = rows["seed"].nunique()
    return Finding(right_verdict(values), ours, spread_of(values), seeds)


def small_leaves_truth(tables: Tables) -> Finding:
    """At L0 1.8 the SAE leaves the true features that it started from, for both correlations."""
    rows = _small(tables, "init", 1.8)
    rows = rows[rows["init"] == "truth"]
    if not len(rows):
        return not_run("no small model with L0 1.8 that starts at the truth in this study")
    values = rows.groupby("seed")["mixing"].min()
    signs = sorted(rows["correlation"].unique())
    finding = each_seed(values, lambda x: x >= MIXED, "mixing", "")
    ours = f"{finding.ours} (the lower of correlations {', '.join(f'{x:g}' for x in signs)})"
    return Finding(finding.verdict, ours, finding.spread, finding.seeds)


def mixing_by_correlation(tables: Tables) -> Finding:
    """Mixing grows with the size of the correlation, on both sides of zero."""
    rows = tables["small_model"]
    rows = rows[rows["experiment"] == "mixing_correlation"]
    means = rows.groupby("correlation")["mixing"].mean()
    ranks = [
        rank_correlation(np.abs(side.index), side)
        for side in (means[means.index <= 0], means[means.index >= 0])
    ]
    if not len(means) or any(math.isnan(rank) for rank in ranks):
        return not_run("fewer than 3 correlations on one side of zero")
    held = sum(rank >= STRONG_RANK for rank in ranks)
    ours = (
        f"rank correlation of |correlation| and mixing {number(ranks[0])} where negative, "
        f"{number(ranks[1])} where positive; mixing {number(means.min())} to {number(means.max())}"
    )
    verdict = (NOT, PARTLY, REPRODUCED)[held]
    return Finding(verdict, ours, "of means over seeds", rows["seed"].nunique())


def mixing_by_l0(tables: Tables) -> Finding:
    """Mixing falls as L0 rises to the true one, where it is gone."""
    rows = tables["small_model"]
    rows = rows[rows["experiment"] == "mixing_l0"]
    means = rows.groupby("l0")["mixing"].mean()
    rank = rank_correlation(means.index, means)
    if math.isnan(rank):
        return not_run("fewer than 3 L0 points of the small model")
    held = (rank <= -STRONG_RANK) + bool(means.iloc[-1] < MIXED)
    ours = (
        f"{number(means.iloc[0])} at L0 {means.index[0]:g}, {number(means.iloc[-1])} at "
        f"{means.index[-1]:g}; rank correlation with L0 {number(rank)}"
    )
    last = rows[rows["l0"] == means.index[-1]]["mixing"]
    spread = f"{spread_of(last)} at L0 {means.index[-1]:g}"
    return Finding((NOT, PARTLY, REPRODUCED)[held], ours, spread, rows["seed"].nunique())


def superposition_recovers(tables: Tables) -> Finding:
    """With features that are not orthogonal the SAE at the true L0 is the nearest to them."""
    rows, truth = tables["superposition"], truth_of(tables, "superposition_true_l0")
    table = rows.pivot_table(index="l0", columns="seed", values="mean_best_cosine")
    if len(table) < 3 or math.isnan(truth):
        return not_run("fewer than 3 L0 points in superposition")
    nearest = table.index[int(np.argmin(np.abs(table.index - truth)))]
    best = table.idxmax().astype(float)
    held = [bool(x == nearest) for x in best]
    ours = (
        f"best at L0 {number(float(best.median()))}; mean best cosine "
        f"{number(table.loc[nearest].mean())} at L0 {nearest:g}; {count_of(held)}"
    )
    return Finding(by_share(held), ours, f"best at L0 {spread_of(best)}", len(held))


def _jumprelu(tables: Tables) -> pd.DataFrame:
    return tables["jumprelu"].groupby("lambda")[["l0_measured", "c_dec"]].mean().sort_index()


def jumprelu_sticks(tables: Tables) -> Finding:
    """Over a range of lambda the L0 of JumpReLU SAEs stays at the true one."""
    means, truth = _jumprelu(tables), truth_of(tables)
    if len(means) < 3 or math.isnan(truth):
        return not_run("fewer than 3 lambdas in this study")
    near = (means["l0_measured"] / truth - 1).abs() <= STICKS_WITHIN
    runs = near.ne(near.shift()).cumsum()
    spans = [group.index for _, group in near[near].groupby(runs[near])]
    widest = max(spans, key=lambda span: span[-1] / span[0], default=None)
    seeds = tables["jumprelu"]["seed"].nunique()
    low, high = means["l0_measured"].min(), means["l0_measured"].max()
    reach = f"L0 {number(low)} to {number(high)} over all lambdas"
    if widest is None:
        return Finding(NOT, f"at no lambda within {STICKS_WITHIN:.0%}", reach, seeds)
    factor = widest[-1] / widest[0]
    verdict = REPRODUCED if factor >= STICKS_OVER else PARTLY if len(widest) > 1 else NOT
    ours = (
        f"within {STICKS_WITHIN:.0%} of it from lambda {number(widest[0])} to "
        f"{number(widest[-1])}, a factor of {number(factor)}"
    )
    return Finding(verdict, ours, reach, seeds)


def jumprelu_c_dec(tables: Tables) -> Finding:
    """c_dec of JumpReLU SAEs is lowest at the true L0."""
    rows, truth = tables["jumprelu"].dropna(subset=["c_dec"]), truth_of(tables)
    if rows["lambda"].nunique() < 3 or math.isnan(truth):
        return not_run("fewer than 3 lambdas in this study")
    lowest = rows.loc[rows.groupby("seed")["c_dec"].idxmin()].set_index("seed")["l0_measured"]
    return each_seed(
        lowest, lambda x: abs(x / truth - 1) <= STICKS_WITHIN, "lowest at L0", "no c_dec"
    )


def expected_loss(tables: Tables, alpha: float, published: float) -> Finding:
    """The expected loss of one tied latent, by formula and by simulation."""
    rows = at_l0(tables["theory"], alpha, column="alpha")
    if not len(rows):
        return not_run(f"no expected loss at alpha = {alpha:g} in the tables")
    formula, simulated = (
        float(rows[column].mean()) for column in ("expected_loss", "simulated_loss")
    )
    passed = [
        abs(formula - published) <= LOSS_TOLERANCE,
        abs(simulated / published - 1) <= SIMULATED_TOLERANCE,
    ]
    verdict = (NOT, PARTLY, REPRODUCED)[sum(passed)]
    return Finding(verdict, f"{formula:.4g} by formula, {simulated:.4g} simulated")


def _small(tables: Tables, experiment: str, l0: float) -> pd.DataFrame:
    rows = tables["small_model"]
    return at_l0(rows[rows["experiment"] == experiment], l0)
