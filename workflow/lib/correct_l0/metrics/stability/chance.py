"""How well the decoders of two seeds match by chance: random directions, as many in as many."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from correct_l0.metrics.assignment import assign

if TYPE_CHECKING:
    from jaxtyping import Float

SIMULATED = 1024
"""Widest decoder that is simulated as it is."""

DIRECTIONS = 4096
"""Matched directions simulated, spread over as many pairs of decoders as that takes."""


@lru_cache(maxsize=64)
def chance_cosines(d_sae: int, d_in: int) -> Float[np.ndarray, "pairs matched"]:
    """Return the cosines of matched rows of random decoders; one row per simulated pair.

    Unit rows of independent directions, always of the same random numbers, matched as those of
    two seeds are. Above `SIMULATED` latents m = `SIMULATED` are simulated and carried over: with
    P(c) the chance that two directions in d_in dimensions have a cosine above c, a matched cosine
    c among m latents stands for the one c' among d_sae with d_sae P(c') = m P(c): a latent's
    partner keeps its rank among all latents, which hardly depends on how many there are. Carried
    from 256 to 4,096 latents in 64 and in 768 dimensions, their mean is within .0004 of a direct
    simulation, the noise of both.

    Examples
    --------
    >>> chance_cosines(100, 128).shape
    (41, 100)
    """
    latents = min(d_sae, SIMULATED)
    pairs = min(max(2, math.ceil(DIRECTIONS / latents)), 256)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(pairs):
        a, b = (torch.randn(latents, d_in, generator=generator) for _ in range(2))
        found.append(assign(a, b).cosines)
    cosines = np.stack(found)
    if latents < d_sae:
        cosines = _cosine_above_with(_above(cosines, d_in) * (latents / d_sae), d_in)
    cosines.setflags(write=False)
    return cosines


def chance_level(d_sae: int, d_in: int) -> tuple[float, float]:
    """Return the PW-MCC of random decoders, and its standard error over the simulated pairs.

    Examples
    --------
    One latent each: the cosine of two random directions, 0 on average.

    >>> level, standard_error = chance_level(1, 384)
    >>> abs(level) < 3 * standard_error < 0.01
    True
    """
    means = chance_cosines(d_sae, d_in).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


def _above(cosines: Float[np.ndarray, "*any"], d_in: int) -> Float[np.ndarray, "*any"]:
    """Return P(cosine of two random directions > c): c^2 ~ Beta(1/2, (d_in - 1) / 2)."""
    from scipy.special import betainc

    beyond = betainc((d_in - 1) / 2, 0.5, 1 - cosines**2) / 2
    return np.where(cosines > 0, beyond, 1 - beyond)


def _cosine_above_with(
    probabilities: Float[np.ndarray, "*any"], d_in: int
) -> Float[np.ndarray, "*any"]:
    """Return the cosine that two random directions exceed with a probability below 1/2."""
    from scipy.special import betaincinv

    return np.sqrt(1 - betaincinv((d_in - 1) / 2, 0.5, 2 * np.minimum(probabilities, 0.5)))
