"""Which latent stands for which true feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.metrics.assignment import assign, cosine_blocks, unit_rows

NO_LATENT = -1


@dataclass(frozen=True)
class FeatureMatch:
    """The one-to-one matching of latents to features with the largest sum of |cosine|.

    Attributes
    ----------
    latents
        Latent of each feature; -1 where an SAE narrower than its world has none left for it.
    cosines
        |cosine| of each feature with its latent; 0 where it has none.
    best_features
        Feature with the largest |cosine| with each latent; several latents may share one.
    error_bound
        The mean of `cosines` over the matched pairs is at most this much below the optimum.
    """

    latents: Int[np.ndarray, " features"]
    cosines: Float[np.ndarray, " features"]
    best_features: Int[np.ndarray, " d_sae"]
    error_bound: float

    @property
    def mcc(self) -> float:
        """Mean |cosine| over the matched pairs, min(d_sae, features) of them."""
        return float(self.cosines[self.latents != NO_LATENT].mean())

    @property
    def uniqueness(self) -> float:
        """Distinct features among `best_features`, per latent."""
        return len(np.unique(self.best_features)) / len(self.best_features)


def match_features(
    W_dec: Float[Tensor, "d_sae d_in"], directions: Float[Tensor, "features d_in"]
) -> FeatureMatch:
    """Return which latent stands for which feature.

    MCC = max over one-to-one maps pi of 1 / m sum |cos(W_dec_pi(i), f_i)|, m = min(d_sae,
    features). Uniqueness = |{argmax_i |cos(W_dec_j, f_i)| : j}| / d_sae.

    Raises
    ------
    InputError
        If a row or direction is zero or not finite.

    References
    ----------
    `mean_correlation_coefficient` and `feature_uniqueness` of `sae_lens.synthetic.evals`; Song et
    al., arXiv 2505.20254.

    Examples
    --------
    Three latents, two features: the third latent is left over.

    >>> W_dec = torch.tensor([[0.0, -2.0], [4.0, 3.0], [3.0, 4.0]])
    >>> match = match_features(W_dec, torch.eye(2))
    >>> match.latents.tolist(), match.cosines.round(6).tolist(), round(match.mcc, 6)
    ([1, 0], [0.8, 1.0], 0.9)
    >>> match.best_features.tolist(), round(match.uniqueness, 6)
    ([1, 0, 1], 0.666667)
    """
    rows, features = unit_rows(W_dec), unit_rows(directions)
    found = assign(rows, features, absolute=True)
    latents = np.full(len(features), NO_LATENT)
    cosines = np.zeros(len(features))
    latents[found.columns], cosines[found.columns] = found.rows, found.cosines
    best = [block.argmax(dim=1) for _, block in cosine_blocks(rows, features, absolute=True)]
    return FeatureMatch(latents, cosines, torch.cat(best).cpu().numpy(), found.error_bound)


def ordered_cosines(
    W_dec: Float[Tensor, "d_sae d_in"],
    directions: Float[Tensor, "features d_in"],
    match: FeatureMatch,
) -> Float[np.ndarray, "latents features"]:
    """Return the cosines of latents with features, row i being the latent of feature i.

    Latents without a feature come last; features without a latent have rows of zeros. For worlds
    small enough to look at.

    Examples
    --------
    >>> W_dec = torch.tensor([[0.0, -2.0], [3.0, 4.0]])
    >>> ordered_cosines(W_dec, torch.eye(2), match_features(W_dec, torch.eye(2))).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, -1.0]]
    """
    cosines = (unit_rows(W_dec) @ unit_rows(directions).T).cpu().numpy()
    taken = match.latents != NO_LATENT
    left = np.setdiff1d(np.arange(len(cosines)), match.latents[taken])
    ordered = np.zeros((len(taken) + len(left), len(taken)), dtype=cosines.dtype)
    ordered[: len(taken)][taken] = cosines[match.latents[taken]]
    ordered[len(taken) :] = cosines[left]
    return ordered
