"""The theory of mixing: one tied latent for two features, by formula, by descent, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from paper.theory import mixed_latent_loss

SAMPLES = 200_000
BEST = (math.sqrt(5) - 1) / 2
"""With equal probabilities the derivative vanishes where alpha^2 + alpha = 1."""


def simulated_loss(alpha: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the mean squared error of a tied unit latent on sampled firings."""
    draw = torch.rand(SAMPLES, generator=generator, dtype=torch.float64)
    first, second = (draw < 0.8).double(), (draw < 0.4).double()
    x = torch.stack([first, second], dim=1)
    direction = torch.stack([alpha, 1 - alpha])
    direction = direction / direction.norm()
    return (x - (x @ direction)[:, None] * direction).square().sum(dim=1).mean()


def test_the_published_values_by_formula():
    assert mixed_latent_loss(1.0) == pytest.approx(0.4)
    assert mixed_latent_loss(0.6) == pytest.approx(0.154, abs=5e-4)
    assert mixed_latent_loss(0.0) == pytest.approx(0.8)


@pytest.mark.parametrize("alpha", [1.0, 0.6, 0.3])
def test_simulation_agrees_with_the_formula(alpha):
    generator = torch.Generator().manual_seed(0)
    found = simulated_loss(torch.tensor(alpha, dtype=torch.float64), generator)
    assert found.item() == pytest.approx(mixed_latent_loss(alpha), rel=0.01)


def test_descent_leaves_the_correct_latent_for_a_mixed_one():
    """From the correct latent, alpha = 1, the gradient leads to the golden ratio."""
    alpha = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    for _ in range(300):
        loss = mixed_latent_loss(alpha)
        (slope,) = torch.autograd.grad(loss, alpha)
        alpha = (alpha - 0.05 * slope).detach().requires_grad_()
    assert alpha.item() == pytest.approx(BEST, abs=1e-6)
    assert mixed_latent_loss(BEST) < mixed_latent_loss(0.6) < 0.4


def test_the_simulated_loss_has_its_minimum_there():
    generator = torch.Generator()
    grid = np.linspace(0.4, 1.0, 61)
    losses = [
        simulated_loss(torch.tensor(a, dtype=torch.float64), generator.manual_seed(1)).item()
        for a in grid
    ]
    assert grid[int(np.argmin(losses))] == pytest.approx(BEST, abs=0.011)


def test_without_joint_firing_nothing_is_mixed():
    losses = [mixed_latent_loss(a, alone=0.4, together=0.0) for a in (0.9, 1.0)]
    assert losses[1] == 0.0 < losses[0]
