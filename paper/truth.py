"""What is known of a world: its features, and what the SAE with the true features does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.saved import SavedSae
from correct_l0.saes.training.evaluate import held_out_chunks, measure
from correct_l0.saes.training.threshold import count_bits, threshold_for
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.store import SyntheticStore
from correct_l0.sources.synthetic.world import firing_correlation

ROUNDING = 1e-4
"""Below this a pre-activation of the ground-truth SAE is rounding, not a feature that fires."""


def ground_truth_sae(
    directions: Float[Tensor, "features d_in"], threshold: float = ROUNDING
) -> SavedSae:
    """Return the ground-truth SAE: W_enc = F^T, W_dec = F, no biases.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, section 3.1 and appendix A.2.
    """
    features, d_in = directions.shape
    return SavedSae(
        W_enc=directions.T,
        b_enc=torch.zeros(features),
        W_dec=directions,
        b_dec=torch.zeros(d_in),
        threshold=torch.full((features,), threshold),
    )


def ground_truth_table(world: SyntheticStore, l0s: list[float]) -> pd.DataFrame:
    """Return what the ground-truth SAE does at each L0, calibrated and measured as trained ones.

    Above the true L0 of orthonormal features it has no more to select: its measured L0 stays there.

    Returns
    -------
    pd.DataFrame
        `l0`, `l0_measured`, `mse` (raw units, summed over d_in), `variance_explained` and
        `power_explained`.
    """
    directions, square = world.truth.directions, mean_square(world)
    counts, tokens = count_bits(x @ directions.T for x in held_out_chunks(world, 0))
    rows = []
    for l0 in l0s:
        sae = ground_truth_sae(directions, max(ROUNDING, threshold_for(counts, tokens, l0)))
        found = measure(sae, held_out_chunks(world, 1), 1.0)
        rows.append(
            {
                "l0": l0,
                "l0_measured": found["l0_measured"],
                "mse": found["mse"],
                "variance_explained": 1 - found["fvu"],
                "power_explained": 1 - found["mse"] / square,
            }
        )
    return pd.DataFrame(rows)


def mean_square(world: SyntheticStore) -> float:
    """Return the mean squared norm of the held-out samples that SAEs are measured on."""
    total = tokens = 0.0
    for x in held_out_chunks(world, 1):
        total += x.square().sum(dtype=torch.float64).item()
        tokens += len(x)
    return total / tokens


def feature_table(world: SyntheticStore) -> pd.DataFrame:
    """Return the firing probability of each feature: `feature`, `probability`."""
    rates = world.truth.rates
    return pd.DataFrame({"feature": range(len(rates)), "probability": rates})


def correlation_table(world: SyntheticStore) -> pd.DataFrame:
    """Return the expected correlation of the firings of each pair of features: `i`, `j`."""
    expected = firing_correlation(world.world)
    i, j = np.triu_indices(len(expected), 1)
    return pd.DataFrame({"i": i, "j": j, "expected": expected[i, j]})


def text_true_l0() -> float:
    """Return the sum of the firing probabilities that the paper's text gives.

    Examples
    --------
    >>> round(text_true_l0(), 3)
    9.875
    """
    return float(Synthetic(firing="text").own_probabilities(None).sum())  # type: ignore[arg-type]
