"""Selection of a batch's largest activations, and products with them, on a GPU that never waits.

Each size is known before anything is computed: `count` values are kept, and where fewer are
positive the rest are zeros without a latent. The smallest value kept is found by counting: the bits
of a positive float, read as a whole number, order as the float does, so that two passes, over their
upper and their lower half, find it exactly. The kernels use no sum whose order may change, and
integers where several programs add to one number: every run has the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.saes.engine.selection import MARGIN
from correct_l0.saes.engine.workspace import Gradients

HALF = 16
"""Bits of a float that one pass counts."""
BLOCK = 1024
"""Values that a program of the selection, or of the decoder, has in hand."""


class DevicePattern:
    """The non-zeros of z = acts / norms, by token and by latent; see `sparse.Pattern`.

    Parameters
    ----------
    acts
        Activations times the decoder norms, float32, contiguous.
    norms
        The decoder norms.
    count
        How many of the positive activations to keep: the largest, of equal ones the first.
    guess
        Where the smallest value kept may lie. No effect on the result.

    Attributes
    ----------
    smallest : Float[Tensor, ""]
        The smallest value kept, 0 where fewer are positive; infinite where none is to be kept.
    kept : Int[Tensor, ""]
        How many values are kept.
    """

    def __init__(
        self,
        acts: Float[Tensor, "batch d_sae"],
        norms: Float[Tensor, " d_sae"],
        count: int,
        guess: float | Float[Tensor, ""] | None = None,
    ) -> None:
        batch, d_sae = self.shape = (len(acts), len(norms))
        self.smallest, ties = smallest_kept(acts, count, guess)
        above, equal = (acts.new_empty(batch, dtype=torch.int64) for _ in range(2))
        _count_rows[(batch,)](acts, self.smallest, above, equal, d_sae, BLOCK=BLOCK)
        # Of equal values the first ones stay: each token is told how many of its own.
        its_ties = (ties + equal - equal.cumsum(0)).clamp_(min=0).minimum(equal)
        self.starts = torch.zeros(batch + 1, dtype=torch.int64, device=acts.device)
        torch.cumsum(above + its_ties, 0, out=self.starts[1:])
        self.kept = self.starts[-1]
        self.latents = torch.full((count,), d_sae, dtype=torch.int64, device=acts.device)
        self.tokens = torch.zeros_like(self.latents)
        self.values = acts.new_zeros(count)
        _compress[(batch,)](
            acts, self.smallest, self.starts, its_ties,
            self.latents, self.tokens, self.values, d_sae, BLOCK=BLOCK,
        )  # fmt: skip
        self.z = self.values / torch.cat((norms, norms.new_ones(1)))[self.latents]
        by_latent, order = self.latents.sort(stable=True)
        edges = torch.arange(d_sae + 1, device=acts.device)
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
        place = torch.arange(batch, device=centred.device)[:, None] * (self.shape[1] + 1)
        # Not from a tensor of the widths: it would be copied to the device, which waits for it.
        edges = torch.cat([place + width for width in widths], dim=1)
        # Missing values lie behind all others, as if they were the last token's.
        own = torch.where(self.latents < self.shape[1], self.tokens, batch - 1)
        ends = torch.searchsorted(own * (self.shape[1] + 1) + self.latents, edges)
        grid = (batch, triton.cdiv(d_in, BLOCK))
        _decode[grid](
            self.starts, ends, self.latents, self.z, W_dec, centred, out, batch, d_in,
            LEVELS=len(widths), BLOCK=BLOCK,
        )  # fmt: skip

    def write_gradients(
        self,
        centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "levels*batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"],
        scale: float,
        out: Gradients,
        widths: Sequence[int] = (),
    ) -> None:
        """Write all gradients but that of `b_dec`; see `sparse.Pattern.gradients`."""
        (batch, d_sae), d_in = self.shape, W_dec.shape[1]
        first_rows = torch.zeros(d_sae, dtype=torch.int64, device=error.device)
        for width in widths:
            first_rows[width:] += batch
        transposed = out.W_enc.T
        into = transposed if transposed.is_contiguous() else torch.empty_like(W_dec)
        _gradients[(d_sae,)](
            self._latent_starts, self._tokens_by_latent, self._z_by_latent, first_rows,
            W_dec, centred, error, scale, into, out.W_dec, out.b_enc, d_in,
            BLOCK=triton.next_power_of_2(d_in),
        )  # fmt: skip
        if into is not transposed:
            transposed.copy_(into)


def smallest_kept(
    acts: Float[Tensor, "batch d_sae"], count: int, guess: float | Float[Tensor, ""] | None = None
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Return the `count`-th largest of the positive values, and how many of those equal to it stay.

    Where fewer than `count` are positive, both are 0; of none to be kept the first is infinite.
    Nothing waits for the device.

    Parameters
    ----------
    acts
        The values, float32, contiguous.
    count
        How many are to be kept.
    guess
        Where the result may lie, such as the last step's; no effect on it. What is far below is
        counted only where the guess was too high.
    """
    if count == 0:
        return acts.new_full((), torch.inf), torch.zeros((), dtype=torch.int64, device=acts.device)
    upper = torch.zeros(1 << (HALF - 1), dtype=torch.int32, device=acts.device)
    lower = torch.zeros(1 << HALF, dtype=torch.int32, device=acts.device)
    grid = (triton.cdiv(acts.numel(), BLOCK),)
    nothing, high = (acts.new_full((), bound) for bound in (0.0, torch.inf))
    if guess is not None:
        low = torch.nan_to_num((1 - MARGIN) * guess + nothing, nan=0.0)
        _count_upper[grid](acts, low, high, upper, acts.numel(), HALF=HALF, BLOCK=BLOCK)
        # Bounds between which nothing lies where enough was found: the programs then end at once.
        high = torch.where(upper.sum() < count, torch.nextafter(low, nothing), nothing)
    _count_upper[grid](acts, nothing, high, upper, acts.numel(), HALF=HALF, BLOCK=BLOCK)
    found = upper.sum()
    first, above = _digit(upper, torch.full_like(found, count))
    _count_lower[grid](acts, first, lower, acts.numel(), HALF=HALF, BLOCK=BLOCK)
    second, between = _digit(lower, count - above)
    all_stay = found < count
    bits = torch.where(all_stay, 0, (first << HALF) + second).to(torch.int32)
    ties = torch.where(all_stay, 0, count - above - between)
    return bits.view(torch.float32), ties


