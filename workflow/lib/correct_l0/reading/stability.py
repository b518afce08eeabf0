"""Do two seeds find the same latents? The curve over L0, its peak, and a test of health.

Two decoders of one L0 that differ only in their seed are matched one to one. Two numbers say how
alike they are: the *share* of latents whose match has a cosine above 0.9, and the *excess* of the
mean matched cosine over chance, (pw_mcc - chance) / (1 - chance), which is 0 for random decoders
and 1 for equal ones. They fail in different worlds, so a point is reproducible where either is
high:

- an SAE wider than its world finds every feature once and fills the rest with whatever the seed
  brings: the mean falls, the share says how many latents stand;
- where features overlap, or training goes on, every latent is found again but not to 0.9: the share
  falls, the mean stands.

*The limits.* Worlds of known truth, at the L0 of best recovery: 100 independent features in 128
dimensions .978 (mean cosine), the paper's correlations .986, 200 features in 64 dimensions .605
(share) and .738 (mean; an excess of .61), twice as many latents as features .50 (share), a language
model's own codes .776 and .475 (share), the same with its residual .382 (share) and .689 (mean; an
excess of .63). To be refused: that last world at twice its L0, .066 and .497 (an excess of .41);
the 200 features at three times theirs, where c_dec is lowest, .035 and .497 (.26); and 768 latents
of all-MiniLM-L6-v2 after one million tokens at L0 64 (.061; .509, .42), 128 (.010; .378, .26) and
220 (.002; .246, .11), whatever c_dec says there. The limits lie in the gaps between the two, .066
to .382 and .42 to .61.

*The voice that leads.* Where the truth is known, stability peaks at the L0 of best recovery
(docs/calibration.md): its threshold-free form, `reproduced_share`, is read as a peak (`peak`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from correct_l0.reading.peak import PeakReading, read_peak

NOT_REPRODUCIBLE = "not reproducible"

SHARE_LIMIT = 0.25
"""Share of latents matched above 0.9 that is enough. At most four times as many latents as there
are features to find: an SAE that wide should be narrower."""
EXCESS_LIMIT = 0.5
"""Excess of the mean matched cosine over chance that is enough: nearer to equal decoders than to
random ones. As a multiple, 3.7 times chance for 768 latents in 384 dimensions (chance .154)."""


@dataclass(frozen=True)
class Band:
    """A number at every point: its mean over pairs of seeds, and its range."""

    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True)
class StabilityReading:
    """How alike seeds are over L0.

    Attributes
    ----------
    points
        Measured L0, lowest first.
    pairs
        Pairs of seeds of each point.
    share, excess, pw_mcc, reproduced
        Share of latents matched above 0.9, excess over chance, mean matched cosine, the
        threshold-free share.
    chance
        Mean matched cosine of random decoders.
    peak
        What the threshold-free share says.
    """

    points: tuple[float, ...]
    pairs: tuple[int, ...]
    share: Band
    excess: Band
    pw_mcc: Band
    reproduced: Band
    chance: tuple[float, ...]
    peak: PeakReading


@dataclass(frozen=True)
class Reproducibility:
    """Whether the SAEs that an answer names are those of any seed; L0 values are measured ones.

    Attributes
    ----------
    points
        Points that have a pair of seeds.
    share, pw_mcc, chance
        Of each of them, means over pairs.
    differing
        Those where two seeds do not agree.
    unknown
        Points without a pair of seeds.
    """

    points: tuple[float, ...]
    share: tuple[float, ...]
    pw_mcc: tuple[float, ...]
    chance: tuple[float, ...]
    differing: tuple[float, ...]
    unknown: tuple[float, ...]


def read_stability(
    table: pd.DataFrame, overlap: Mapping[float, float] | None = None
) -> StabilityReading:
    """Read a study's stability.

    Parameters
    ----------
    table
        One row per L0 and pair of seeds: `l0`, `l0_measured`, `pw_mcc`, `share_above` (a
        share), `reproduced_share`, `chance_pw_mcc`.
    overlap
        c_dec in units of that of random directions, by target L0.

    References
    ----------
    Song et al., arXiv 2505.20254: PW-MCC.
    """
    rows = table.assign(excess=excess_over(table["pw_mcc"], table["chance_pw_mcc"]))
    groups = rows.groupby("l0")
    # Of equal values the median is that value to the bit, and points are found again by it.
    order = groups["l0_measured"].median().sort_values(kind="stable")
    points = order.to_numpy(dtype=float)

    def band(column: str) -> Band:
        by_l0 = groups[column].agg(["mean", "min", "max"]).loc[order.index]
        return Band(*(tuple(by_l0[name].tolist()) for name in ("mean", "min", "max")))

    reproduced = band("reproduced_share")
    return StabilityReading(
        points=tuple(points.tolist()),
        pairs=tuple(groups.size().loc[order.index].tolist()),
        share=band("share_above"),
        excess=band("excess"),
        pw_mcc=band("pw_mcc"),
        reproduced=reproduced,
        chance=tuple(groups["chance_pw_mcc"].mean().loc[order.index].tolist()),
        peak=read_peak(
            points,
            np.array(reproduced.means),
            np.array([(overlap or {}).get(l0, math.nan) for l0 in order.index]),
        ),
    )


def overlap_of(c_dec: pd.DataFrame) -> dict[float, float]:
    """Return c_dec in units of that of random directions by target L0, where that is known.

    Examples
    --------
    >>> overlap_of(pd.DataFrame({"l0": [4.0, 4.0], "value": [0.5, 1.0], "random": 0.25}))
    {4.0: 3.0}
    """
    if "random" not in c_dec:
        return {}
    means = c_dec.groupby("l0")[["value", "random"]].mean()
    return dict(zip(means.index.tolist(), (means["value"] / means["random"]).tolist(), strict=True))


def excess_over(pw_mcc: pd.Series, chance: pd.Series) -> pd.Series:
    """Return (pw_mcc - chance) / (1 - chance).

    Examples
    --------
    Random decoders have 0, equal ones 1, and .6 is halfway between .2 and 1:

    >>> excess_over(pd.Series([0.2, 1.0, 0.6]), pd.Series([0.2, 0.2, 0.2])).round(9).tolist()
    [0.0, 1.0, 0.5]
    """
    return (pw_mcc - chance) / (1 - chance)


def is_reproducible(share: float, excess: float) -> bool:
    """Return whether two seeds find the same latents: enough of them, or all of them nearly.

    Examples
    --------
    MiniLM at L0 128, a world half as wide as its SAE, one with a language model's residual:

    >>> is_reproducible(0.010, 0.26), is_reproducible(0.50, 0.45), is_reproducible(0.38, 0.63)
    (False, True, True)
    """
    return share >= SHARE_LIMIT or excess >= EXCESS_LIMIT


def reproducibility_at(reading: StabilityReading, l0: Sequence[float]) -> Reproducibility:
    """Return at which of the L0 points two seeds agree."""
    at = {x: i for i, x in enumerate(reading.points)}
    known = tuple(x for x in l0 if x in at and math.isfinite(reading.excess.means[at[x]]))
    share = tuple(reading.share.means[at[x]] for x in known)
    excess = tuple(reading.excess.means[at[x]] for x in known)
    return Reproducibility(
        points=known,
        share=share,
        pw_mcc=tuple(reading.pw_mcc.means[at[x]] for x in known),
        chance=tuple(reading.chance[at[x]] for x in known),
        differing=tuple(
            x for x, s, e in zip(known, share, excess, strict=True) if not is_reproducible(s, e)
        ),
        unknown=tuple(x for x in l0 if x not in known),
    )
