"""Decoder projections and their order statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correct_l0.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

NORM_TOLERANCE = 1e-3


def check_unit_norm(W_dec: Float[Tensor, "d_sae d_in"]) -> None:
    """Refuse a decoder whose rows are not of unit norm: s_n^dec would measure their lengths.

    Raises
    ------
    InputError
        Naming the row furthest from norm 1.
    """
    norms = W_dec.float().norm(dim=1)
    worst = int((norms - 1).abs().nan_to_num(torch.inf).argmax())
    norm = float(norms[worst])
    if not abs(norm - 1) <= NORM_TOLERANCE:
        raise InputError(
            f"decoder row {worst} has norm {norm:.4g}, not 1 within {NORM_TOLERANCE:g}; "
            "normalise the decoder's rows and fold their norms into the encoder"
        )


def check_n(n: Sequence[int], d_sae: int) -> None:
    """Refuse an n that no order statistic belongs to.

    Raises
    ------
    InputError
        If an n is not positive or not below d_sae.
    """
    for rank in n:
        if not 0 < rank < d_sae:
            raise InputError(f"n {rank} is not between 1 and d_sae - 1 = {d_sae - 1}; change n")


def project(
    x: Float[Tensor, "batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
) -> Float[Tensor, "batch d_sae"]:
    """Return the decoder projections Z = (x - b_dec) W_dec^T.

    Parameters
    ----------
    x, b_dec
        Activations and the SAE's decoder bias, in training units.
    W_dec
        Decoder with unit-norm rows.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, equation for Z before s_n^dec.

    Examples
    --------
    >>> W_dec = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> project(torch.tensor([[2.0, 1.0]]), W_dec, torch.tensor([1.0, 0.0]))
    tensor([[1.0000, 1.0000, 1.4000]])
    """
    return (x - b_dec) @ W_dec.T


def order_statistics(
    projections: Float[Tensor, "batch d_sae"], n: Sequence[int]
) -> Float[Tensor, " n"]:
    """Return s_n^dec of one batch for several n: the values at descending 0-based index n * batch.

    With exactly n latents active per token, n * batch of the projections belong to active latents,
    and s_n^dec is the largest one that does not.

    Parameters
    ----------
    projections
        Z of the batch, contiguous and on the CPU; its values are reordered.
    n
        Whole numbers, each below d_sae; in any order, the result has the same.

    Raises
    ------
    InputError
        If an n is not positive or not below d_sae.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, equations 3-4 of the first version.

    Examples
    --------
    Two tokens and three latents; index 1 * 2 of 6, 5, 4, 3, 2, 1:

    >>> order_statistics(torch.tensor([[6.0, 1.0, 4.0], [2.0, 5.0, 3.0]]), [1])
    tensor([4.])
    """
    batch, d_sae = projections.shape
    check_n(n, d_sae)
    values = projections.detach().view(-1).numpy()
    found = {}
    # Each partition only touches the part above the last one: n descending costs one pass or two.
    for rank in sorted(set(n), reverse=True):
        index = len(values) - 1 - rank * batch
        values.partition(index)
        found[rank] = float(values[index])
        values = values[index + 1 :]
    return torch.tensor([found[rank] for rank in n], dtype=projections.dtype)
