"""Exact selection of the largest pre-activations of a batch.

SAELens finds them with a flat `topk`, which sorts as many values as it keeps: a fifth to a quarter
of its training step. Here only the smallest value kept is looked for, in a narrow band around the
last step's; a band that does not hold it is replaced by the whole batch, so that the guess never
decides what is kept.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

BAND = 0.02
"""Half-width of the band around the guess, relative to it."""


def keep_largest_(
    pre_acts: Float[Tensor, "batch d_sae"], count: int, guess: float | None = None
) -> tuple[float, int]:
    """Zero all but the largest positive values, in place.

    Exactly `count` values stay, fewer where fewer are positive. Among equal values at the edge
    those with the lowest index (row by row) stay.

    Parameters
    ----------
    pre_acts
        Pre-activations, times the decoder's norms; contiguous.
    count
        How many to keep: `int(l0 * batch)`, as SAELens' BatchTopK counts.
    guess
        Where the smallest value kept may lie, such as the last step's. No effect on the result.

    Returns
    -------
    smallest : float
        The smallest value kept, or 0 where all positive values stay; a guess for the next batch.
    kept : int
        How many values stay.

    References
    ----------
    Bussmann et al., BatchTopK Sparse Autoencoders (2024), equation 5.

    Examples
    --------
    >>> acts = torch.tensor([[3.0, 1.0, -1.0], [2.0, 2.0, 0.5]])
    >>> keep_largest_(acts, 2), acts.tolist()
    ((2.0, 2), [[3.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    """
    flat = pre_acts.view(-1)
    if count == 0:
        flat.zero_()
        return 0.0, 0
    find = _smallest_kept_numpy if flat.device.type == "cpu" else _smallest_kept_torch
    smallest, at_least = find(flat, count, guess if guess is not None and guess > 0 else None)
    if not smallest > 0:
        torch.threshold_(flat, 0.0, 0.0)
        return 0.0, int(torch.count_nonzero(flat))
    torch.threshold_(flat, _just_below(smallest, flat.dtype), 0.0)
    if at_least > count:
        ties = (flat == smallest).nonzero().view(-1)
        flat[ties[count - at_least :]] = 0.0
    return smallest, count


def _just_below(value: float, dtype: torch.dtype) -> float:
    """Return the next smaller number of a type: `threshold_` keeps what is strictly above."""
    exact = torch.tensor(value, dtype=dtype)
    return torch.nextafter(exact, torch.tensor(-torch.inf, dtype=dtype)).item()


def _smallest_kept_numpy(values: Tensor, count: int, guess: float | None) -> tuple[float, int]:
    """Return the `count`-th largest value and how many are at least as large.

    numpy compares and partitions several times faster than torch on a CPU.
    """
    flat = values.detach().numpy()
    if guess is not None:
        above = flat > flat.dtype.type(guess * (1 + BAND))
        n_above = int(np.count_nonzero(above))
        inside = flat >= flat.dtype.type(guess * (1 - BAND))
        np.logical_xor(inside, above, out=inside)
        band = flat[inside]
        if 0 < count - n_above <= band.size:
            smallest = _nth_largest(band, count - n_above)
            return smallest, n_above + int(np.count_nonzero(band >= smallest))
    smallest = _nth_largest(flat, count)
    return smallest, int(np.count_nonzero(flat >= smallest))


def _nth_largest(values: np.ndarray, n: int) -> float:
    return float(np.partition(values, values.size - n)[values.size - n])


def _smallest_kept_torch(values: Tensor, count: int, guess: float | None) -> tuple[float, int]:
    """Return the `count`-th largest value and how many are at least as large."""
    if guess is not None:
        n_above = int(torch.count_nonzero(values > guess * (1 + BAND)))
        band = values[(values <= guess * (1 + BAND)) & (values >= guess * (1 - BAND))]
        if 0 < count - n_above <= band.numel():
            smallest = band.topk(count - n_above, sorted=False).values.min()
            return smallest.item(), n_above + int(torch.count_nonzero(band >= smallest))
    smallest = values.topk(count, sorted=False).values.min()
    return smallest.item(), int(torch.count_nonzero(values >= smallest))
