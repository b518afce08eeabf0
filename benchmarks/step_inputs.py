"""Activations and weights to time and check a training step on, made up from fixed seeds.

Activations: Gaussian with a spectrum that decays as 1 / rank and orthogonal directions, a constant
offset, and norm sqrt(d_in) on average, the scale the pipeline trains in; a trained model's residual
stream has such a spectrum, and white noise would leave nothing to learn. Weights: SAELens'
initialisation, decoder norms spread by a factor of up to 2 either way. Dead latents never fire:
their encoder bias is far below all pre-activations.
"""

from __future__ import annotations

import torch

BATCHES = 4
NEVER = 10**6
"""Steps since a dead latent fired."""


def activations(d_in: int, batch: int, device: str) -> list[torch.Tensor]:
    """Return a few batches with a decaying spectrum, in training units."""
    generator = torch.Generator().manual_seed(1)
    directions, _ = torch.linalg.qr(torch.randn(d_in, d_in, generator=generator))
    spread = torch.arange(1, d_in + 1) ** -0.5
    offset = torch.randn(d_in, generator=generator) * spread.norm() / (2 * d_in**0.5)
    mixed = (spread[:, None] * directions) / (1.25**0.5 * spread.norm()) * d_in**0.5
    offset *= d_in**0.5 / (1.25**0.5 * spread.norm())
    return [
        (torch.randn(batch, d_in, generator=generator) @ mixed + offset).to(device)
        for _ in range(BATCHES)
    ]


def uneven_(W_dec: torch.Tensor, b_enc: torch.Tensor, n_dead: int) -> None:
    """Spread the decoder's norms, and silence the first latents."""
    generator = torch.Generator().manual_seed(2)
    W_dec.mul_(2 ** (2 * torch.rand(len(W_dec), 1, generator=generator) - 1))
    b_enc[:n_dead] = -1e3