def _digit(
    counts: Int[Tensor, " digits"], wanted: Int[Tensor, ""]
) -> tuple[Int[Tensor, ""], Int[Tensor, ""]]:
    """Return the digit of the `wanted`-th largest value, and how many have a larger one."""
    from_top = counts.flip(0).cumsum(0)
    place = torch.searchsorted(from_top, wanted).clamp_(max=len(counts) - 1)
    return len(counts) - 1 - place, (from_top - counts.flip(0)).take(place)


@triton.jit
def _count_upper(acts, low, high, counts, n, HALF: tl.constexpr, BLOCK: tl.constexpr):
    """Count the upper halves of the positive values from `low` to `high`."""
    at_least, at_most = tl.load(low), tl.load(high)
    if at_least < at_most:
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        value = tl.load(acts + at, mask=at < n, other=0.0)
        digit = value.to(tl.int32, bitcast=True) >> HALF
        inside = (value > 0) & (value >= at_least) & (value <= at_most)
        tl.atomic_add(counts + digit, 1, mask=inside)


@triton.jit
def _count_lower(acts, first, counts, n, HALF: tl.constexpr, BLOCK: tl.constexpr):
    """Count the lower halves of the positive values with this upper half."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(acts + at, mask=at < n, other=0.0)
    bits = value.to(tl.int32, bitcast=True)
    inside = (value > 0) & ((bits >> HALF) == tl.load(first))
    tl.atomic_add(counts + (bits & ((1 << HALF) - 1)), 1, mask=inside)


@triton.jit
def _count_rows(acts, edge, above, equal, d_sae, BLOCK: tl.constexpr):
    """Count each token's values above the edge, and at it."""
    row = tl.program_id(0).to(tl.int64)
    limit = tl.load(edge)
    n_above = tl.zeros([BLOCK], tl.int64)
    n_equal = tl.zeros([BLOCK], tl.int64)
    for start in range(0, d_sae, BLOCK):
        latent = start + tl.arange(0, BLOCK)
        value = tl.load(acts + row * d_sae + latent, mask=latent < d_sae, other=-1.0)
        n_above += (value > limit).to(tl.int64)
        n_equal += (value == limit).to(tl.int64)
    tl.store(above + row, tl.sum(n_above))
    tl.store(equal + row, tl.sum(n_equal))


@triton.jit
def _compress(
    acts, edge, starts, ties, latents, tokens, values, d_sae, BLOCK: tl.constexpr
):  # fmt: skip
    """Write each token's values above the edge, and the first ones at it, where they belong."""
    row = tl.program_id(0).to(tl.int64)
    limit = tl.load(edge)
    place = tl.load(starts + row)
    left = tl.load(ties + row)
    for start in range(0, d_sae, BLOCK):
        latent = start + tl.arange(0, BLOCK)
        value = tl.load(acts + row * d_sae + latent, mask=latent < d_sae, other=-1.0)
        tie = (value == limit).to(tl.int64)
        tie = tie * (tl.cumsum(tie, 0) <= left).to(tl.int64)
        kept = (value > limit).to(tl.int64) + tie
        to = place + tl.cumsum(kept, 0) - 1
        tl.store(latents + to, latent.to(tl.int64), mask=kept > 0)
        tl.store(tokens + to, row + tl.zeros([BLOCK], tl.int64), mask=kept > 0)
        tl.store(values + to, value, mask=kept > 0)
        place += tl.sum(kept)
        left -= tl.sum(tie)


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
            its = W_dec + tl.load(latents + i) * d_in
            error += tl.load(z + i) * tl.load(its + column, mask=inside, other=0.0)
        start = end
        tl.store(out + (level * batch + row) * d_in + column, error, mask=inside)


@triton.jit
def _gradients(
    starts, tokens, z, first_rows, W_dec, centred, error, scale, dW_enc, dW_dec, db_enc, d_in,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write a latent's gradients: one pass over its tokens."""
    latent = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < d_in
    decoder = tl.load(W_dec + latent * d_in + column, mask=inside, other=0.0)
    of_decoder = tl.zeros([BLOCK], tl.float32)
    of_encoder = tl.zeros([BLOCK], tl.float32)
    total = tl.sum(of_decoder)
    first_row = tl.load(first_rows + latent)
    for i in range(tl.load(starts + latent), tl.load(starts + latent + 1)):
        token = tl.load(tokens + i)
        its_error = error + (first_row + token) * d_in
        G = scale * tl.load(its_error + column, mask=inside, other=0.0)
        dH = tl.sum(G * decoder)
        of_decoder += tl.load(z + i) * G
        of_encoder += dH * tl.load(centred + token * d_in + column, mask=inside, other=0.0)
        total += dH
    tl.store(dW_dec + latent * d_in + column, of_decoder, mask=inside)
    tl.store(dW_enc + latent * d_in + column, of_encoder, mask=inside)
    tl.store(db_enc + latent, total)
