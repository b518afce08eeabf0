"""Latents as classifiers of features, by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from correct_l0.errors import InputError
from correct_l0.metrics.recovery.classification import FiringCounts

LATENTS = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, -1.0, 0.0], [3.0, 1.0, 0.0]])
FEATURES = torch.tensor([[1, 0], [0, 1], [1, 1], [1, 1]])


def test_by_hand():
    counts = FiringCounts(np.array([0, 1, 1]), 2)
    counts.add(LATENTS, FEATURES)
    found = counts.classification()
    # Latent 0 fires thrice, feature 0 with it twice and once without it.
    assert found.precision == pytest.approx([2 / 3, 1, 0])
    assert found.recall == pytest.approx([2 / 3, 2 / 3, 0])
    assert found.f1 == pytest.approx([2 / 3, 0.8, 0])
    assert found.accuracy == pytest.approx([0.5, 0.75, 0.25])
    assert (found.l0_true, found.l0_measured) == (6 / 4, 5 / 4)
    assert (found.dead_latents, found.samples) == (1, 4)


@pytest.mark.parametrize("size", [1, 7, 64, 500])
def test_batches_of_any_size_against_scikit_learn(size):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(500, 6, generator=generator) < torch.linspace(0, 0.5, 6)
    latents = torch.rand(500, 9, generator=generator) < torch.linspace(0, 0.6, 9)
    best = np.array([0, 1, 2, 3, 4, 5, 5, 5, 0])
    latents |= features[:, best] & (torch.rand(500, 9, generator=generator) < 0.7)
    latents[:, 0] = False
    counts = FiringCounts(best, 6)
    for batch in zip(latents.split(size), features.split(size), strict=True):
        counts.add(*batch)
    found = counts.classification()
    for name, score in [
        ("precision", precision_score), ("recall", recall_score), ("f1", f1_score),
        ("accuracy", accuracy_score),
    ]:  # fmt: skip
        options = {} if name == "accuracy" else {"zero_division": 0}
        expected = [
            score(features[:, feature], latents[:, latent], **options)
            for latent, feature in enumerate(best)
        ]
        assert getattr(found, name) == pytest.approx(expected, abs=1e-12)


def test_no_samples():
    with pytest.raises(InputError, match="0 samples to measure recovery on, at least 1"):
        FiringCounts(np.array([0]), 1).classification()


def test_samples_of_another_world():
    with pytest.raises(InputError, match=r"shapes \(4, 3\) and \(4, 2\) are not a batch of 3 .* 5"):
        FiringCounts(np.array([0, 1, 1]), 5).add(LATENTS, FEATURES)
