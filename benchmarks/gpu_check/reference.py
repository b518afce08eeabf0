"""One step's loss and gradients by autograd, in float64 on the CPU: what the check trusts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Reference(NamedTuple):
    """A step in float64."""

    loss: Tensor
    gradients: dict[str, Tensor]


def pre_acts(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Return the pre-activations times the decoder norms, which BatchTopK selects from.

    Parameters
    ----------
    x
        The batch, (batch, d_in).
    weights
        W_enc, b_enc, W_dec, b_dec by name.

    Returns
    -------
    Tensor
        (batch, d_sae), in float64.
    """
    wide = {name: value.detach().cpu().double() for name, value in weights.items()}
    acts = (x.cpu().double() - wide["b_dec"]) @ wide["W_enc"] + wide["b_enc"]
    return acts * wide["W_dec"].norm(dim=1)


def selection(acts: Tensor, count: int) -> Tensor:
    """Return which values BatchTopK keeps: the largest positive ones, of equal ones the first.

    Examples
    --------
    >>> selection(torch.tensor([[3.0, 1.0, -1.0], [2.0, 2.0, 0.5]]), 2).long()
    tensor([[1, 0, 0],
            [1, 0, 0]])
    """
    flat = acts.reshape(-1)
    if count >= len(flat):
        return acts > 0
    smallest = float(np.partition(flat.numpy(), len(flat) - count)[len(flat) - count])
    if smallest <= 0:
        return acts > 0
    kept = flat > smallest
    ties = (flat == smallest).nonzero().view(-1)
    kept[ties[: count - int(kept.sum())]] = True
    return kept.view_as(acts)


def step(
    x: Tensor,
    weights: dict[str, Tensor],
    selected: Tensor,
    dead: Tensor | None,
    aux_coefficient: float,
) -> Reference:
    """Return loss and gradients of a batch whose selection is given.

    Parameters
    ----------
    x, weights
        As in `pre_acts`.
    selected
        (batch, d_sae); which activations are kept.
    dead
        At most d_in / 2 latents, which reconstruct the error for the auxiliary loss.
    aux_coefficient
        Its weight.
    """
    x = x.cpu().double()
    leaves = {name: v.detach().cpu().double().requires_grad_() for name, v in weights.items()}
    W_enc, b_enc, W_dec, b_dec = (leaves[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    acts = (x - b_dec) @ W_enc + b_enc
    error = torch.where(selected, acts, 0.0) @ W_dec + b_dec - x
    loss = error.square().sum() / len(x)
    if dead is not None:
        dead = dead.cpu()
        weight = aux_coefficient * min(len(dead) / (x.shape[1] // 2), 1.0)
        aux_error = error.detach() + acts[:, dead] @ W_dec[dead]
        loss = loss + weight * aux_error.square().sum() / len(x)
    loss.backward()
    return Reference(loss.detach(), {name: v.grad for name, v in leaves.items()})
