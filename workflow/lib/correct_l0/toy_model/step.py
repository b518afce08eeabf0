"""The BatchTopK step for small SAEs: the same mathematics, in buffers made once.

At 1024 x 100 x 50 half of a step's time goes into making and filling new tensors. Here every result
has its place, shared by all SAEs of a group: between two steps nothing in it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.saes.engine.selection import keep_largest_


class Weights:
    """The parameters of one SAE, or their gradients, as views of one flat tensor.

    Attributes
    ----------
    flat
        All values.
    W_enc, b_enc, W_dec, b_dec
        Its parts, of shapes (d_in, d_sae), (d_sae,), (d_sae, d_in) and (d_in,).
    """

    def __init__(self, d_in: int, d_sae: int) -> None:
        shapes = ((d_in, d_sae), (d_sae,), (d_sae, d_in), (d_in,))
        sizes = [int(torch.Size(shape).numel()) for shape in shapes]
        self.flat: Float[Tensor, " n"] = torch.zeros(sum(sizes))
        parts = self.flat.split(sizes)
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = (
            part.view(shape) for part, shape in zip(parts, shapes, strict=True)
        )

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.W_enc, self.b_enc, self.W_dec, self.b_dec))


class Workspace:
    """The buffers of a step, for batches and SAEs of one size."""

    def __init__(self, batch: int, d_in: int, d_sae: int) -> None:
        self.centred = torch.empty(batch, d_in)
        self.acts = torch.empty(batch, d_sae)
        self.error = torch.empty(batch, d_in)
        self.dH = torch.empty(batch, d_sae)
        self.ones = torch.ones(batch)
        self.gradient = Weights(d_in, d_sae)
        self.scratch = torch.empty_like(self.gradient.flat)


@dataclass
class StepFacts:
    """What a step found besides the gradient."""

    smallest: float
    """Smallest activation selected: where the next one is looked for."""
    active: Float[Tensor, " d_sae"]
    """Sum of each latent's activations over the batch: positive where it fired."""


def batchtopk_gradient(
    x: Float[Tensor, "batch d_in"],
    weights: Weights,
    count: int,
    guess: float | None,
    work: Workspace,
) -> StepFacts:
    """Write the gradient of the squared error per sample into `work.gradient`.

    Parameters
    ----------
    x
        Samples.
    weights
        Parameters.
    count
        How many activations the batch keeps: int(l0 * batch).
    guess
        Where the smallest of them may lie; no effect on the result.
    work
        Buffers; `work.error` holds x_hat - x afterwards.

    References
    ----------
    The equations of `correct_l0.saes.engine.step`, without dead latents.
    """
    W_enc, b_enc, W_dec, b_dec = weights
    gradient = work.gradient
    norms = W_dec.norm(dim=-1)
    torch.sub(x, b_dec, out=work.centred)
    torch.addmm(b_enc * norms, work.centred, W_enc * norms, out=work.acts)
    smallest, _ = keep_largest_(work.acts, count, guess)
    torch.addmm(work.centred, work.acts, W_dec / norms[:, None], beta=-1, out=work.error)
    torch.mm(work.error, W_dec.T, out=work.dH)
    torch.ops.aten.threshold_backward.grad_input(work.dH, work.acts, 0, grad_input=work.dH)
    torch.mm(work.centred.T, work.dH, out=gradient.W_enc)
    torch.mv(work.dH.T, work.ones, out=gradient.b_enc)
    torch.mm(work.acts.T, work.error, out=gradient.W_dec)
    gradient.W_dec.div_(norms[:, None])
    torch.mv(work.error.T, work.ones, out=gradient.b_dec)
    gradient.b_dec.addmv_(W_enc, gradient.b_enc, alpha=-1)
    gradient.flat.mul_(2 / len(x))
    return StepFacts(smallest, torch.mv(work.acts.T, work.ones))


class Adam:
    """Adam on one flat tensor, without weight decay; the arithmetic of `torch.optim.Adam`.

    References
    ----------
    Kingma & Ba, arXiv 1412.6980, algorithm 1.
    """

    def __init__(self, size: int, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.lr, self.betas, self.eps = lr, betas, 1e-8
        self.mean, self.square = torch.zeros(size), torch.zeros(size)
        self.steps = 0

    def step_(
        self, values: Float[Tensor, " n"], gradient: Float[Tensor, " n"], scratch: Tensor
    ) -> None:
        """Change the values by one step; `scratch` is overwritten."""
        self.steps += 1
        beta1, beta2 = self.betas
        self.mean.lerp_(gradient, 1 - beta1)
        self.square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        torch.sqrt(self.square, out=scratch)
        scratch.div_((1 - beta2**self.steps) ** 0.5).add_(self.eps)
        values.addcdiv_(self.mean, scratch, value=-self.lr / (1 - beta1**self.steps))

    def state_dict(self) -> dict[str, Tensor | int]:
        """Return all that the next step depends on."""
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """Take up a saved state."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = state["steps"]
