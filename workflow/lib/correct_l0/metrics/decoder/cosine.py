"""c_dec: how much the decoder's directions overlap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correct_l0.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

BLOCK_ROWS_CPU, BLOCK_ROWS_GPU = 1024, 4096


def mean_absolute_cosine(
    W_dec: Float[Tensor, "d_sae d_in"], block_rows: int | None = None
) -> float:
    """Return c_dec, the mean absolute cosine of W_dec_i and W_dec_j over all pairs i < j.

    Computed in blocks of rows, each normalised when its turn comes: neither the cosines nor the
    normalised rows are ever held as a whole. Summed in float64.

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
    d_sae = len(W_dec)
    size = block_rows or (BLOCK_ROWS_GPU if W_dec.is_cuda else BLOCK_ROWS_CPU)
    size = min(size, max(d_sae, 1))
    norms = _norms(W_dec, size)
    device = W_dec.device
    units, others = (torch.empty(size, W_dec.shape[1], device=device) for _ in range(2))
    product = torch.empty(size * size, device=device)
    total = torch.zeros((), dtype=torch.float64, device=device)
    for start in range(0, d_sae, size):
        block = _unit_block(W_dec, norms, start, units)
        cosines = torch.matmul(block, block.T, out=product[: len(block) ** 2].view(len(block), -1))
        total += cosines.abs_().triu_(1).sum(dtype=torch.float64)
        for other in range(start + size, d_sae, size):
            rows = _unit_block(W_dec, norms, other, others)
            out = product[: len(block) * len(rows)].view(len(block), len(rows))
            total += torch.matmul(block, rows.T, out=out).abs_().sum(dtype=torch.float64)
    return float(total) / (d_sae * (d_sae - 1) / 2)


def cosine_matrix(W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae d_sae"]:
    """Return the cosines of all pairs of rows, as float16; for SAEs small enough to look at."""
    rows = W_dec.float() / _norms(W_dec)
    return (rows @ rows.T).half()


def random_baseline(d_in: int) -> float:
    """Return what c_dec is by chance: the mean |cosine| of two random directions.

    Gamma(d / 2) / (sqrt(pi) Gamma((d + 1) / 2)) in d dimensions, about sqrt(2 / (pi d)) in many. A
    decoder that has hardly moved from its initialisation has this value whatever its L0.

    References
    ----------
    The square of the cosine is Beta(1/2, (d - 1) / 2) distributed; this is the mean of its root.

    Examples
    --------
    In the plane the angle is uniform, so the mean is 2 / pi; in space the cosine is, so it is 1/2.

    >>> round(random_baseline(2) * math.pi, 9), round(random_baseline(3), 9)
    (2.0, 0.5)
    >>> round(random_baseline(384), 5)
    0.04074
    """
    ratio = math.lgamma(d_in / 2) - math.lgamma((d_in + 1) / 2)
    return math.exp(ratio) / math.sqrt(math.pi)


def _norms(
    W_dec: Float[Tensor, "d_sae d_in"], block_rows: int = BLOCK_ROWS_CPU
) -> Float[Tensor, "d_sae 1"]:
    if len(W_dec) < 2:
        raise InputError(f"the decoder has {len(W_dec)} row; c_dec needs at least 2")
    # In blocks because float() copies a decoder of another precision.
    blocks = W_dec.detach().split(block_rows)
    norms = torch.cat([block.float().norm(dim=1, keepdim=True) for block in blocks])
    bad = ~(torch.isfinite(norms) & (norms > 0)).flatten()
    if bad.any():
        raise InputError(
            f"decoder row {int(bad.nonzero()[0])} is zero or not finite; train this SAE again"
        )
    return norms


def _unit_block(
    W_dec: Float[Tensor, "d_sae d_in"],
    norms: Float[Tensor, "d_sae 1"],
    start: int,
    out: Float[Tensor, "block d_in"],
) -> Float[Tensor, "rows d_in"]:
    rows = slice(start, start + len(out))
    block = W_dec.detach()[rows]
    return torch.div(block.float(), norms[rows], out=out[: len(block)])
