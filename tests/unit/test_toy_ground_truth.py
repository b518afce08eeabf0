"""The ground-truth SAE and the measurements, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.ground_truth import ground_truth_sae
from correct_l0.toy_model.matching import match_latents
from correct_l0.toy_model.measure import MeasureSamples, inference_sae, measure_sae, s_n_dec
from correct_l0.toy_model.sae import weights_at
from correct_l0.toy_model.settings import ToyModel


@pytest.fixture(scope="module")
def samples() -> MeasureSamples:
    return MeasureSamples(build_features(ToyModel()), 20_000)


def test_nothing_is_lost_at_the_true_l0(samples):
    found = measure_sae(ground_truth_sae(samples.features, 11, samples), samples)
    assert found.mse < 1e-9
    assert found.variance_explained == pytest.approx(1)
    assert found.l0_measured == pytest.approx(10.9525, abs=0.15)
    assert found.match.best == pytest.approx(np.ones(50))
    assert (found.c_dec, found.match.mixing) == pytest.approx((0, 0), abs=1e-6)


def test_below_the_true_l0_it_loses_the_smallest_magnitudes(samples):
    """Orthonormal features: the error is the sum of the squares left out."""
    sae = ground_truth_sae(samples.features, 5, samples)
    found = measure_sae(sae, samples)
    magnitudes = samples.rows.double() @ torch.tensor(samples.features.directions).T
    kept = magnitudes > float(sae.threshold[0])
    lost = (magnitudes * ~kept).square().sum(dim=1).mean().item()
    assert found.mse == pytest.approx(lost, rel=1e-4)
    assert found.l0_measured == pytest.approx(5, rel=0.02)
    square = magnitudes.square().sum(dim=1).mean().item()
    assert found.power_explained == pytest.approx(1 - lost / square, abs=1e-5)


def test_the_papers_mse_at_l0_5(samples):
    """The paper gives 4.88 for the ground-truth SAE with L0 5."""
    found = measure_sae(ground_truth_sae(samples.features, 5, samples), samples)
    assert found.mse == pytest.approx(4.88, rel=0.05)


def test_more_l0_than_features_fire_selects_no_more(samples):
    found = measure_sae(ground_truth_sae(samples.features, 25, samples), samples)
    assert found.l0_measured == pytest.approx(10.9525, abs=0.15)


def test_s_n_dec_of_the_ground_truth_by_hand():
    """Projections 3, 2, 1, 1, 0, 0 of three samples: index 1 * 3 holds the second 1."""
    W_dec = torch.eye(2)
    rows = torch.tensor([[3.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
    assert s_n_dec(W_dec, torch.zeros(2), rows, [1]) == {1: 1.0}
    assert s_n_dec(2 * W_dec, torch.zeros(2), rows, [1]) == {1: 2.0}
    assert mean_absolute_cosine(W_dec) == 0


def test_s_n_dec_of_the_ground_truth_is_zero_above_the_true_l0(samples):
    sae = ground_truth_sae(samples.features, 11, samples)
    values = s_n_dec(sae.W_dec, sae.b_dec, samples.rows, [9, 10, 12, 25])
    assert values[9] > values[10] > 0.5
    assert [values[12], values[25]] == pytest.approx([0, 0], abs=1e-5)


def test_the_threshold_gives_the_target_l0_and_norms_are_folded(samples):
    rows = torch.tensor(samples.features.directions, dtype=torch.float32)
    plain = inference_sae(weights_at(rows), 7, samples.calibration)
    weights = weights_at(rows)
    weights.W_dec.mul_(2)
    weights.W_enc.div_(2)
    folded = inference_sae(weights, 7, samples.calibration)
    assert torch.allclose(folded.W_dec, plain.W_dec, atol=1e-6)
    assert torch.allclose(folded.W_enc, plain.W_enc, atol=1e-6)
    assert measure_sae(folded, samples).l0_measured == pytest.approx(7, rel=0.02)


def test_latents_are_matched_one_to_one():
    """Both latents are closest to feature 0; only one of them can have it."""
    match = match_latents(np.array([[0.9, 0.1, 0.0], [-1.0, 0.0, 0.0]]), np.eye(3))
    assert match.cosines.shape == (3, 3)
    assert match.best == pytest.approx([1.0, 0.1 / np.hypot(0.9, 0.1), 0.0])
    assert match.cosines[0, 0] == -1
    assert match.mixing == pytest.approx(0.9 / np.hypot(0.9, 0.1) / 2)


def test_latents_without_a_feature_come_last():
    match = match_latents(np.array([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]]), np.eye(2))
    assert match.cosines.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
