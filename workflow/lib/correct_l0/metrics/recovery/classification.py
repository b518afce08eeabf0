"""Latents as classifiers: does a latent fire when the feature nearest to it fires?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.errors import InputError


@dataclass(frozen=True)
class Classification:
    """Precision, recall, F1 and accuracy of each latent, and how much fires.

    A latent is judged as a classifier of the feature whose direction is nearest to its decoder
    row. A ratio of nothing to nothing is 0: a latent that never fires counts as 0.

    Attributes
    ----------
    l0_true, l0_measured
        Mean number of features and of latents that fire on a sample.
    dead_latents
        Latents that fire on no sample.
    """

    precision: Float[np.ndarray, " d_sae"]
    recall: Float[np.ndarray, " d_sae"]
    f1: Float[np.ndarray, " d_sae"]
    accuracy: Float[np.ndarray, " d_sae"]
    l0_true: float
    l0_measured: float
    dead_latents: int
    samples: int


class FiringCounts:
    """Counts, batch by batch, how often latents and their features fire, alone and together.

    A latent fires where its activation is not 0, a feature where its magnitude is above 0.
    Memory: three numbers per latent or feature, besides one batch.

    Parameters
    ----------
    best_features
        Feature that each latent is judged by.
    features
        How many features there are.

    References
    ----------
    `ClassificationMetricsCalculator`, `L0Calculator` and `DeadLatentsCalculator` of
    `sae_lens.synthetic.evals`.

    Examples
    --------
    Latent 0 fires on three samples, its feature on two of them and nowhere else.

    >>> counts = FiringCounts(np.array([0]), 1)
    >>> counts.add(torch.tensor([[2.0], [1.0], [0.5], [0.0]]), torch.tensor([[1], [1], [0], [0]]))
    >>> found = counts.classification()
    >>> found.precision.round(6).tolist(), found.recall.tolist(), found.f1.round(6).tolist()
    ([0.666667], [1.0], [0.8])
    """

    def __init__(self, best_features: Int[np.ndarray, " d_sae"], features: int) -> None:
        self.best_features = torch.from_numpy(best_features)
        self.together = torch.zeros(len(best_features), dtype=torch.int64)
        self.latents = torch.zeros(len(best_features), dtype=torch.int64)
        self.features = torch.zeros(features, dtype=torch.int64)
        self.samples = 0

    def add(
        self,
        latents: Float[Tensor, "batch d_sae"] | Bool[Tensor, "batch d_sae"],
        features: Float[Tensor, "batch features"] | Bool[Tensor, "batch features"],
    ) -> None:
        """Count one batch: activations of the latents, and magnitudes of the features.

        Raises
        ------
        InputError
            If the batch is of other latents or features than those counted.
        """
        shapes = (tuple(latents.shape), tuple(features.shape))
        batch = len(latents)
        if shapes != ((batch, len(self.latents)), (batch, len(self.features))):
            raise InputError(
                f"latents and features of shapes {shapes[0]} and {shapes[1]} are not a batch of "
                f"{len(self.latents)} latents and {len(self.features)} features; "
                "measure an SAE on samples of its own world"
            )
        fires, true = latents != 0, features > 0
        both = fires & true[:, self.best_features.to(true.device)]
        self.together += both.sum(0).cpu()
        self.latents += fires.sum(0).cpu()
        self.features += true.sum(0).cpu()
        self.samples += batch

    def classification(self) -> Classification:
        """Return what the counts say.

        With TP, FP, FN and TN of a latent: precision = TP / (TP + FP), recall = TP / (TP + FN),
        F1 = 2 TP / (2 TP + FP + FN), accuracy = (TP + TN) / samples.

        Raises
        ------
        InputError
            If no sample was counted.
        """
        if not self.samples:
            raise InputError("0 samples to measure recovery on, at least 1 is needed; add some")
        together, latents = self.together.numpy(), self.latents.numpy()
        true = self.features[self.best_features].numpy()
        wrong = (latents - together) + (true - together)
        return Classification(
            precision=_ratio(together, latents),
            recall=_ratio(together, true),
            f1=_ratio(2 * together, latents + true),
            accuracy=1 - wrong / self.samples,
            l0_true=int(self.features.sum()) / self.samples,
            l0_measured=int(latents.sum()) / self.samples,
            dead_latents=int((latents == 0).sum()),
            samples=self.samples,
        )


def _ratio(
    part: Int[np.ndarray, " d_sae"], whole: Int[np.ndarray, " d_sae"]
) -> Float[np.ndarray, " d_sae"]:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
