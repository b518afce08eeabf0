r"""One BatchTopK training step as a single differentiable function.

With `rescale_acts_by_decoder_norm` SAELens selects on H * n, where H = (x - b_dec) W_enc + b_enc
and n = ||W_dec||, and divides n out again before decoding. The gradient through n cancels exactly,
so that with z = H where selected, else 0:

    x_hat = z W_dec + b_dec,    E = x_hat - x,    loss = ||E||^2 / b,    G = 2 E / b
    dH = (G W_dec^T) where selected,    dW_dec = z^T G,    dW_enc = (x - b_dec)^T dH
    db_enc = 1^T dH,    db_dec = 1^T G - W_enc db_enc

One dense product (the encoder) and four on the non-zeros of z: as dense products with a mask, or
as sums over the non-zeros where these are few. The auxiliary loss touches the dead columns only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from correct_l0.saes import sparse
from correct_l0.saes.selection import keep_largest_


@dataclass
class StepResult:
    """What one step found besides the loss; plain tensors, no gradient."""

    mse_loss: Float[Tensor, ""]
    """Squared error per token, summed over d_in."""
    aux_loss: Float[Tensor, ""]
    """The auxiliary loss, its coefficient applied."""
    sae_out: Float[Tensor, "batch d_in"]
    """Reconstruction."""
    acts: Float[Tensor, "batch d_sae"]
    """Selected activations times the decoder norms, as SAELens returns them."""
    smallest: float
    """Smallest activation selected."""
    kept: int
    """Number of activations selected."""


@dataclass
class StepOptions:
    """What a step needs besides tensors that carry a gradient."""

    count: int
    """How many activations the batch keeps."""
    guess: float | None
    """Where the smallest of them may lie; no effect on the result."""
    dead: Int[Tensor, " n_dead"] | None
    """Columns of the dead latents; None: no auxiliary loss."""
    aux_coefficient: float
    """Weight of the auxiliary loss."""
    sparse: bool
    """Whether the products with z run over its non-zeros."""


class BatchTopKLoss(torch.autograd.Function):
    """The loss of one batch: `apply(sae_in, W_enc, b_enc, W_dec, b_dec, options)`.

    Returns the loss and a `StepResult`. No gradient flows to `sae_in`.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        sae_in: Float[Tensor, "batch d_in"],
        W_enc: Float[Tensor, "d_in d_sae"],
        b_enc: Float[Tensor, " d_sae"],
        W_dec: Float[Tensor, "d_sae d_in"],
        b_dec: Float[Tensor, " d_in"],
        options: StepOptions,
    ) -> tuple[Float[Tensor, ""], StepResult]:
        """Return the loss and what else the step found."""
        norms = W_dec.norm(dim=-1)
        centred = sae_in - b_dec
        acts = torch.addmm(b_enc, centred, W_enc).mul_(norms)
        dead = options.dead
        dead_acts = None if dead is None else acts[:, dead]
        smallest, kept = keep_largest_(acts, options.count, options.guess)
        pattern = sparse.Pattern(acts, norms) if options.sparse else None
        if pattern is not None:
            sae_out = pattern.decode(W_dec).add_(b_dec)
        else:
            sae_out = torch.addmm(b_dec, acts, W_dec / norms[:, None])
        error = sae_out - sae_in
        mse_loss = torch.dot(error.view(-1), error.view(-1)) / len(error)
        aux_loss, aux = torch.zeros_like(mse_loss), None
        if dead is not None and dead_acts is not None:
            aux_loss, aux = _auxiliary(dead_acts, error, W_dec[dead], norms[dead], options)
        ctx.save_for_backward(centred, W_enc, W_dec, norms, acts, error)
        ctx.pattern, ctx.dead, ctx.aux = pattern, dead, aux
        result = StepResult(mse_loss, aux_loss, sae_out, acts, smallest, kept)
        return mse_loss + aux_loss, result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Return the gradients of the weights."""
        centred, W_enc, W_dec, norms, acts, error = ctx.saved_tensors
        scale = grads[0] * (2 / len(error))
        if ctx.pattern is not None:
            dW_enc, db_enc, dW_dec = ctx.pattern.gradients(centred, error, W_dec)
            dW_enc, db_enc, dW_dec = dW_enc.mul_(scale), db_enc.mul_(scale), dW_dec.mul_(scale)
        else:
            dH = torch.mm(error, W_dec.T)
            torch.ops.aten.threshold_backward.grad_input(dH, acts, 0, grad_input=dH)
            dW_enc = torch.mm(centred.T, dH).mul_(scale)
            db_enc = dH.sum(0).mul_(scale)
            dW_dec = torch.mm(acts.T, error).mul_((scale / norms)[:, None])
        db_dec = error.sum(0).mul_(scale)
        if ctx.aux is not None:
            dead, (aux_acts, dH_dead, aux_error, weight) = ctx.dead, ctx.aux
            scale = scale * weight
            db_dead = dH_dead.sum(0).mul_(scale)
            dW_enc[:, dead] += torch.mm(centred.T, dH_dead).mul_(scale)
            dW_dec[dead] += torch.mm(aux_acts.T, aux_error).mul_(scale)
            db_enc[dead] += db_dead
        db_dec -= W_enc @ db_enc
        return None, dW_enc, db_enc, dW_dec, db_dec, None


def _auxiliary(
    dead_acts: Float[Tensor, "batch n_dead"],
    error: Float[Tensor, "batch d_in"],
    W_dead: Float[Tensor, "n_dead d_in"],
    norms: Float[Tensor, " n_dead"],
    options: StepOptions,
) -> tuple[Float[Tensor, ""], tuple[Tensor, Tensor, Tensor, float]]:
    """Return the loss of the dead latents' reconstruction of the error, and its derivatives.

    Up to d_in / 2 dead latents per token, those with the largest pre-activations, negative ones
    included, reconstruct the residual x - x_hat without a bias; fewer dead latents than d_in / 2
    count for proportionally less. The residual is a constant.
    """
    k_aux, n_dead = error.shape[-1] // 2, dead_acts.shape[-1]
    weight = options.aux_coefficient * min(n_dead / k_aux, 1.0)
    chosen = None
    if n_dead > k_aux:
        top = dead_acts.topk(k_aux, dim=-1, sorted=False).indices
        chosen = torch.zeros_like(dead_acts).scatter_(-1, top, 1.0)
    aux_acts = dead_acts.div_(norms)
    if chosen is not None:
        aux_acts.mul_(chosen)
    aux_error = torch.addmm(error, aux_acts, W_dead)
    loss = torch.dot(aux_error.view(-1), aux_error.view(-1)) * (weight / len(error))
    dH = torch.mm(aux_error, W_dead.T)
    if chosen is not None:
        dH.mul_(chosen)
    return loss, (aux_acts, dH, aux_error, weight)
