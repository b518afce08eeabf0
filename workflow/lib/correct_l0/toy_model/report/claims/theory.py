"""The expected loss of one tied latent, by formula and by simulation: no training is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from correct_l0.toy_model.theory import mixed_latent_loss

ALPHAS = (1.0, 0.6)
SAMPLES = 200_000


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
