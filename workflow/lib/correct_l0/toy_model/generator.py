"""Samples of a toy model, batch by batch: each batch is a function of the seed and the step alone.

The authors build the Cholesky factor and every threshold anew for each batch; here both are made
once, and a batch is a few operations on whole arrays.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.toy_model.features import Features

PURPOSES = ("train", "measure")
"""Samples measured on come from another stream than those trained on, whatever the seed."""


class Stream:
    """An endless stream of batches; any batch can be made at any time, in any order.

    Parameters
    ----------
    features
        The true features.
    seed
        Seed of the stream.
    batch_size
        Samples per batch.
    purpose
        `train` or `measure`.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, section 3: x = sum of m_i f_i over the features that
    fire; a Gaussian copula decides which, m_i = ReLU(N(1, 0.15)).
    """

    def __init__(
        self,
        features: Features,
        seed: int,
        batch_size: int,
        purpose: Literal["train", "measure"] = "train",
    ) -> None:
        self._entropy = (PURPOSES.index(purpose), seed)
        self._directions = torch.tensor(features.directions, dtype=torch.float32)
        self._root = torch.tensor(features.root.T.copy(), dtype=torch.float32)
        self._thresholds = torch.tensor(features.thresholds, dtype=torch.float32)
        self._mean, self._std = features.magnitude_mean, features.magnitude_std
        self._generator = torch.Generator()
        self._normals = torch.empty(2, batch_size, features.count)
        self._gaussians = torch.empty(batch_size, features.count)
        self._fires = torch.empty(batch_size, features.count, dtype=torch.bool)

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the samples of one step."""
        return torch.mm(self.magnitudes(step), self._directions)

    def fires(self, step: int) -> Bool[Tensor, "batch features"]:
        """Return which features fire in the samples of one step."""
        return self.magnitudes(step) > 0

    def magnitudes(self, step: int) -> Float[Tensor, "batch features"]:
        """Return the magnitude of each feature in each sample, zero where it does not fire.

        Overwritten by the next call.
        """
        # torch seeds its generator with 32 bits: hashed, so that streams and steps do not run
        # into one another.
        state = np.random.SeedSequence((*self._entropy, step)).generate_state(1)
        self._generator.manual_seed(int(state[0]))
        independent, magnitudes = self._normals.normal_(generator=self._generator)
        torch.mm(independent, self._root, out=self._gaussians)
        torch.gt(self._gaussians, self._thresholds, out=self._fires)
        return magnitudes.mul_(self._std).add_(self._mean).relu_().mul_(self._fires)
