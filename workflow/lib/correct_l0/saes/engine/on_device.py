"""Selection of a batch's largest activations on a GPU that never waits.

The smallest value kept is found by counting: the bits of a positive float, read as a whole number,
order as the float does, so that two passes, over their upper and their lower half, find it exactly.
The bias is added and the norms are multiplied where a value is read. The kernels use no sum whose
order may change, and integers where several programs add to one number: every run has the same
bits; no program waits for what another has written, so that they need no order ("relaxed").
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.saes.engine.selection import MARGIN

HALF = 16
"""Bits of a float that one pass counts."""
BLOCK = 2048
"""Values at most that a program of the selection has in hand."""
WARPS = 8
"""Groups of 32 threads of such a program."""
COPIES = 32
"""Counters of one number, which programs take in turn: on few they would wait for each other."""


class Acts(NamedTuple):
    """Activations times the decoder norms, (product + b_enc) * norms, not written down."""

    product: Float[Tensor, "batch d_sae"]
    """Of the centred batch and the encoder, float32, contiguous."""
    b_enc: Float[Tensor, " d_sae"]
    norms: Float[Tensor, " d_sae"]

    @property
    def tiles(self) -> int:
        """Programs for one token."""
        return triton.cdiv(len(self.norms), self.block)

    @property
    def block(self) -> int:
        """Values of one token that a program has in hand."""
        return min(BLOCK, triton.next_power_of_2(len(self.norms)))

    @property
    def grid(self) -> tuple[int]:
        """All programs, those of one token beside each other."""
        return (len(self.product) * self.tiles,)

    @property
    def sizes(self) -> tuple[int, int]:
        """What every kernel is told of them."""
        return len(self.norms), self.tiles

    @property
    def shape(self) -> dict[str, int]:
        """What every kernel is compiled for."""
        return {"BLOCK": self.block, "num_warps": WARPS}


class Edge(NamedTuple):
    """Which values are kept: those above the smallest, and the first ones that equal it."""

    smallest: Float[Tensor, ""]
    """The smallest value kept; 0 where all positive ones are, infinite where none is."""
    ties: Int[Tensor, ""]
    """How many of the values equal to it are kept."""
    equal: Int[Tensor, ""]
    """How many values are equal to it."""
    kept: Int[Tensor, ""]
    """How many values are kept."""


def edge_of(acts: Acts, count: int, guess: float | Float[Tensor, ""] | None = None) -> Edge:
    """Return which values stay where the `count` largest positive ones do.

    Where fewer than `count` are positive, all of these stay. Nothing waits for the device.

    Parameters
    ----------
    acts
        The values.
    count
        How many are to be kept.
    guess
        Where the smallest may lie, such as the last step's; no effect on the result. What is far
        below is counted only where the guess was too high.
    """
    device, zero = acts.product.device, acts.product.new_zeros(())
    none = torch.zeros((), dtype=torch.int64, device=device)
    if count == 0:
        return Edge(zero + torch.inf, none, none, none)
    upper = torch.zeros(COPIES, 1 << (HALF - 1), dtype=torch.int32, device=device)
    lower = torch.zeros(1 << HALF, dtype=torch.int32, device=device)
    sizes = {"HALF": HALF, **acts.shape}
    high = zero + torch.inf
    if guess is not None:
        low = torch.nan_to_num((1 - MARGIN) * guess + zero, nan=0.0)
        _count_upper[acts.grid](*acts, *acts.sizes, low, high, upper, COPIES=COPIES, **sizes)
        # Bounds between which nothing lies where enough was found: the programs then end at once.
        high = torch.where(upper.sum() < count, torch.nextafter(low, zero), zero)
    _count_upper[acts.grid](*acts, *acts.sizes, zero, high, upper, COPIES=COPIES, **sizes)
    counts = upper.sum(0)
    found = counts.sum()
    first, above = _digit(counts, torch.full_like(found, count))
    _count_lower[acts.grid](*acts, *acts.sizes, first, lower, **sizes)
    second, between = _digit(lower, count - above)
    all_stay = found < count
    bits = torch.where(all_stay, 0, (first << HALF) + second).to(torch.int32)
    return Edge(
        smallest=bits.view(torch.float32),
        ties=torch.where(all_stay, 0, count - above - between),
        equal=torch.where(all_stay, 0, lower.take(second)),
        kept=found.clamp(max=count),
    )


def _digit(
    counts: Int[Tensor, " digits"], wanted: Int[Tensor, ""]
) -> tuple[Int[Tensor, ""], Int[Tensor, ""]]:
    """Return the digit of the `wanted`-th largest value, and how many have a larger one."""
    from_top = counts.flip(0).cumsum(0)
    place = torch.searchsorted(from_top, wanted).clamp_(max=len(counts) - 1)
    return len(counts) - 1 - place, (from_top - counts.flip(0)).take(place)


def ties_of(acts: Acts, edge: Edge) -> Int[Tensor, " programs"]:
    """Return how many of the values equal to the smallest stay of each program's, the first ones.

    They are looked for only where not all of them stay, which is rare.
    """
    equal = torch.zeros(acts.grid, dtype=torch.int32, device=acts.product.device)
    some_leave = (edge.ties < edge.equal).to(torch.int32)
    _count_equal[acts.grid](
        *acts, *acts.sizes, edge.smallest, some_leave, equal, **acts.shape
    )  # fmt: skip
    its = (edge.ties + equal - equal.cumsum(0)).clamp_(min=0).minimum(equal)
    return torch.where(some_leave > 0, its, acts.block * (edge.ties > 0)).to(torch.int32)


def counts_of(acts: Acts, edge: Edge, ties: Int[Tensor, " programs"]) -> Int[Tensor, " programs"]:
    """Return how many values stay of each program's."""
    counts = torch.empty_like(ties)
    _count_kept[acts.grid](
        *acts, *acts.sizes, edge.smallest, ties, counts, **acts.shape
    )  # fmt: skip
    return counts


