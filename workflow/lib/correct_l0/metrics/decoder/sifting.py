"""One pass over projections on a GPU: values are counted in a fine histogram, those near kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from correct_l0.metrics.decoder.histogram import BINS, BINS_PER_UNIT, LOW

if TYPE_CHECKING:
    from jaxtyping import Float, Int

BLOCK = 2048
"""Values that a program has in hand."""


class Found:
    """Room for the values that kernels find, in no order.

    Parameters
    ----------
    room
        For how many values.
    device
        Where.

    Attributes
    ----------
    values : Float[Tensor, " room"]
        As many of them as there is room for.
    count : Int[Tensor, ""]
        How many were found, also where there was no room left.
    """

    def __init__(self, room: int, device: torch.device) -> None:
        self.values = torch.empty(room, device=device)
        self.count = torch.zeros((), dtype=torch.int64, device=device)


def sift(
    values: Float[Tensor, " values"],
    there: Int[Tensor, ""] | None = None,
    *,
    counts: Int[Tensor, "copies bins"] | None = None,
    edges: Int[Tensor, "n 2"] | None = None,
    found: Found | None = None,
) -> None:
    """Count finite values, and keep those that lie near; one pass over them.

    Parameters
    ----------
    values
        In training units, float32, contiguous.
    there
        How many of them to take, the first ones; None, or where there are fewer, all.
    counts
        Fine histograms, which together count each value once more; None not to count.
    edges
        First and last bins of what to keep, int32; may overlap. None to keep nothing.
    found
        Where it is kept.
    """
    grid = (triton.cdiv(len(values), BLOCK),)
    _sift[grid](
        values, there, counts, edges,
        None if found is None else found.values, None if found is None else found.count,
        len(values), 0 if edges is None else len(edges), 0 if found is None else len(found.values),
        COPIES=0 if counts is None else len(counts), BINS=BINS, PER_UNIT=BINS_PER_UNIT,
        LOWEST=LOW * BINS_PER_UNIT, KEEP=edges is not None, BLOCK=BLOCK,
    )  # fmt: skip


@triton.jit
def _sift(
    values, there, counts, edges, found, n_found, n, n_edges, room,
    COPIES: tl.constexpr, BINS: tl.constexpr, PER_UNIT: tl.constexpr, LOWEST: tl.constexpr,
    KEEP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count the values, and write out those in any of the ranges of bins.

    No program waits for what another has written: the additions need no order ("relaxed").
    """
    program = tl.program_id(0).to(tl.int64)
    at = program * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    if there is not None:
        inside = inside & (at < tl.load(there))
    value = tl.load(values + at, mask=inside, other=0.0)
    # The steps of `histogram.fine_bins`, all of them exact.
    scaled = tl.floor(value * PER_UNIT)
    scaled = tl.minimum(tl.maximum(scaled, LOWEST), LOWEST + BINS - 1)
    place = scaled.to(tl.int32) - LOWEST
    if COPIES > 0:
        its = counts + (program % COPIES) * BINS
        tl.atomic_add(its + place, 1, mask=inside, sem="relaxed")
    if KEEP:
        near = place < 0
        for i in range(n_edges):
            low, high = tl.load(edges + 2 * i), tl.load(edges + 2 * i + 1)
            near = near | ((place >= low) & (place <= high))
        chosen = (near & inside).to(tl.int32)
        number = tl.sum(chosen)
        if number > 0:
            to = tl.atomic_add(n_found, number, sem="relaxed") + tl.cumsum(chosen, 0) - 1
            tl.store(found + to, value, mask=(chosen > 0) & (to < room))
