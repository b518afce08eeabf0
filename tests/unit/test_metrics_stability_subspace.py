"""Whether two decoders fill the same directions."""

import math

import numpy as np
import pytest
import torch

from correct_l0.metrics.stability.subspace import gram_agreement, gram_agreement_spread


def normal(rows, d_in, seed=0):
    return torch.randn(rows, d_in, generator=torch.Generator().manual_seed(seed))


def test_the_same_latents_in_another_order_with_other_signs_and_lengths():
    W_dec = normal(40, 12)
    others = -W_dec.flip(0) * torch.linspace(0.5, 2, 40)[:, None]
    assert gram_agreement(W_dec, others) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90])
def test_lines_at_a_known_angle(degrees):
    # G = u u^T - I / d, so <G1, G2> = cos^2 - 1 / d, |G|^2 = 1 - 1 / d.
    angle = math.radians(degrees)
    first = torch.tensor([[1.0, 0, 0, 0]])
    second = torch.tensor([[math.cos(angle), math.sin(angle), 0, 0]])
    expected = (math.cos(angle) ** 2 - 1 / 4) / (3 / 4)
    assert gram_agreement(first, second) == pytest.approx(expected, abs=1e-6)


def test_other_latents_of_the_same_subspace_though_wider_than_it():
    # 4,000 random latents in 3 of 30 dimensions: no latent comes back, their subspace does.
    first, second = (torch.zeros(4000, 30) for _ in range(2))
    first[:, :3], second[:, :3] = normal(4000, 3), normal(4000, 3, seed=1)
    # With h latents G is off by |G - P / 3|^2 = (2 / 3) / h on average: 1 is missed by about .0006.
    assert gram_agreement(first, second) == pytest.approx(1, abs=0.003)
    # Planes of 3 dimensions at right angles: -1 / d over 1 / 3 - 1 / d.
    elsewhere = second.roll(15, 1)
    assert gram_agreement(first, elsewhere) == pytest.approx(-1 / 9, abs=0.003)


def test_random_decoders_have_the_stated_spread_at_any_width():
    for d_sae in (3, 20):
        found = [gram_agreement(normal(d_sae, 8, s), normal(d_sae, 8, s + 900)) for s in range(900)]
        spread = gram_agreement_spread(8)
        assert abs(np.mean(found)) < 4 * spread / math.sqrt(900)
        assert np.std(found) == pytest.approx(spread, rel=0.1)


def test_an_orthonormal_basis_prefers_no_subspace():
    turned = torch.linalg.qr(normal(16, 16))[0]
    assert math.isnan(gram_agreement(torch.eye(16), normal(16, 16)))
    assert math.isnan(gram_agreement(normal(16, 16), turned))
