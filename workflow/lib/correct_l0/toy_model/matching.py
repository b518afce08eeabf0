"""Which latent stands for which true feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Match:
    """Cosines of an SAE's decoder rows with the true features, the latents put in order.

    Attributes
    ----------
    cosines
        Row i is the latent matched to feature i; latents without a feature come last. Features
        without a latent, where there are fewer latents, have rows of zeros.
    """

    cosines: Float[np.ndarray, "latents features"]

    @property
    def best(self) -> Float[np.ndarray, " features"]:
        """|cosine| of each feature with its latent."""
        return np.abs(np.diag(self.cosines))

    @property
    def mixing(self) -> float:
        """Mean |cosine| of feature 0 with the latents of the other features.

        Zero where every latent stands for one of orthogonal features.
        """
        return float(np.abs(self.cosines[1 : len(self.best), 0]).mean())


def match_latents(
    W_dec: Float[np.ndarray, "d_sae d_in"], directions: Float[np.ndarray, "features d_in"]
) -> Match:
    """Return the matching of latents to features with the largest sum of |cosine|.

    References
    ----------
    Kuhn (1955), The Hungarian method for the assignment problem.

    Examples
    --------
    >>> match = match_latents(np.array([[0.0, -2.0], [3.0, 4.0]]), np.eye(2))
    >>> match.cosines.tolist(), match.best.tolist(), match.mixing
    ([[0.6, 0.8], [0.0, -1.0]], [0.6, 1.0], 0.0)
    """
    rows = W_dec / np.linalg.norm(W_dec, axis=1, keepdims=True)
    cosines = rows @ directions.T
    features = len(directions)
    latents, matched = linear_sum_assignment(-np.abs(cosines))
    ordered = np.zeros((max(features, len(rows)), features))
    ordered[matched] = cosines[latents]
    rest = np.setdiff1d(np.arange(len(rows)), latents)
    ordered[len(ordered) - len(rest) :] = cosines[rest]
    return Match(ordered)
