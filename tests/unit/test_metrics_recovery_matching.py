"""Which latent stands for which feature, by hand and in SAEs of any width."""

import math

import numpy as np
import pytest
import torch

from correct_l0.metrics.recovery.matching import match_features, ordered_cosines


def normal(rows, d_in, seed=0):
    return torch.randn(rows, d_in, generator=torch.Generator().manual_seed(seed))


def test_permuted_scaled_and_flipped_features_are_found_again():
    features = normal(20, 30)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    match = match_features(-3 * features[order], features)
    assert match.latents[order].tolist() == list(range(20))
    assert match.best_features.tolist() == order.tolist()
    assert match.cosines == pytest.approx(np.ones(20), abs=1e-6)
    assert (match.mcc, match.uniqueness) == (pytest.approx(1, abs=1e-6), 1)


def test_features_turned_by_known_angles():
    angles = torch.deg2rad(torch.tensor([0.0, 30.0, 60.0]))
    features = torch.eye(6)[:3]
    W_dec = angles.cos()[:, None] * features + angles.sin()[:, None] * torch.eye(6)[3:]
    match = match_features(W_dec, features)
    assert match.cosines == pytest.approx([1, math.sqrt(3) / 2, 0.5], abs=1e-6)
    assert match.mcc == pytest.approx((1.5 + math.sqrt(3) / 2) / 3, abs=1e-6)


def test_a_wider_sae_leaves_latents_over():
    W_dec = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [1.0, 1.0]])
    match = match_features(W_dec, torch.eye(2))
    assert match.latents.tolist() == [0, 2]
    assert match.cosines == pytest.approx([1, 0.8], abs=1e-6)
    assert match.mcc == pytest.approx(0.9, abs=1e-6)
    assert match.best_features[:3].tolist() == [0, 0, 1]
    assert match.uniqueness == 0.5
    ordered = ordered_cosines(W_dec, torch.eye(2), match)
    half = math.sqrt(0.5)
    expected = [[1, 0], [0.6, 0.8], [0.8, 0.6], [half, half]]
    assert ordered == pytest.approx(np.array(expected), abs=1e-6)


def test_a_narrower_sae_leaves_features_out():
    match = match_features(torch.tensor([[0.0, 2.0, 0.0], [0.6, 0.0, 0.8]]), torch.eye(3))
    assert match.latents.tolist() == [-1, 0, 1]
    assert match.cosines == pytest.approx([0, 1, 0.8], abs=1e-6)
    assert (match.mcc, match.uniqueness) == (pytest.approx(0.9, abs=1e-6), 1)
    ordered = ordered_cosines(torch.tensor([[0.0, -1, 0], [0.6, 0, 0.8]]), torch.eye(3), match)
    expected = [[0, 0, 0], [0, -1, 0], [0.6, 0, 0.8]]
    assert ordered == pytest.approx(np.array(expected), abs=1e-6)


def test_one_to_one_gives_way_where_two_latents_want_one_feature():
    # Both latents are nearest to feature 0; the sum is largest when the second takes feature 1.
    match = match_features(torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.eye(2))
    assert match.latents.tolist() == [0, 1]
    assert match.best_features.tolist() == [0, 0]
    assert (match.mcc, match.uniqueness) == (pytest.approx(0.8, abs=1e-6), 0.5)
