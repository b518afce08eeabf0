"""Products over a batch's selected activations alone, on a GPU that never waits.

Each size is known before anything is computed: `count` values are kept, and where fewer are
positive the rest are zeros without a latent. As in `on_device`, every run has the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.saes.engine.on_device import Acts, Edge, counts_of, stays, ties_of, tile
from correct_l0.saes.engine.products import operand
from correct_l0.saes.engine.workspace import Gradients

COLUMNS = 1024
"""Columns that a program of the decoder has in hand."""
CHUNK = 128
"""Tokens at most whose part in a latent's gradients one program adds up."""
LARGEST_SHORT = 2**31 - 1
"""Largest number of a latent, the missing one's included, that is kept in 32 bits: a sort then has
half as many to look at."""
GRADIENT_WARPS = 8
"""Groups of 32 threads of a program that has a latent's gradients in hand."""


class DevicePattern:
    """The non-zeros of z by token and by latent; see `sparse.Pattern`.

    Parameters
    ----------
    acts
        Activations times the decoder norms.
    edge
        Which of them stay.
    count
        How many stay at most.
    """

    def __init__(self, acts: Acts, edge: Edge, count: int) -> None:
        _, d_sae = self.shape = acts.product.shape
        device = acts.product.device
        ties = ties_of(acts, edge)
        stops = counts_of(acts, edge, ties).cumsum(0)
        places = torch.zeros(len(stops) + 1, dtype=torch.int64, device=device)
        places[1:] = stops
        self.starts = places[:: acts.tiles].contiguous()
        number = torch.int32 if d_sae <= LARGEST_SHORT else torch.int64
        self.latents = torch.full((count,), d_sae, dtype=number, device=device)
        self.tokens = torch.zeros(count, dtype=torch.int64, device=device)
        self.z = acts.product.new_zeros(count)
        _compress[acts.grid](
            *acts, *acts.sizes, edge.smallest, ties, places, self.latents, self.tokens, self.z,
            **acts.shape,
        )  # fmt: skip
        by_latent, order = self.latents.sort(stable=True)
        edges = torch.arange(d_sae + 1, dtype=number, device=device)
        self._latent_starts = torch.searchsorted(by_latent, edges)
        self._tokens_by_latent, self._z_by_latent = self.tokens[order], self.z[order]

    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Return which latents are active for any token."""
        return self._latent_starts.diff() > 0

    def error(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        out: Float[Tensor, "batch d_in"],
    ) -> None:
        """Write z W_dec - centred into `out`."""
        self.errors(W_dec, centred, [self.shape[1]], out[None])

    def errors(
        self,
        W_dec: Float[Tensor, "d_sae d_in"],
        centred: Float[Tensor, "batch d_in"],
        widths: Sequence[int],
        out: Float[Tensor, "levels batch d_in"],
    ) -> None:
        """Write the error of the first latents, as many as each width says, into `out`."""
        batch, d_in = centred.shape
        ends = self.starts[1:] if len(widths) == 1 else self._ends(widths)
        grid = (batch, triton.cdiv(d_in, COLUMNS))
        _decode[grid](
            self.starts, ends, self.latents, self.z, operand(W_dec), centred, out, batch, d_in,
            LEVELS=len(widths), BLOCK=COLUMNS,
        )  # fmt: skip

    def _ends(self, widths: Sequence[int]) -> Int[Tensor, "batch levels"]:
        """Return where each token's values of the first latents end, as many as a width says."""
        batch, d_sae = self.shape
        place = torch.arange(batch, device=self.z.device)[:, None] * (d_sae + 1)
        # Not from a tensor of the widths: it would be copied to the device, which waits for it.
        edges = torch.cat([place + width for width in widths], dim=1)
        # Missing values lie behind all others, as if they were the last token's.
        own = torch.where(self.latents < d_sae, self.tokens, batch - 1)
        return torch.searchsorted(own * (d_sae + 1) + self.latents, edges)

    def write_gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "levels*batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
        scale: float,
        out: Gradients,
        widths: Sequence[int] = (),
    ) -> None:
        """Write all gradients, `b_dec`'s without the encoder's part; see `sparse.Pattern`."""
        torch.sum(error[: len(centred)], 0, out=out.b_dec).mul_(scale)
        (batch, d_sae), d_in = self.shape, W_dec.shape[1]
        first_rows = torch.zeros(d_sae, dtype=torch.int64, device=error.device)
        for width in widths:
            first_rows[width:] += batch
        transposed = out.W_enc.T
        into = transposed if transposed.is_contiguous() else torch.empty_like(W_dec)
        # A latent that fires often would be waited for: its tokens are shared among programs.
        parts = (self._latent_starts.diff() + (CHUNK - 1)).div(CHUNK, rounding_mode="floor")
        parts.clamp_(min=1)
        ends = parts.cumsum(0)
        programs = torch.arange(d_sae + len(self.z) // CHUNK, device=error.device)
        latents = torch.searchsorted(ends, programs, right=True)
        rooms = (parts * (parts > 1)).cumsum(0)
        room = 2 * len(self.z) // CHUNK + 1
        sums = error.new_empty(2, room, d_in, dtype=torch.float32)
        totals = error.new_empty(room, dtype=torch.float32)
        written = (into, out.W_dec, out.b_enc)
        shape = {"BLOCK": triton.next_power_of_2(d_in), "num_warps": GRADIENT_WARPS}
        _gradients[(len(programs),)](
            latents, parts, ends, rooms, self._latent_starts, self._tokens_by_latent,
            self._z_by_latent, first_rows, W_dec, operand(centred), operand(error), scale, *written,
            *sums, totals, d_sae, d_in, CHUNK=CHUNK, **shape,
        )  # fmt: skip
        _add_parts[(d_sae,)](parts, rooms, *sums, totals, *written, d_in, **shape)
        if into is not transposed:
            transposed.copy_(into)


@triton.jit
def _compress(
    product, b_enc, norms, d_sae, tiles, edge, ties, places, latents, tokens, z_kept,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write a program's pre-activations that stay where they belong."""
    row, latent, z, value = tile(product, b_enc, norms, d_sae, tiles, BLOCK)
    kept = stays(value, tl.load(edge), tl.load(ties + tl.program_id(0)), BLOCK)
    to = tl.load(places + tl.program_id(0)) + tl.cumsum(kept.to(tl.int32), 0) - 1
    tl.store(latents + to, latent.to(latents.dtype.element_ty), mask=kept)
    tl.store(tokens + to, row + tl.zeros([BLOCK], tl.int64), mask=kept)
    tl.store(z_kept + to, z, mask=kept)


@triton.jit
def _decode(
    starts, ends, latents, z, W_dec, centred, out, batch, d_in,
    LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write a token's error after each level, one part of it."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < d_in
    error = -tl.load(centred + row * d_in + column, mask=inside, other=0.0)
    start = tl.load(starts + row)
    for level in tl.static_range(LEVELS):
        end = tl.load(ends + row * LEVELS + level)
        for i in range(start, end):
            its = W_dec + tl.load(latents + i).to(tl.int64) * d_in
            error += tl.load(z + i) * tl.load(its + column, mask=inside, other=0.0).to(tl.float32)
        start = end
        tl.store(out + (level * batch + row) * d_in + column, error, mask=inside)


@triton.jit
def _gradients(
    latents, parts, ends, rooms, starts, tokens, z, first_rows, W_dec, centred, error, scale,
    dW_enc, dW_dec, db_enc, part_enc, part_dec, part_b, d_sae, d_in,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write a latent's gradients, or what some of its tokens add to them: one pass over these."""
    latent = tl.load(latents + tl.program_id(0))
    if latent < d_sae:
        column = tl.arange(0, BLOCK)
        inside = column < d_in
        n_parts = tl.load(parts + latent)
        part = tl.program_id(0) - (tl.load(ends + latent) - n_parts)
        start = tl.load(starts + latent) + part * CHUNK
        end = tl.minimum(start + CHUNK, tl.load(starts + latent + 1))
        error += tl.load(first_rows + latent) * d_in
        decoder = tl.load(W_dec + latent * d_in + column, mask=inside, other=0.0)
        of_decoder = tl.zeros([BLOCK], tl.float32)
        of_encoder = tl.zeros([BLOCK], tl.float32)
        total = tl.sum(of_decoder)
        # The next token's rows are on their way while this one's are added.
        row = tl.load(tokens + start, mask=start < end, other=0) * d_in
        its_error = tl.load(error + row + column, mask=inside, other=0.0)
        its_input = tl.load(centred + row + column, mask=inside, other=0.0)
        for i in range(start, end):
            row = tl.load(tokens + i + 1, mask=i + 1 < end, other=0) * d_in
            next_error = tl.load(error + row + column, mask=inside, other=0.0)
            next_input = tl.load(centred + row + column, mask=inside, other=0.0)
            G = scale * its_error.to(tl.float32)
            dH = tl.sum(G * decoder)
            of_decoder += tl.load(z + i) * G
            of_encoder += dH * its_input.to(tl.float32)
            total += dH
            its_error, its_input = next_error, next_input
        if n_parts == 1:
            tl.store(dW_dec + latent * d_in + column, of_decoder, mask=inside)
            tl.store(dW_enc + latent * d_in + column, of_encoder, mask=inside)
            tl.store(db_enc + latent, total)
        else:
            room = tl.load(rooms + latent) - n_parts + part
            tl.store(part_dec + room * d_in + column, of_decoder, mask=inside)
            tl.store(part_enc + room * d_in + column, of_encoder, mask=inside)
            tl.store(part_b + room, total)


@triton.jit
def _add_parts(
    parts, rooms, part_enc, part_dec, part_b, dW_enc, dW_dec, db_enc, d_in, BLOCK: tl.constexpr
):
    """Add up the gradients of a latent whose tokens several programs had."""
    latent = tl.program_id(0).to(tl.int64)
    n_parts = tl.load(parts + latent)
    if n_parts > 1:
        column = tl.arange(0, BLOCK)
        inside = column < d_in
        of_decoder = tl.zeros([BLOCK], tl.float32)
        of_encoder = tl.zeros([BLOCK], tl.float32)
        total = tl.sum(of_decoder)
        stop = tl.load(rooms + latent)
        for room in range(stop - n_parts, stop):
            of_decoder += tl.load(part_dec + room * d_in + column, mask=inside, other=0.0)
            of_encoder += tl.load(part_enc + room * d_in + column, mask=inside, other=0.0)
            total += tl.load(part_b + room)
        tl.store(dW_dec + latent * d_in + column, of_decoder, mask=inside)
        tl.store(dW_enc + latent * d_in + column, of_encoder, mask=inside)
        tl.store(db_enc + latent, total)
