"""The weights of an SAE in training, and where they start."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.workspace import Gradients

DECODER_NORM = 0.1
"""Norm of the decoder's rows at the start."""


class Weights(NamedTuple):
    """The weights of an SAE, in the order in which SAELens sums their gradients' norms."""

    b_dec: Float[Tensor, " d_in"]
    W_dec: Float[Tensor, "d_sae d_in"]
    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]


def initial_decoder(d_in: int, d_sae: int, seed: int) -> Float[Tensor, "d_sae d_in"]:
    """Return a new decoder on the CPU: rows of norm 0.1, entries uniformly distributed before.

    A function of the seed, not of L0, and bit by bit SAELens'.
    """
    generator = torch.Generator().manual_seed(seed)
    W_dec = torch.empty(d_sae, d_in)
    torch.nn.init.kaiming_uniform_(W_dec, generator=generator)
    return W_dec.div_(W_dec.norm(dim=-1, keepdim=True)).mul_(DECODER_NORM)


def initial_weights(d_in: int, d_sae: int, seed: int) -> Weights:
    """Return new weights on the CPU: the encoder is the decoder's transpose, the biases are zero.

    The encoder lies in memory as its transpose does: the layout of its gradient in a sparse step.

    Examples
    --------
    >>> weights = initial_weights(3, 5, seed=0)
    >>> torch.equal(weights.W_enc, weights.W_dec.T), weights.W_dec.norm(dim=1)
    (True, tensor([0.1000, 0.1000, 0.1000, 0.1000, 0.1000]))
    """
    W_dec = initial_decoder(d_in, d_sae, seed)
    return Weights(torch.zeros(d_in), W_dec, W_dec.clone().T, torch.zeros(d_sae))


def in_memory(weights: Weights | Gradients) -> list[Tensor]:
    """Return them as they lie in memory, W_enc as its transpose: Adam is slow on other layouts."""
    return [weights.b_dec, weights.W_dec, weights.W_enc.T, weights.b_enc]
