"""One step's loss and gradients by autograd, in float64 on the CPU: what the check trusts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from benchmarks.gpu_check.measuring import median_seconds
from torch import Tensor


class Reference(NamedTuple):
    """A step in float64."""

    loss: Tensor
    gradients: dict[str, Tensor]


class Truth:
    """The steps of one batch from given weights, each computed once for all who select alike.

    Parameters
    ----------
    x
        The batch, (batch, d_in).
    weights
        W_enc, b_enc, W_dec, b_dec by name.
    dead
        At most d_in / 2 latents, which reconstruct the error for the auxiliary loss.
    aux_coefficient
        Its weight.
    device
        Where what is found is held against something else; all is computed on the CPU.

    Attributes
    ----------
    acts : Tensor
        The pre-activations times the decoder norms, which BatchTopK selects from: (batch, d_sae),
        in float64, on the CPU.

    Examples
    --------
    The latent is 2 (3 - 1) + 1 = 5, the reconstruction 5 + 1 = 6, and the error 3:

    >>> one = torch.ones(1, 1)
    >>> weights = {"W_enc": 2 * one, "b_enc": one[0], "W_dec": one, "b_dec": one[0]}
    >>> step = Truth(3 * one, weights, None, 1.0).step(one > 0)
    >>> float(step.loss), {name: float(value) for name, value in step.gradients.items()}
    (9.0, {'W_enc': 12.0, 'b_enc': 6.0, 'W_dec': 30.0, 'b_dec': -6.0})
    """

    def __init__(
        self,
        x: Tensor,
        weights: dict[str, Tensor],
        dead: Tensor | None,
        aux_coefficient: float,
        device: str = "cpu",
    ) -> None:
        self._x, self._device, self._aux_coefficient = x.cpu().double(), device, aux_coefficient
        self._dead = None if dead is None else dead.cpu()
        self._leaves = {
            name: weights[name].detach().cpu().double().requires_grad_()
            for name in ("W_enc", "b_enc", "W_dec", "b_dec")
        }
        W_enc, b_enc, W_dec, b_dec = self._leaves.values()
        # (x - b_dec) W_enc + b_enc, but for b_dec's gradient, which would take one more product.
        self._pre_acts = self._x @ W_enc + (b_enc - b_dec @ W_enc)
        self.acts = (self._pre_acts * W_dec.norm(dim=1)).detach()
        self._selections: dict[int, Tensor] = {}
        self._steps: list[tuple[Tensor, Reference]] = []

    def selection(self, count: int) -> Tensor:
        """Return which of `acts` BatchTopK keeps; see the function of this name."""
        if count not in self._selections:
            self._selections[count] = selection(self.acts, count)
        return self._selections[count]

    def step(self, selected: Tensor) -> Reference:
        """Return loss and gradients where these activations are kept, (batch, d_sae)."""
        for seen, found in self._steps:
            if torch.equal(seen, selected):
                return found
        _, _, W_dec, b_dec = self._leaves.values()
        x, acts, dead = self._x, self._pre_acts, self._dead
        error = torch.where(selected, acts, 0.0) @ W_dec + b_dec - x
        loss = error.square().sum() / len(x)
        if dead is not None:
            weight = self._aux_coefficient * min(len(dead) / (x.shape[1] // 2), 1.0)
            aux_error = error.detach() + acts[:, dead] @ W_dec[dead]
            loss = loss + weight * aux_error.square().sum() / len(x)
        gradients = torch.autograd.grad(loss, list(self._leaves.values()), retain_graph=True)
        named = {
            name: value.to(self._device)
            for name, value in zip(self._leaves, gradients, strict=True)
        }
        found = Reference(loss.detach().to(self._device), named)
        self._steps.append((selected, found))
        return found


def seconds(sizes: tuple[int, int, int], steps: int) -> float:
    """Return about how long this machine takes for the steps of a `Truth`, from one product.

    Parameters
    ----------
    sizes
        (d_in, d_sae, batch).
    steps
        Steps that select differently: four products each, after one for all.
    """
    d_in, d_sae, batch = sizes
    rows = min(batch, 128)
    left, right = torch.ones(rows, d_in).double(), torch.ones(d_in, d_sae).double()
    return median_seconds(lambda: left @ right, 1, "cpu") * batch / rows * (1 + 4 * steps)


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
