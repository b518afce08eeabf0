"""How well one SAE recovers the features of its world, as one row of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from correct_l0.metrics.recovery.classification import Classification, FiringCounts
from correct_l0.metrics.recovery.matching import FeatureMatch, match_features

RECOVERED = 0.9
"""|cosine| with its latent above which a feature counts as recovered."""


@dataclass(frozen=True)
class Recovery:
    """How an SAE's decoder matches the true features, and how its latents classify them."""

    match: FeatureMatch
    classification: Classification


def measure_recovery(
    W_dec: Float[Tensor, "d_sae d_in"],
    directions: Float[Tensor, "features d_in"],
    batches: Iterable[tuple[Tensor, Tensor]],
) -> Recovery:
    """Return how well an SAE recovers the features of its world.

    Parameters
    ----------
    W_dec
        Decoder; wider or narrower than the world.
    directions
        Directions of the true features.
    batches
        Of held-out samples: latent activations (batch, d_sae), and which features fire (batch,
        features), as truth values or magnitudes.

    Raises
    ------
    InputError
        If a direction is zero or not finite, there is no sample, or a batch has another shape.
    """
    match = match_features(W_dec, directions)
    counts = FiringCounts(match.best_features, len(directions))
    for latents, features in batches:
        counts.add(latents, features)
    return Recovery(match, counts.classification())


def recovery_table(recovery: Recovery) -> pd.DataFrame:
    """Return the recovery of one SAE as a table of one row.

    `mcc`, `uniqueness`, `precision`, `recall`, `f1`, `accuracy`, `l0_true`, `l0_measured` and
    `dead_latents` are SAELens' numbers: the classifier's are means over all latents, dead ones
    among them as 0, each judged by the feature nearest to it, whoever else is near to it.
    `mean_best_cosine` and `worst_best_cosine` are over all features, 0 for those without a latent
    of their own; `features_recovered` and `share_recovered` count those above `RECOVERED`.
    """
    match, found = recovery.match, recovery.classification
    recovered = int((match.cosines > RECOVERED).sum())
    row = {
        "features": len(match.cosines),
        "d_sae": len(match.best_features),
        "mcc": match.mcc,
        "mean_best_cosine": float(match.cosines.mean()),
        "worst_best_cosine": float(match.cosines.min()),
        "features_recovered": recovered,
        "share_recovered": recovered / len(match.cosines),
        "uniqueness": match.uniqueness,
        "precision": float(found.precision.mean()),
        "recall": float(found.recall.mean()),
        "f1": float(found.f1.mean()),
        "accuracy": float(found.accuracy.mean()),
        "l0_true": found.l0_true,
        "l0_measured": found.l0_measured,
        "dead_latents": found.dead_latents,
        "samples": found.samples,
        "matching_error_bound": match.error_bound,
    }
    return pd.DataFrame([row])
