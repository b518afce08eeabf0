"""Claims of the paper's later versions about language models, and of its companion on hedging."""

from __future__ import annotations

import numpy as np
import pandas as pd

from correct_l0.reading.reading import READ
from paper.claims.judgement import (
    NOT,
    PARTLY,
    REPRODUCED,
    Finding,
    Tables,
    by_share,
    count_of,
    not_run,
    number,
    rank_correlation,
    spread_of,
)
from paper.claims.sweep import STRONG_RANK
from paper.hedging import CLEAR

NEEDS = "not run here: needs a GPU"
NEAR = 1.25
"""Factor within which an L0 is the published one: the distance of points in the paper's grids."""


def _study(tables: Tables, study: str) -> pd.DataFrame:
    table = tables["language_models"]
    return table[table["study"] == study]


def c_dec_at(tables: Tables, study: str, what: str, low: float, high: float) -> Finding:
    """Where c_dec of a language model is lowest, or has its elbow."""
    rows = _study(tables, study)
    if not len(rows):
        return not_run(f"{NEEDS} (config/{study}.yaml)")
    value, seeds = float(rows[what].iloc[0]), int(rows["seeds"].iloc[0])
    if not np.isfinite(value):
        return Finding(NOT, f"c_dec has none: {rows['outcome'].iloc[0]}", seeds=seeds)
    verdict = NOT
    if low / NEAR <= value <= high * NEAR:
        verdict = REPRODUCED
    elif low / 2 <= value <= high * 2:
        verdict = PARTLY
    return Finding(verdict, f"{what} at L0 {number(value)}", seeds=seeds)


def c_dec_is_read(tables: Tables, study: str) -> Finding:
    """Whether c_dec of a language model falls to a lowest point inside the grid."""
    rows = _study(tables, study)
    if not len(rows):
        return not_run(f"{NEEDS} (config/{study}.yaml)")
    outcome, seeds = rows["outcome"].iloc[0], int(rows["seeds"].iloc[0])
    ours = f"{outcome}; lowest at L0 {number(float(rows['minimum'].iloc[0]))}"
    return Finding(REPRODUCED if outcome == READ else NOT, ours, seeds=seeds)


def part_of_other(tables: Tables, case: str, sign: int) -> Finding:
    """Whether the only latent has a part of the other feature: of a sign, or (0) none."""
    table = tables["hedging"]
    rows = table[(table["case"] == case) & (table["latents"] == 1)]
    if not len(rows):
        return not_run("not simulated")
    found = rows["decoder"].astype(float)
    passed = [abs(x) < CLEAR if sign == 0 else sign * x >= CLEAR for x in found]
    ours = f"cosine {number(float(found.mean()))}, {number(float(rows['expected'].mean()))} by "
    return Finding(
        by_share(passed), f"{ours}the closed form; {count_of(passed)}", spread_of(found), len(rows)
    )


def absorbs(tables: Tables) -> Finding:
    """Whether two latents of a hierarchical pair show absorption."""
    table = tables["hedging"]
    rows = table[(table["case"] == "hierarchical") & (table["latents"] == 2)]
    if not len(rows):
        return not_run("not simulated")
    passed = list(rows["kind"] == "absorption")
    carried = rows["other_decoder"].astype(float)
    ours = f"the child's latent has cosine {number(float(carried.mean()))} with the parent, the "
    encoder = number(float(rows["encoder"].mean()))
    return Finding(
        by_share(passed),
        f"{ours}parent's encoder {encoder} with the child; {count_of(passed)}",
        spread_of(carried),
        len(rows),
    )


def falls_with_width(tables: Tables, study: str, why: str) -> Finding:
    """Whether the hedging rate falls as SAEs get wider, at each L0."""
    rows = tables["widths"]
    rows = rows[rows["study"] == study]
    if rows["d_sae"].nunique() < 3:
        return not_run(f"{why} (config/{study}.yaml)")
    means = rows.groupby(["l0", "d_sae"])["rate"].mean().reset_index()
    ranks = {
        l0: rank_correlation(its["d_sae"], its["rate"])
        for l0, its in means.groupby("l0")
        if its["d_sae"].nunique() >= 3
    }
    passed = [rank <= -STRONG_RANK for rank in ranks.values()]
    ends = rows.groupby("d_sae")["rate"].mean().sort_index()
    ours = (
        f"{number(float(ends.iloc[0]))} at {int(ends.index[0]):,} latents, "
        f"{number(float(ends.iloc[-1]))} at {int(ends.index[-1]):,}; {count_of(passed, 'L0')}"
    )
    return Finding(by_share(passed), ours, seeds=rows["seed"].nunique())
