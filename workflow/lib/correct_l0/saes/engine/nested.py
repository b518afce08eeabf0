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

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

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


def decode_and_gradients(
    selected: Pattern,
    centred: Float[Tensor, "batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
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
        Pattern of the selected activations.
    centred
        The batch less b_dec.
    W_dec
        Decoder.
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
    selected.write_gradients(
        centred, sums.flatten(0, 1), W_dec, 2 / batch, work.gradients, levels.widths
    )
    return last, inner, errors if keep else None


def parts(
    dead: Int[Tensor, " n_dead"],
    dead_acts: Float[Tensor, "batch n_dead"],
    error: Float[Tensor, "batch d_in"],
    levels: Levels | None,
    errors: Float[Tensor, "levels batch d_in"] | None,
    dead_at_hand: Int[Tensor, " n_dead"],
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield dead latents, ascending, with their activations and the error that they reconstruct.

    `dead_at_hand` are the same in the host's memory: how many are of a level is not asked of a
    device, which would be waited for.
    """
    if levels is None or errors is None:
        yield dead, dead_acts, error
        return
    edges = [0, *np.searchsorted(dead_at_hand.numpy(), levels.widths).tolist()]
    for level, (start, stop) in enumerate(pairwise(edges)):
        if stop > start:
            yield dead[start:stop], dead_acts[:, start:stop], errors[level]
