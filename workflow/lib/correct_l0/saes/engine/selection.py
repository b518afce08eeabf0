"""Exact selection of the largest pre-activations of a batch.

SAELens finds them with a flat `topk`, which sorts as many values as it keeps: a fifth to a quarter
of its training step. Here only the smallest value kept is looked for, in a narrow band around the
last step's; a band that does not hold it is replaced by the whole batch, so that the guess never
decides what is kept. Where few values are kept, the batch is encoded block by block, and of each
block only the values that may be kept are copied out while they are in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from correct_l0.saes.engine.kernels import compress, keep_from, split_band

BAND = 0.02
"""Half-width of the band around the guess, relative to it."""
MARGIN = 0.05
"""How far below the guess values are copied out as candidates, relative to it."""

ROUNDING = 1 + 1e-5
"""How far above the edge of the candidates the smallest value kept must lie: more than rounding can
move a value across that edge."""


def keep_largest_(
    pre_acts: Float[Tensor, "batch d_sae"], count: int, guess: float | None = None
) -> tuple[float, int]:
    """Zero all but the largest positive values, in place, on the CPU.

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
    smallest, at_least = _smallest_kept(
        flat, count, guess if guess is not None and guess > 0 else None
    )
    if not smallest > 0:
        torch.threshold_(flat, 0.0, 0.0)
        return 0.0, int(torch.count_nonzero(flat))
    torch.threshold_(flat, _just_below(smallest, flat.dtype), 0.0)
    if at_least > count:
        ties = (flat == smallest).nonzero().view(-1)
        flat[ties[count - at_least :]] = 0.0
    return smallest, count


@dataclass
class Selected:
    """The values kept of a batch, by token."""

    starts: Int64[np.ndarray, " batch+1"]
    """Where each token's values start, and how many there are in all."""
    latents: Int32[np.ndarray, " kept"]
    """Their latents, ascending within a token."""
    values: Float[np.ndarray, " kept"]
    """The values: pre-activations times the decoder norms."""
    smallest: float = 0.0
    """The smallest value kept, or 0 where all positive values stay."""


def select_largest(
    encode: Callable[[int, int], Float[Tensor, "rows d_sae"]],
    norms: Float[Tensor, " d_sae"],
    batch: int,
    rows: int,
    count: int,
    guess: float | None = None,
) -> Selected:
    """Return what `keep_largest_` keeps of a batch on the CPU that is encoded block by block.

    The guess, corrected by the first block, says which values of each block may be kept; if fewer
    than `count` turn up, the batch is encoded again, and all positive values may be.

    Parameters
    ----------
    encode
        `encode(start, stop)` returns the pre-activations of these tokens, contiguous, without the
        norms; their memory may be used again for the next block.
    norms
        The decoder norms, which multiply the pre-activations.
    batch
        Number of tokens.
    rows
        Tokens per block.
    count, guess
        As in `keep_largest_`.
    """
    if count == 0:
        nothing = np.zeros(0, dtype=norms.numpy().dtype)
        return Selected(np.zeros(batch + 1, dtype=np.int64), np.zeros(0, dtype=np.int32), nothing)
    low = (1 - MARGIN) * guess if guess is not None and guess > 0 else 0.0
    found, low = _candidates(encode, norms.numpy(), batch, rows, count, low)
    smallest = _nth_largest(found.values, count) if len(found.values) >= count else 0.0
    if not smallest > low * ROUNDING:
        found, _ = _candidates(encode, norms.numpy(), batch, rows, None, 0.0)
        if len(found.values) < count:
            return found
        smallest = _nth_largest(found.values, count)
    ties = count - int(np.count_nonzero(found.values > smallest))
    edge = found.values.dtype.type(smallest)
    keep_from(edge, ties, found.starts, found.latents, found.values)
    return Selected(found.starts, found.latents[:count], found.values[:count], smallest)


def _candidates(
    encode: Callable[[int, int], Tensor],
    norms: np.ndarray,
    batch: int,
    rows: int,
    count: int | None,
    low: float,
) -> tuple[Selected, float]:
    """Return the positive values above `low`, and `low`, which the first block may set.

    If the first block holds fewer such values than its share of `count`, or `low` is zero, `low`
    becomes the block's own threshold, less the margin; without `count` it stays.
    """
    starts = np.zeros(batch + 1, dtype=np.int64)
    size = min(rows, batch) * len(norms) + 1
    latents, values = np.empty(size, dtype=np.int32), np.empty(size, dtype=norms.dtype)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    n_before = 0
    for start in range(0, batch, rows):
        block = encode(start, min(start + rows, batch)).numpy()
        its_starts = starts[start : start + len(block) + 1]
        into = (its_starts, latents, values)
        n = compress(block, norms, _bounds(low, norms), *into)
        if start == 0 and count is not None:
            share = math.ceil(count * len(block) / batch)
            if n < share or low <= 0:
                low = (1 - MARGIN) * max(_nth_largest((block * norms).reshape(-1), share), 0.0)
                n = compress(block, norms, _bounds(low, norms), *into)
        its_starts += n_before
        n_before += n
        parts.append((latents[:n], values[:n]))
        if batch > rows:
            parts[-1] = latents[:n].copy(), values[:n].copy()
    if len(parts) > 1:
        latents, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Selected(starts, latents[:n_before], values[:n_before]), low


def _bounds(low: float, norms: np.ndarray) -> np.ndarray:
    """Return the pre-activation from which on each latent's value is above `low`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (low / norms).astype(norms.dtype)


def _just_below(value: float, dtype: torch.dtype) -> float:
    """Return the next smaller number of a type: `threshold_` keeps what is strictly above."""
    exact = np.float32 if dtype == torch.float32 else np.float64
    return float(np.nextafter(exact(value), exact(-np.inf)))


def _smallest_kept(values: Tensor, count: int, guess: float | None) -> tuple[float, int]:
    """Return the `count`-th largest value and how many are at least as large.

    numpy compares and partitions several times faster than torch on a CPU.
    """
    flat = values.detach().numpy()
    if guess is not None:
        low, high = flat.dtype.type(guess * (1 - BAND)), flat.dtype.type(guess * (1 + BAND))
        band = np.empty_like(flat)
        n_inside, n_above = split_band(flat, low, high, band)
        band = band[:n_inside]
        if 0 < count - n_above <= n_inside:
            smallest = _nth_largest(band, count - n_above)
            return smallest, n_above + int(np.count_nonzero(band >= smallest))
    smallest = _nth_largest(flat, count)
    return smallest, int(np.count_nonzero(flat >= smallest))


def _nth_largest(values: np.ndarray, n: int) -> float:
    return float(np.partition(values, values.size - n)[values.size - n])
