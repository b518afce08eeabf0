"""The samples: how often features fire, how firings correlate, and what a batch depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from correct_l0.toy_model.correlations import pair_correlation, random_correlation, root_of, star
from correct_l0.toy_model.features import build_features, firing_correlation
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.settings import ToyModel

SAMPLES = 100_000


@pytest.fixture(scope="module")
def papers():
    """The paper's features, and what fires in samples of them."""
    features = build_features(ToyModel())
    return features, Stream(features, 0, SAMPLES, "measure").fires(0).numpy()


def test_firing_rates_are_the_probabilities(papers):
    features, fires = papers
    errors = np.sqrt(features.probabilities * (1 - features.probabilities) / SAMPLES)
    assert np.abs(fires.mean(axis=0) - features.probabilities).max() < (4.5 * errors).max()
    assert fires.sum(axis=1).mean() == pytest.approx(10.9525, abs=0.1)


def test_firings_correlate_as_the_bivariate_normal_says(papers):
    features, fires = papers
    expected = firing_correlation(features)
    measured = np.corrcoef(fires.T)
    assert np.abs(measured - expected).max() < 5 / np.sqrt(SAMPLES)
    assert np.abs(expected[np.triu_indices(50, 1)]).max() > 0.2


def test_expected_correlation_by_scipys_integral():
    features = build_features(ToyModel())
    p, limits = features.probabilities, norm.ppf(1 - features.probabilities)
    expected = firing_correlation(features)
    for i, j in ((0, 1), (3, 40), (20, 21), (48, 49)):
        covariance = features.correlation[np.ix_([i, j], [i, j])]
        both = multivariate_normal(cov=covariance).cdf([-limits[i], -limits[j]])
        by_hand = (both - p[i] * p[j]) / np.sqrt(p[i] * (1 - p[i]) * p[j] * (1 - p[j]))
        assert expected[i, j] == pytest.approx(by_hand, abs=1e-5)


def test_random_correlations_have_the_shares_asked_for():
    """With entries too small for the matrix to be infeasible, nothing is clipped."""
    matrix = random_correlation(50, sparsity=0.3, low=0.01, high=0.02, seed=42)
    values = matrix[np.triu_indices(50, 1)]
    assert np.count_nonzero(np.abs(values) < 1e-12) == round(0.3 * 1225)
    others = values[np.abs(values) > 1e-12]
    assert np.count_nonzero(others > 0) - np.count_nonzero(others < 0) in (0, 1)
    assert np.abs(others).min() >= 0.01 - 1e-12
    assert np.abs(others).max() <= 0.02 + 1e-12


def test_the_papers_matrix_is_made_feasible():
    matrix = random_correlation(50, 0.3, 0.3, 0.9, seed=42)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert np.diag(matrix) == pytest.approx(np.ones(50))
    root = root_of(matrix)
    assert root @ root.T == pytest.approx(matrix)


def test_the_small_model_at_its_singular_correlation():
    """Correlation one half with four others: the first Gaussian is their mean times two."""
    root = root_of(pair_correlation(star(5, 0.5), 5))
    first, *others = root
    assert first == pytest.approx(np.sum(others, axis=0) / 2, abs=1e-6)


def test_features_are_orthonormal_or_a_tight_frame():
    rows = build_features(ToyModel()).directions
    assert rows @ rows.T == pytest.approx(np.eye(50), abs=1e-12)
    crowded = build_features(ToyModel(d_in=40, orthogonal=False)).directions
    assert np.linalg.norm(crowded, axis=1) == pytest.approx(np.ones(50))
    assert crowded.T @ crowded == pytest.approx(50 / 40 * np.eye(40), abs=1e-5)
    assert np.abs((crowded @ crowded.T)[np.triu_indices(50, 1)]).max() < 0.5


def test_a_sample_is_the_sum_of_its_features():
    features = build_features(ToyModel())
    stream = Stream(features, 0, 256)
    magnitudes = stream.magnitudes(3).clone()
    rows = torch.tensor(features.directions, dtype=torch.float32)
    assert torch.allclose(stream.batch(3) @ rows.T, magnitudes, atol=1e-5)
    firing = magnitudes[magnitudes > 0]
    assert firing.mean().item() == pytest.approx(1.0, abs=0.02)
    assert firing.std().item() == pytest.approx(0.15, abs=0.01)


def test_a_batch_depends_on_seed_and_step_alone():
    features = build_features(ToyModel())
    stream = Stream(features, 7, 64)
    later = stream.batch(5).clone()
    stream.batch(2)
    assert torch.equal(stream.batch(5), later)
    assert torch.equal(Stream(features, 7, 64).batch(5), later)
    for other in (
        stream.batch(6), Stream(features, 8, 64).batch(5),
        Stream(features, 7, 64, "measure").batch(5),
    ):  # fmt: skip
        assert not torch.equal(other, later)
