"""Recovery of one SAE, number by number against SAELens."""

import numpy as np
import pandas as pd
import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig
from sae_lens.synthetic import (
    ActivationGenerator,
    FeatureDictionary,
    eval_sae_on_synthetic_data,
)

from correct_l0.metrics.recovery.files import read_recovery, write_recovery
from correct_l0.metrics.recovery.measure import measure_recovery, recovery_table

FEATURES, D_IN, SAMPLES, BATCH = 40, 24, 3000, 700


class Recorded:
    """A generator that gives the same samples to SAELens and to us."""

    def __init__(self):
        torch.manual_seed(0)
        probabilities = torch.linspace(0.02, 0.3, FEATURES)
        self.samples = ActivationGenerator(FEATURES, probabilities, 0.2).sample(SAMPLES)
        self.given = 0

    def sample(self, count):
        self.given += count
        return self.samples[self.given - count : self.given]


def an_sae(d_sae, directions):
    """Latents between features and noise; the last two never fire, the third is another's copy."""
    torch.manual_seed(1)
    sae = StandardSAE(StandardSAEConfig(d_in=D_IN, d_sae=d_sae, apply_b_dec_to_input=False))
    noise = torch.linspace(0, 0.5, d_sae)[:, None] * torch.randn(d_sae, D_IN)
    W_dec = directions[torch.randperm(max(FEATURES, d_sae))[:d_sae] % FEATURES] + noise
    W_dec[2] = W_dec[1] + 0.01 * torch.randn(D_IN)
    sae.W_dec.data = W_dec * torch.linspace(0.5, 2, d_sae)[:, None]
    sae.W_enc.data = W_dec.T.clone()
    sae.b_enc.data[:] = -0.4
    sae.b_enc.data[-2:] = -100
    return sae


@pytest.mark.parametrize("d_sae", [15, 40, 70])
@torch.no_grad()
def test_against_saelens(d_sae):
    truth = FeatureDictionary(FEATURES, D_IN, initializer=None, seed=0)
    sae = an_sae(d_sae, truth.feature_vectors)
    generator = Recorded()
    expected = eval_sae_on_synthetic_data(sae, truth, generator, SAMPLES, batch_size=BATCH)
    batches = ((sae.encode(truth(acts)), acts) for acts in generator.samples.split(BATCH))
    table = recovery_table(measure_recovery(sae.W_dec, truth.feature_vectors, batches))
    row = table.iloc[0]
    assert row["mcc"] == pytest.approx(expected.mcc, abs=1e-6)
    assert row["uniqueness"] == expected.uniqueness
    assert row["dead_latents"] == expected.dead_latents == 2
    # SAELens sums in float32.
    assert row["l0_true"] == pytest.approx(expected.true_l0, abs=1e-5)
    assert row["l0_measured"] == pytest.approx(expected.sae_l0, abs=1e-5)
    assert row["precision"] == pytest.approx(expected.classification.precision, abs=1e-6)
    assert row["recall"] == pytest.approx(expected.classification.recall, abs=1e-6)
    assert row["f1"] == pytest.approx(expected.classification.f1_score, abs=1e-6)
    assert row["accuracy"] == pytest.approx(expected.classification.accuracy, abs=1e-6)
    # The numbers are of an SAE that is neither perfect nor blind.
    assert 0.3 < row["f1"] < 0.95 and 0.5 < row["mcc"] < 0.99 and row["uniqueness"] < 1


def small():
    """Features 0 and 2 have a latent at cosine 1 and .8; feature 1 has none of its own."""
    W_dec = torch.tensor([[0.6, 0.0, 0.8], [1.0, 0.0, 0.0]])
    features = torch.tensor([[True, False, False], [False, True, True]])
    latents = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    return measure_recovery(W_dec, torch.eye(3), [(latents, features)])


def test_the_table_by_hand():
    row = recovery_table(small()).iloc[0]
    expected = {
        "features": 3, "d_sae": 2, "mcc": 0.9, "mean_best_cosine": 0.6, "worst_best_cosine": 0,
        "features_recovered": 1, "share_recovered": 1 / 3, "uniqueness": 1, "precision": 1,
        "recall": 1, "f1": 1, "accuracy": 1, "l0_true": 1.5, "l0_measured": 1, "dead_latents": 0,
        "samples": 2, "matching_error_bound": 0,
    }  # fmt: skip
    assert list(row.index) == list(expected)
    assert row.to_dict() == pytest.approx(expected, abs=1e-6)


def test_files(tmp_path):
    recovery = small()
    paths = write_recovery(tmp_path, recovery)
    assert [path.name for path in paths] == ["recovery.csv", "recovery.npz"]
    table, arrays = read_recovery(tmp_path)
    pd.testing.assert_frame_equal(table, recovery_table(recovery), check_dtype=False)
    assert arrays["latents"].tolist() == [1, -1, 0]
    assert arrays["cosines"] == pytest.approx([1, 0, 0.8], abs=1e-6)
    assert set(arrays) == {"latents", "cosines", "best_features", "precision", "recall", "f1"}
    assert np.array_equal(arrays["best_features"], [2, 0])
