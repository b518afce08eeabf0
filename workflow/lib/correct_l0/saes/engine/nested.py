r"""The nested losses of a Matryoshka SAE: prefixes of its latents reconstruct without the others.

With z as in `step`, E_l the error of the first w_l latents and v_l the weight of that level (the
last level is the whole SAE, its weight 1):

    loss = sum_l v_l ||E_l||^2 / b,    C_l = 2/b sum over m >= l of v_m E_m
    dH = C_l W_dec^T and dW_dec = z^T C_l for the latents between w_(l-1) and w_l
    db_dec = 1^T C_1 - W_enc db_enc

so that only the decoder's products have levels, and each latent takes part in one: the work is that
of a BatchTopK step, and the passes over the errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.saes.engine.products import operand, product
from correct_l0.saes.engine.workspace import Workspace

if TYPE_CHECKING:
    from correct_l0.saes.engine.step import Pattern


@dataclass(frozen=True)
class Levels:
    """The levels of a Matryoshka SAE, the whole last."""

    widths: tuple[int, ...]
    """Latents of each level, ascending; the last is d_sae."""
    weights: tuple[float, ...]
    """Weight of each level's loss; the last is 1."""
    own_errors: bool = False
    """Whether dead latents reconstruct the error of their own level, not the whole SAE's."""

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Where the latents that each level adds start and stop."""
        return list(zip((0, *self.widths), self.widths, strict=False))


def decode_and_gradients(
    selected: Float[Tensor, "batch d_sae"] | Pattern,
    centred: Float[Tensor, "batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
    norms: Float[Tensor, " d_sae"],
    levels: Levels,
    work: Workspace,
    *,
    keep_errors: bool,
) -> tuple[
    Float[Tensor, "batch d_in"], Float[Tensor, ""], Float[Tensor, "levels batch d_in"] | None
]:
    """Write the gradients; return the whole SAE's error, the inner losses, and all errors.

    Parameters
    ----------
    selected
        Selected activations times the decoder norms.
    centred
        The batch less b_dec.
    W_dec, norms
        Decoder, and the norms of its rows.
    levels
        The levels.
    work
        Its gradients are written, `b_dec` without the encoder's part.
    keep_errors
        Whether the errors of all levels are wanted, if dead latents reconstruct their own; else
        None is returned for them.

    References
    ----------
    Bussmann et al., arXiv 2503.17547, equation 3; Chanin et al., arXiv 2505.11756, section 5: the
    weights.
    """
    depth, (batch, d_in) = len(levels.widths), centred.shape
    errors = work.empty("errors", depth * batch, d_in).view(depth, batch, d_in)
    if isinstance(selected, Tensor):
        units, factor = operand(W_dec / norms[:, None]), operand(selected)
        before = -centred
        for error, (start, stop) in zip(errors, levels.blocks, strict=True):
            if factor is selected:
                torch.addmm(before, selected[:, start:stop], units[start:stop], out=error)
            else:
                product(factor[:, start:stop], units[start:stop], error).add_(before)
            before = error
    else:
        selected.errors(W_dec, centred, levels.widths, errors)
    flat = errors.view(depth, -1)
    squares = [torch.dot(each, each) / batch for each in flat[:-1]]
    inner = sum(
        (w * each for w, each in zip(levels.weights, squares, strict=False)), centred.new_zeros(())
    )
    keep = keep_errors and levels.own_errors
    # The whole SAE's error is returned; of the others only the sums are used.
    sums = work.empty("sums", depth * batch, d_in).view(errors.shape) if keep else errors
    last = errors[-1] if keep else work.empty("error", batch, d_in).copy_(errors[-1])
    if keep:
        sums.copy_(errors)
    for level in range(depth - 2, -1, -1):
        sums[level].mul_(levels.weights[level]).add_(sums[level + 1])
    if isinstance(selected, Tensor):
        _dense_gradients(selected, centred, sums, W_dec, norms, levels, work)
    else:
        _sparse_gradients(selected, centred, sums, W_dec, levels, work)
    return last, inner, errors if keep else None


def parts(
    dead: Int[Tensor, " n_dead"],
    dead_acts: Float[Tensor, "batch n_dead"],
    error: Float[Tensor, "batch d_in"],
    levels: Levels | None,
    errors: Float[Tensor, "levels batch d_in"] | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield dead latents, ascending, with their activations and the error that they reconstruct."""
    if levels is None or errors is None:
        yield dead, dead_acts, error
        return
    edges = [0, *(int((dead < width).sum()) for width in levels.widths)]
    for level, (start, stop) in enumerate(pairwise(edges)):
        if stop > start:
            yield dead[start:stop], dead_acts[:, start:stop], errors[level]


def _dense_gradients(
    acts: Float[Tensor, "batch d_sae"],
    centred: Float[Tensor, "batch d_in"],
    sums: Float[Tensor, "levels batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
    norms: Float[Tensor, " d_sae"],
    levels: Levels,
    work: Workspace,
) -> None:
    out = work.gradients
    sums.mul_(2 / len(centred))
    torch.sum(sums[0], 0, out=out.b_dec)
    dH = work.empty("dH", *acts.shape)
    for each, (start, stop) in zip(sums, levels.blocks, strict=True):
        product(each, W_dec[start:stop].T, dH[:, start:stop])
        product(acts[:, start:stop].T, each, out.W_dec[start:stop])
    out.W_dec.div_(norms[:, None])
    torch.ops.aten.threshold_backward.grad_input(dH, acts, 0, grad_input=dH)
    product(centred.T, dH, out.W_enc)
    torch.sum(dH, 0, out=out.b_enc)


def _sparse_gradients(
    pattern: Pattern,
    centred: Float[Tensor, "batch d_in"],
    sums: Float[Tensor, "levels batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
    levels: Levels,
    work: Workspace,
) -> None:
    scale, out = 2 / len(centred), work.gradients
    torch.sum(sums[0], 0, out=out.b_dec).mul_(scale)
    pattern.write_gradients(centred, sums.flatten(0, 1), W_dec, scale, out, levels.widths)
