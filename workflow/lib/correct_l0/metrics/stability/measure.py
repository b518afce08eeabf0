"""How alike the decoders of two seeds are, for every pair of seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.assignment import assign
from correct_l0.metrics.stability.chance import chance_cosines, chance_level
from correct_l0.metrics.stability.subspace import gram_agreement, gram_agreement_spread

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REPRODUCED = 0.9
"""Cosine with its partner above which a latent counts as found by both seeds."""


@dataclass(frozen=True)
class SeedPair:
    """The decoders of two seeds, matched one to one.

    Attributes
    ----------
    cosines
        Of each latent of the first seed with its partner, in [-1, 1].
    partners
        Latent of the second seed.
    agreement, agreement_of_others
        `gram_agreement` of all latents, and of those that are not reproduced in either seed; NaN
        where there are none.
    error_bound
        The mean of `cosines` is at most this much below that of the best matching.
    """

    seeds: tuple[int, int]
    d_in: int
    cosines: Float[np.ndarray, " d_sae"]
    partners: Int[np.ndarray, " d_sae"]
    agreement: float
    agreement_of_others: float
    error_bound: float


def compare_seeds(decoders: Mapping[int, Float[Tensor, "d_sae d_in"]]) -> list[SeedPair]:
    """Return every pair of seeds, matched so that the sum of cosines is largest.

    Cosines and not |cosines|: a latent only ever adds its row times a positive activation, so a
    row and its opposite are two findings, not one. The authors' code of PW-MCC does the same;
    SAELens' MCC takes absolute values. Exact at any width, `correct_l0.metrics.assignment` says
    how.

    Parameters
    ----------
    decoders
        W_dec by seed; everything else about these SAEs is the same.

    Raises
    ------
    InputError
        If there is one seed, decoders differ in shape, or a row is zero or not finite.

    References
    ----------
    Song et al., arXiv 2505.20254, PW-MCC.
    """
    if len(decoders) < 2:
        raise InputError(
            f"{len(decoders)} seed, stability compares at least 2; add a seed to saes.seeds"
        )
    return [_pair(decoders, a, b) for a, b in combinations(sorted(decoders), 2)]


def reproduced_share(cosines: Float[np.ndarray, " d_sae"], chance: float) -> float:
    """Return the share of latents that two seeds reproduce, without a threshold.

    R = 1 / h sum_i max(0, 1 - theta_i / theta_0), theta_i = arccos c_i the angle between a latent
    and its partner, theta_0 = arccos c_0 that of the mean matched cosine of random decoders. It is
    the area under the share of latents within an angle of their partner, from angle 0 to chance:
    1 where all latents come back, 0 where none does better than chance. Angles and not cosines or
    their squares: those hardly tell a latent found again from one near it.

    Examples
    --------
    Chance is 60 degrees; one latent comes back, one is 30 degrees off, one is at chance.

    >>> round(reproduced_share(np.array([1.0, 0.75**0.5, 0.5]), 0.5), 6)
    0.5
    """
    angles = np.arccos(np.clip(cosines, -1, 1))
    return float(np.maximum(1 - angles / math.acos(chance), 0).mean())


def stability_table(pairs: Sequence[SeedPair]) -> pd.DataFrame:
    """Return one row per pair of seeds.

    `pw_mcc` is the mean matched cosine; `share_above` and `number_above` say how many latents match
    above `REPRODUCED`; `reproduced_share` is the form of it without a threshold. `chance_*` are
    the same of random decoders of this shape, `chance_standard_error` of `chance_pw_mcc`.
    `subspace_agreement` is `gram_agreement` of all latents, `subspace_agreement_of_others` of those
    not reproduced; random ones have 0 +- `subspace_agreement_spread`.

    Examples
    --------
    Two seeds found the same latents in another order.

    >>> W_dec = torch.eye(8)
    >>> table = stability_table(compare_seeds({0: W_dec, 1: W_dec.flip(0)}))
    >>> table[["seed_a", "seed_b", "pw_mcc", "number_above"]].values.tolist()
    [[0.0, 1.0, 1.0, 8.0]]
    """
    rows = []
    for pair in pairs:
        d_sae = len(pair.cosines)
        chance, standard_error = chance_level(d_sae, pair.d_in)
        by_chance = chance_cosines(d_sae, pair.d_in)
        above = pair.cosines > REPRODUCED
        rows.append(
            {
                "seed_a": pair.seeds[0],
                "seed_b": pair.seeds[1],
                "d_sae": d_sae,
                "d_in": pair.d_in,
                "pw_mcc": float(pair.cosines.mean()),
                "share_above": float(above.mean()),
                "number_above": int(above.sum()),
                "reproduced_share": reproduced_share(pair.cosines, chance),
                "chance_pw_mcc": chance,
                "chance_standard_error": standard_error,
                "chance_share_above": float((by_chance > REPRODUCED).mean()),
                "chance_reproduced_share": reproduced_share(by_chance.ravel(), chance),
                "subspace_agreement": pair.agreement,
                "subspace_agreement_of_others": pair.agreement_of_others,
                "subspace_agreement_spread": gram_agreement_spread(pair.d_in),
                "matching_error_bound": pair.error_bound,
            }
        )
    return pd.DataFrame(rows)


def _pair(decoders: Mapping[int, Float[Tensor, "d_sae d_in"]], a: int, b: int) -> SeedPair:
    first, second = decoders[a], decoders[b]
    if first.shape != second.shape:
        raise InputError(
            f"decoders of seeds {a} and {b} have shapes {tuple(first.shape)} and "
            f"{tuple(second.shape)}, not one; compare seeds of one sweep and L0"
        )
    found = assign(first, second)
    others = found.cosines <= REPRODUCED
    ours = torch.from_numpy(np.flatnonzero(others)).to(first.device)
    theirs = torch.from_numpy(found.columns[others]).to(second.device)
    return SeedPair(
        seeds=(a, b),
        d_in=first.shape[1],
        cosines=found.cosines,
        partners=found.columns,
        agreement=gram_agreement(first, second),
        agreement_of_others=(
            gram_agreement(first[ours], second[theirs]) if len(ours) else math.nan
        ),
        error_bound=found.error_bound,
    )
