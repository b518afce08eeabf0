"""Exact selection of the largest pre-activations of every token.

A sort of every row takes longer than the encoder. Here a bound is narrowed by counting what lies
above it, which the processor does sixteen values at a time, until few are left to choose from; the
last row's bound is tried first, and has no effect on the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from correct_l0.jobs.compiled import compiled
from correct_l0.saes.engine.selection import Selected


def keep_largest_of_rows_(acts: Float[Tensor, "batch d_sae"], k: int) -> int:
    """Zero all but the k largest values of each row, where positive, in place, on the CPU.

    Among equal values at the edge those with the lowest index stay.

    Returns
    -------
    int
        How many values stay.

    References
    ----------
    Gao et al., arXiv 2406.04093, equation 3.

    Examples
    --------
    >>> import torch
    >>> acts = torch.tensor([[3.0, 1.0, 2.0, -1.0], [0.5, 0.5, -2.0, 0.5], [-1.0, -2.0, 4.0, -3.0]])
    >>> keep_largest_of_rows_(acts, 2), acts.tolist()
    (5, [[3.0, 0.0, 2.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]])
    """
    return int(_keep_in_rows(acts.numpy(), k))


def select_largest_of_rows(
    encode: Callable[[int, int], Float[Tensor, "rows d_sae"]],
    norms: Float[Tensor, " d_sae"],
    batch: int,
    rows: int,
    k: int,
) -> Selected:
    """Return what `keep_largest_of_rows_` keeps of a batch on the CPU that is encoded in blocks.

    Parameters
    ----------
    encode, norms, batch, rows
        As in `selection.select_largest`.
    k
        How many each token keeps.
    """
    scales = norms.numpy()
    starts = np.zeros(batch + 1, dtype=np.int64)
    # Of the row that is being read all may stay at first.
    latents = np.empty(batch * k + len(scales) + 8, dtype=np.int32)
    values = np.empty(len(latents), dtype=scales.dtype)
    for start in range(0, batch, rows):
        block = encode(start, min(start + rows, batch)).numpy()
        _compress_rows(block, scales, k, starts[start : start + len(block) + 1], latents, values)
    kept = starts[-1]
    return Selected(starts, latents[:kept], values[:kept])


@compiled
def _count_above(row, bound):  # type: ignore[no-untyped-def]
    n = np.int32(0)
    for j in range(row.size):
        # This form is compiled to sixteen comparisons at a time.
        n = np.int32(n + (1 if row[j] > bound else 0))
    return n


@compiled
def _bound(row, k, guess):  # type: ignore[no-untyped-def]
    """Return a value, not negative, above which k or few more lie; 0 if fewer are positive."""
    low, two = row.dtype.type(0), row.dtype.type(2)
    n_above = _count_above(row, low)
    high, bound = row.dtype.type(np.inf), guess if guess > 0 else row.dtype.type(1)
    while n_above > 2 * k + 8:
        n = _count_above(row, bound)
        if n >= k:
            low, n_above = bound, n
        else:
            high = bound
        bound = two * low if high == np.inf else (low + high) / two
        if not low < bound < high:
            break
    return low


@compiled
def _largest(row, k, guess, stays, latents, values):  # type: ignore[no-untyped-def]
    """Write out the k largest positive values, latents ascending; return their number, the edge.

    `stays` is memory of the row's length, a multiple of 8; the other two have one place more.
    """
    low = _bound(row, k, guess)
    eights = stays.view(np.uint64)
    for j in range(row.size):
        stays[j] = row[j] > low
    n = 0
    for eight in range(len(eights)):
        if eights[eight]:
            for j in range(8 * eight, 8 * eight + 8):
                latents[n] = j
                n += stays[j]
    for place in range(n):
        values[place] = row[latents[place]]
    if n <= k:
        return n, low
    edge = np.partition(values[:n], n - k)[n - k]
    ties, kept = k - _count_above(values[:n], edge), 0
    for place in range(n):
        value, latent = values[place], latents[place]
        equal = value == edge
        if value > edge or (equal and ties > 0):
            ties -= equal
            latents[kept], values[kept] = latent, value
            kept += 1
    return kept, edge


@compiled
def _keep_in_rows(acts, k):  # type: ignore[no-untyped-def]
    """Zero what does not stay; return how many do."""
    width = acts.shape[1]
    stays = np.zeros(-(-width // 8) * 8, np.uint8)
    latents, values = np.empty(width + 8, np.int32), np.empty(width + 8, acts.dtype)
    guess, total = acts.dtype.type(0), 0
    for token in range(len(acts)):
        row = acts[token]
        n, guess = _largest(row, k, guess, stays, latents, values)
        total += n
        row[:] = 0
        for place in range(n):
            row[latents[place]] = values[place]
    return total


@compiled
def _compress_rows(block, norms, k, starts, latents, values):  # type: ignore[no-untyped-def]
    """Write out what stays of each row of a block, times the norms, from `starts[0]` on."""
    acts = np.empty_like(norms)
    stays = np.zeros(-(-len(norms) // 8) * 8, np.uint8)
    guess, first = norms.dtype.type(0), starts[0]
    for token in range(len(block)):
        row = block[token]
        for latent in range(len(norms)):
            acts[latent] = row[latent] * norms[latent]
        n, guess = _largest(acts, k, guess, stays, latents[first:], values[first:])
        first += n
        starts[token + 1] = first
