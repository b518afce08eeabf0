"""Why a low L0 mixes correlated features: the loss of one latent that must stand for two.

Two orthonormal features of magnitude 1: feature 1 fires alone with probability `alone`, both fire
together with probability `together`. The SAE may use one latent, tied: encoder and decoder are the
direction a f_1 + (1 - a) f_2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

ALPHAS = (1.0, 0.6)
SAMPLES = 200_000


def mixed_latent_loss(alpha: float, alone: float = 0.4, together: float = 0.4) -> float:
    """Return the expected squared error of one tied latent that mixes two features.

    Parameters
    ----------
    alpha
        Weight of feature 1; 1 is the correct, unmixed latent.
    alone, together
        Probabilities that feature 1 fires alone, and that both fire.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, theory section of the later versions:
    E = (P_1 (1 - a)^2 + P_12 (1 - 2 a)^2) / (a^2 + (1 - a)^2).

    Examples
    --------
    >>> mixed_latent_loss(1.0), round(mixed_latent_loss(0.6), 3)
    (0.4, 0.154)
    """
    error = alone * (1 - alpha) ** 2 + together * (1 - 2 * alpha) ** 2
    return error / (alpha**2 + (1 - alpha) ** 2)


def theory_table(alphas: Sequence[float] = ALPHAS, samples: int = SAMPLES) -> pd.DataFrame:
    """Return `alpha`, `expected_loss` (formula) and `simulated_loss` (mean squared error).

    Parameters
    ----------
    alphas
        Weights of feature 1 in the latent's direction; the rest is feature 2.
    samples
        Samples of two features of magnitude 1, of which the first fires alone with probability 0.4,
        both with 0.4.

    Examples
    --------
    >>> theory_table(samples=100_000).round(2)["simulated_loss"].tolist()
    [0.4, 0.15]
    """
    draw = np.random.default_rng(0).random(samples)
    x = np.stack([draw < 0.8, draw < 0.4], axis=1).astype(float)
    rows = []
    for alpha in alphas:
        direction = np.array([alpha, 1 - alpha]) / np.hypot(alpha, 1 - alpha)
        error = x - np.outer(x @ direction, direction)
        loss = float((error**2).sum(axis=1).mean())
        rows.append((alpha, mixed_latent_loss(alpha), loss))
    return pd.DataFrame(rows, columns=["alpha", "expected_loss", "simulated_loss"])
