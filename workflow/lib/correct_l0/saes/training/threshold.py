"""The JumpReLU threshold at which an SAE has its target L0 on held-out tokens.

SAELens' own threshold is a running mean that starts at zero: after a few hundred steps it is far
too low, and the saved SAE has half as many active latents again as it was trained for.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

SHIFT = 12
"""Low bits of a float32 that a bin leaves out: bins are 2^-11 wide, relative to their value."""

BINS = 0x7F800000 >> SHIFT
"""Bins of the finite positive float32 numbers, whose bit patterns are ordered as the numbers."""


def count_bits(
    pre_acts: Iterable[Float[Tensor, "batch d_sae"]],
) -> tuple[Int[Tensor, " bins"], int]:
    """Return how many positive values lie in each bin, and the number of tokens.

    Parameters
    ----------
    pre_acts
        Chunks of pre-activations, float32.

    Raises
    ------
    ValueError
        If there is no chunk.
    """
    counts, tokens = torch.zeros(BINS, dtype=torch.int64), 0
    for chunk in pre_acts:
        bits = chunk[chunk > 0].view(torch.int32) >> SHIFT
        counts += torch.bincount(bits, minlength=BINS).cpu()
        tokens += len(chunk)
    if tokens == 0:
        raise ValueError("no held-out tokens to calibrate on")
    return counts, tokens


def threshold_for(counts: Int[Tensor, " bins"], tokens: int, l0: float) -> float:
    """Return the threshold above which `l0` values per token lie, as nearly as the bins allow.

    Zero where fewer than `l0` values per token are positive.

    Parameters
    ----------
    counts, tokens
        From `count_bits`.
    l0
        Target L0.

    Examples
    --------
    >>> counts, tokens = count_bits([torch.tensor([[4.0, 2.0, 1.0, -1.0], [8.0, 0.5, 0.25, 0.0]])])
    >>> 1.0 < threshold_for(counts, tokens, 1.5) < 2.0
    True
    """
    kept_from = counts.flip(0).cumsum(0).flip(0)
    if int(kept_from[0]) <= l0 * tokens:
        return 0.0
    nearest = int((kept_from - l0 * tokens).abs().argmin())
    lower_edge = torch.tensor((nearest << SHIFT) - 1 if nearest else 0, dtype=torch.int32)
    return lower_edge.view(torch.float32).item()
