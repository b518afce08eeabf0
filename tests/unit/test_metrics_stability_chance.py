"""The chance level, against simulations and the distribution it is carried over by."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from correct_l0.metrics.stability import chance
from correct_l0.metrics.stability.chance import chance_cosines, chance_level


@pytest.fixture(autouse=True)
def forgotten():
    chance_cosines.cache_clear()
    yield
    chance_cosines.cache_clear()


def simulated(d_sae, d_in, pairs):
    """Mean matched cosine of random decoders, drawn and matched by numpy and scipy."""
    random = np.random.default_rng(7)
    means = []
    for _ in range(pairs):
        a, b = random.standard_normal((2, d_sae, d_in))
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        cosines = a @ b.T
        means.append(cosines[linear_sum_assignment(cosines, maximize=True)].mean())
    return np.mean(means), np.std(means, ddof=1) / math.sqrt(pairs)


@pytest.mark.parametrize(("d_sae", "d_in"), [(20, 3), (100, 128), (300, 64)])
def test_against_another_simulation(d_sae, d_in):
    level, error = chance_level(d_sae, d_in)
    expected, other_error = simulated(d_sae, d_in, 40)
    assert abs(level - expected) < 4 * math.hypot(error, other_error)
    assert error < 0.01


def test_one_latent_each_in_a_plane():
    # The cosine of a random angle: mean 0, standard deviation 1 / sqrt(2).
    cosines = chance_cosines(1, 2)
    assert cosines.shape == (256, 1)
    assert abs(cosines.mean()) < 4 * math.sqrt(0.5 / 256)
    assert cosines.std() == pytest.approx(math.sqrt(0.5), abs=0.08)


def test_carried_over_to_a_wider_sae(monkeypatch):
    expected = chance_cosines(1000, 96)
    chance_cosines.cache_clear()
    monkeypatch.setattr(chance, "SIMULATED", 125)
    carried = chance_cosines(1000, 96)
    assert carried.mean() == pytest.approx(expected.mean(), abs=0.002)
    assert carried.std() == pytest.approx(expected.std(), abs=0.003)
    # Without being carried over it would be .07 lower.
    assert chance_cosines(125, 96).mean() < carried.mean() - 0.05


def test_the_distribution_of_a_random_cosine():
    cosines = np.array([-0.4, 0.0, 0.1, 0.5])
    # In 3 dimensions the cosine is uniform on [-1, 1].
    assert chance._above(cosines, 3) == pytest.approx((1 - cosines) / 2, abs=1e-12)
    expected = stats.t(11).sf(cosines * np.sqrt(11 / (1 - cosines**2)))
    assert chance._above(cosines, 12) == pytest.approx(expected, abs=1e-12)
    assert chance._cosine_above_with(expected[2:], 12) == pytest.approx(cosines[2:], abs=1e-9)


def test_the_same_numbers_every_time_whatever_was_drawn_before():
    first = chance_cosines(50, 10).copy()
    chance_cosines.cache_clear()
    torch.manual_seed(5)
    assert np.array_equal(chance_cosines(50, 10), first)
    with pytest.raises(ValueError, match="read-only"):
        chance_cosines(50, 10)[0] = 1
