"""What masked dense products need besides themselves, on a GPU that never waits."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.on_device import Acts, Edge, stays, ties_of, tile

COLUMNS = 1024
"""Columns that a program of a mask has in hand."""
ROWS = 64
"""Tokens whose gradients a program of a mask adds up."""


def kept(acts: Acts, edge: Edge, out: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_sae"]:
    """Write z, the pre-activations that stay, else 0, into `out`: the product itself, or new."""
    _keep[acts.grid](
        *acts, *acts.sizes, edge.smallest, ties_of(acts, edge), out, **acts.shape
    )  # fmt: skip
    return out


def mask(
    dH: Float[Tensor, "batch d_sae"],
    z: Float[Tensor, "batch d_sae"],
    sums: Float[Tensor, " d_sae"],
) -> Float[Tensor, "batch d_sae"]:
    """Return dH where z is positive, else 0, as a factor; write its column sums, in float32.

    Where a factor is not rounded, it is written over dH.
    """
    batch, d_sae = z.shape
    out = dH if z.dtype == dH.dtype else torch.empty_like(z)
    parts = sums.new_empty(triton.cdiv(batch, ROWS), d_sae)
    grid = (triton.cdiv(d_sae, COLUMNS), len(parts))
    _mask[grid](dH, z, out, parts, batch, d_sae, ROWS=ROWS, BLOCK=COLUMNS)
    torch.sum(parts, 0, out=sums)
    return out


@triton.jit
def _keep(product, b_enc, norms, d_sae, tiles, edge, ties, out, BLOCK: tl.constexpr):
    """Write a program's pre-activations that stay, else 0."""
    row, latent, z, value = tile(product, b_enc, norms, d_sae, tiles, BLOCK)
    kept = stays(value, tl.load(edge), tl.load(ties + tl.program_id(0)), BLOCK)
    z = tl.where(kept, z, 0.0).to(out.dtype.element_ty)
    tl.store((out + row * d_sae) + latent, z, mask=latent < d_sae)


@triton.jit
def _mask(dH, z, out, parts, batch, d_sae, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Write some tokens' gradients where their latent is active; add them up by latent."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for i in range(ROWS):
        row = tl.program_id(1).to(tl.int64) * ROWS + i
        inside = column < tl.where(row < batch, d_sae, 0)
        active = tl.load(z + row * d_sae + column, mask=inside, other=0.0) > 0
        its = tl.load(dH + row * d_sae + column, mask=inside, other=0.0)
        its = tl.where(active, its, 0.0)
        tl.store(out + row * d_sae + column, its.to(out.dtype.element_ty), mask=inside)
        total += its
    tl.store(parts + tl.program_id(1).to(tl.int64) * d_sae + column, total, mask=column < d_sae)
