"""c_dec: how much the decoder's directions overlap."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError

BLOCK_ROWS = 1024


def mean_absolute_cosine(W_dec: Float[Tensor, "d_sae d_in"], block_rows: int = BLOCK_ROWS) -> float:
    """Return c_dec, the mean of |cos(W_dec_i, W_dec_j)| over all pairs i < j.

    Computed in blocks of rows, so that memory grows with d_sae and not with its square; summed in
    float64.

    Raises
    ------
    InputError
        If there are fewer than two rows, or one is zero or not finite.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, c_dec in the later versions (equation 4).

    Examples
    --------
    Cosines of three rows: 0, 0.6 and 0.8.

    >>> W_dec = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-0.6, 0.8]])
    >>> round(mean_absolute_cosine(W_dec), 6)
    0.466667
    """
    rows = _unit_rows(W_dec)
    d_sae = len(rows)
    total = 0.0
    for start in range(0, d_sae, block_rows):
        block = rows[start : start + block_rows]
        total += float((block @ block.T).abs().triu(1).sum(dtype=torch.float64))
        for other in range(start + block_rows, d_sae, block_rows):
            cosines = block @ rows[other : other + block_rows].T
            total += float(cosines.abs().sum(dtype=torch.float64))
    return total / (d_sae * (d_sae - 1) / 2)


def cosine_matrix(W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae d_sae"]:
    """Return the cosines of all pairs of rows, as float16; for SAEs small enough to look at."""
    rows = _unit_rows(W_dec)
    return (rows @ rows.T).half()


def random_baseline(d_in: int) -> float:
    """Return what c_dec is for random directions, about sqrt(2 / (pi d_in)).

    A decoder that has hardly moved from its initialisation has this value whatever its L0.

    Examples
    --------
    >>> round(random_baseline(384), 4)
    0.0407
    """
    return math.sqrt(2 / (math.pi * d_in))


def _unit_rows(W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae d_in"]:
    if len(W_dec) < 2:
        raise InputError(f"the decoder has {len(W_dec)} row; c_dec needs at least 2")
    norms = W_dec.float().norm(dim=1, keepdim=True)
    bad = ~(torch.isfinite(norms) & (norms > 0)).flatten()
    if bad.any():
        raise InputError(
            f"decoder row {int(bad.nonzero()[0])} is zero or not finite; train this SAE again"
        )
    return W_dec.float() / norms