@triton.jit
def tile(product, b_enc, norms, d_sae, tiles, BLOCK: tl.constexpr):
    """Return a program's token and latents, their pre-activations, and these times the norms.

    Beyond the last latent they are negative.
    """
    row = tl.program_id(0).to(tl.int64) // tiles
    latent = (tl.program_id(0) % tiles) * BLOCK + tl.arange(0, BLOCK)
    inside = latent < d_sae
    z = tl.load((product + row * d_sae) + latent, mask=inside, other=0.0)
    z += tl.load(b_enc + latent, mask=inside, other=-1.0)
    return row, latent, z, z * tl.load(norms + latent, mask=inside, other=1.0)


@triton.jit
def stays(value, limit, left, BLOCK: tl.constexpr):
    """Return which of a program's values stay: those above the limit, and the first ones at it."""
    kept = value > limit
    if left > 0:
        tie = value == limit
        if left < BLOCK:
            tie = tie & (tl.cumsum(tie.to(tl.int32), 0) <= left)
        kept = kept | tie
    return kept


@triton.jit
def _count_upper(
    product, b_enc, norms, d_sae, tiles, low, high, counts,
    COPIES: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count the upper halves of the positive values from `low` to `high`."""
    at_least, at_most = tl.load(low), tl.load(high)
    if at_least < at_most:
        _, _, _, value = tile(product, b_enc, norms, d_sae, tiles, BLOCK)
        digit = value.to(tl.int32, bitcast=True) >> HALF
        inside = (value > 0) & (value >= at_least) & (value <= at_most)
        own = counts + (tl.program_id(0) % COPIES) * (1 << (HALF - 1))
        tl.atomic_add(own + digit, 1, mask=inside, sem="relaxed")


@triton.jit
def _count_lower(
    product, b_enc, norms, d_sae, tiles, first, counts, HALF: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Count the lower halves of the positive values with this upper half."""
    _, _, _, value = tile(product, b_enc, norms, d_sae, tiles, BLOCK)
    bits = value.to(tl.int32, bitcast=True)
    inside = (value > 0) & ((bits >> HALF) == tl.load(first))
    tl.atomic_add(counts + (bits & ((1 << HALF) - 1)), 1, mask=inside, sem="relaxed")


@triton.jit
def _count_equal(
    product, b_enc, norms, d_sae, tiles, edge, wanted, counts, BLOCK: tl.constexpr
):  # fmt: skip
    """Count each program's values at the edge, if they are wanted."""
    if tl.load(wanted) > 0:
        _, _, _, value = tile(product, b_enc, norms, d_sae, tiles, BLOCK)
        equal = (value == tl.load(edge)).to(tl.int32)
        tl.store(counts + tl.program_id(0), tl.sum(equal))


@triton.jit
def _count_kept(
    product, b_enc, norms, d_sae, tiles, edge, ties, counts, BLOCK: tl.constexpr
):  # fmt: skip
    """Count each program's values that stay."""
    _, _, _, value = tile(product, b_enc, norms, d_sae, tiles, BLOCK)
    kept = stays(value, tl.load(edge), tl.load(ties + tl.program_id(0)), BLOCK)
    tl.store(counts + tl.program_id(0), tl.sum(kept.to(tl.int32)))
