r"""One JumpReLU training step: its loss and gradients, without autograd.

With H = (x - b_dec) W_enc + b_enc, thresholds t, a = H where H > t and else 0, n = ||W_dec||, and
near = |H - t| < bandwidth / 2:

    x_hat = a W_dec + b_dec,    E = x_hat - x,    G = 2 E / b,    D = G W_dec^T + dpenalty/da
    dt = -sum over the batch, where near, of (t D + p) / bandwidth
    dH = D where H > t, and (t D + p) / bandwidth where near, if that gradient reaches the encoder
    dW_dec = a^T G + dpenalty/dn W_dec / n,    dW_enc = (x - b_dec)^T dH,    db_enc = 1^T dH
    db_dec = 1^T G - W_enc db_enc

p is the gradient of the penalty by a token's L0. D is wanted where a latent is active or near: as
dense products, or as sums over those entries where they are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.saes.engine import kernels
from correct_l0.saes.engine.products import operand, product
from correct_l0.saes.engine.selection import Selected
from correct_l0.saes.engine.sparse import Pattern
from correct_l0.saes.engine.step import BLOCK, ROWS, pre_acts
from correct_l0.saes.engine.workspace import Gradients, Workspace


@dataclass(frozen=True)
class JumpOptions:
    """What a step needs besides the batch and the weights."""

    mode: Literal["quadratic", "tanh", "step"]
    """The penalty on L0."""
    coefficient: float
    """Its weight in this step."""
    target_l0: float
    """Of the quadratic penalty, which is measured in it."""
    aim: float | Tensor
    """The L0 from which the quadratic penalty rises, that is the target or near it."""
    tanh_scale: float
    """Of the tanh."""
    bandwidth: float
    """Width of the window around the threshold, in training units."""
    to_input: bool
    """Whether the threshold's gradient reaches the encoder."""
    pre_act_coefficient: float
    """Weight of the penalty on the pre-activations of dead latents."""
    dead: Int[Tensor, " n_dead"] | None
    """Columns of the dead latents; None: no such penalty."""
    sparse: bool
    """Whether the products run over the entries that are active or near."""


@dataclass
class JumpResult:
    """What one step found besides the gradients."""

    mse_loss: Float[Tensor, ""]
    """Squared error per token, summed over d_in."""
    penalty: Float[Tensor, ""]
    """The penalty on L0, its coefficient applied, and that on dead latents."""
    error: Float[Tensor, "batch d_in"]
    """Reconstruction less the batch."""
    active: Int[Tensor, ""]
    """Number of activations."""
    fired: Bool[Tensor, " d_sae"]
    """Which latents are active for any token."""
    share: float
    """Share of the entries over which a sparse step's products run, their mean; 1 on a GPU."""


@torch.no_grad()
def loss_and_gradients(
    sae_in: Float[Tensor, "batch d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    threshold: Float[Tensor, " d_sae"],
    options: JumpOptions,
    work: Workspace,
) -> tuple[Float[Tensor, ""], JumpResult, Float[Tensor, " d_sae"]]:
    """Return the loss of one batch, what else the step found, and the threshold's gradient.

    The gradients of the weights are written to `work.gradients`.

    Parameters
    ----------
    sae_in
        The batch, in training units.
    W_enc, b_enc, W_dec, b_dec, threshold
        The weights; thresholds of at least 0. A sparse step is fastest if `W_enc.T` is contiguous.
    options
        See `JumpOptions`.
    work
        Memory to write to.

    References
    ----------
    The equations of this module. Rajamanoharan et al., arXiv 2407.14435, equations 9 to 12;
    Anthropic, Circuits Updates, January 2025: tanh, and the gradient to the input; SAELens 6,
    `JumpReLUTrainingSAE.training_forward_pass`.
    """
    out, (batch, d_in) = work.gradients, sae_in.shape
    norms = W_dec.norm(dim=-1)
    centred = torch.sub(sae_in, b_dec, out=work.empty("centred", batch, d_in))
    dead_acts = None if options.dead is None else centred.new_empty(batch, len(options.dead))
    step = _sparse_step if options.sparse else _dense_step
    result, by_norm, d_threshold = step(
        centred, W_enc, b_enc, W_dec, norms, threshold, dead_acts, options, work
    )
    torch.sum(result.error, 0, out=out.b_dec).mul_(2 / batch)
    if options.mode == "tanh":
        out.W_dec.add_(W_dec * (by_norm / norms)[:, None])
    if options.dead is not None and dead_acts is not None:
        result.penalty += _add_pre_act_loss(
            dead_acts, centred, W_dec, norms, threshold, options, out, d_threshold
        )
    out.b_dec.sub_(W_enc @ out.b_enc)
    return result.mse_loss + result.penalty, result, d_threshold


def _of_l0(
    l0: Float[Tensor, " batch"], options: JumpOptions
) -> tuple[Float[Tensor, ""], Float[Tensor, " batch"]]:
    """Return the penalty on L0, and its gradient by the L0 of each token; of tanh none."""
    if options.mode == "tanh":
        return l0.new_zeros(()), torch.zeros_like(l0)
    weight = options.coefficient / len(l0)
    if options.mode == "step":
        return l0.sum() * weight, torch.full_like(l0, weight)
    above, weight = l0 - options.aim, 2 * weight / options.target_l0
    return above.square().sum() * weight, above * (2 * weight)


def _dense_step(
    centred: Tensor,
    W_enc: Tensor,
    b_enc: Tensor,
    W_dec: Tensor,
    norms: Tensor,
    threshold: Tensor,
    dead_acts: Tensor | None,
    options: JumpOptions,
    work: Workspace,
) -> tuple[JumpResult, Tensor, Tensor]:
    """Write the gradients by dense products; see `loss_and_gradients`."""
    out, batch, width = work.gradients, len(centred), options.bandwidth
    shape = (batch, len(b_enc))
    H = pre_acts(centred, W_enc, b_enc, work.empty("acts", *shape))
    if dead_acts is not None and options.dead is not None:
        torch.index_select(H, 1, options.dead, out=dead_acts)
    over = torch.sub(H, threshold, out=work.empty("over", *shape))
    share = 1.0
    if H.device.type == "cpu":
        entries = torch.count_nonzero(over > -width / 2) + torch.count_nonzero(over > 0)
        share = entries.item() / (2 * H.numel())
    acts = torch.ops.aten.threshold_backward.grad_input(H, over, 0, grad_input=H)
    active = over > 0
    factor, decoder = operand(acts), operand(W_dec)
    error = product(factor, decoder, work.empty("error", *centred.shape)).sub_(centred)
    mse_loss = torch.dot(error.view(-1), error.view(-1)) / batch
    G = torch.mul(error, 2 / batch, out=work.empty("G", *error.shape))
    product(factor.T, G, out.W_dec)
    D = product(G, decoder.T, work.empty("dH", *shape))
    penalty, by_l0 = _of_l0(active.sum(1).to(acts.dtype), options)
    by_norm = torch.zeros_like(norms)
    if options.mode == "tanh":
        weight, slope = options.coefficient / batch, options.tanh_scale
        found = torch.tanh(acts * (slope * norms))
        penalty = found.sum() * weight
        steep = found.square_().neg_().add_(1).mul_(slope * weight)
        by_norm = (steep * acts).sum(0)
        D += steep.mul_(norms)
    fired = active.any(0)
    n_active = torch.count_nonzero(active)
    near = over.div_(width).abs_() < 0.5
    of_step = torch.mul(D, threshold, out=over).add_(by_l0[:, None]).mul_(near).div_(width)
    d_threshold = of_step.sum(0).neg_()
    D.mul_(active)
    if options.to_input:
        D.add_(of_step)
    product(centred.T, D, out.W_enc)
    torch.sum(D, 0, out=out.b_enc)
    return JumpResult(mse_loss, penalty, error, n_active, fired, share), by_norm, d_threshold


def _sparse_step(
    centred: Tensor,
    W_enc: Tensor,
    b_enc: Tensor,
    W_dec: Tensor,
    norms: Tensor,
    threshold: Tensor,
    dead_acts: Tensor | None,
    options: JumpOptions,
    work: Workspace,
) -> tuple[JumpResult, Tensor, Tensor]:
    """Write the gradients by sums over the entries; see `loss_and_gradients`."""
    out, batch, d_sae = work.gradients, len(centred), len(b_enc)
    found = _encode(centred, W_enc, b_enc, threshold, dead_acts, options, work)
    ones = torch.ones_like(norms)
    kept = found.values > threshold.numpy()[found.latents]
    starts = np.concatenate(([0], np.cumsum(kept)))[found.starts]
    chosen = Selected(starts, found.latents[kept], found.values[kept])
    near, active = Pattern(found, ones), Pattern(chosen, ones)
    error = work.empty("error", *centred.shape)
    active.error(W_dec, centred, error)
    mse_loss = torch.dot(error.view(-1), error.view(-1)) / batch
    l0 = torch.from_numpy(np.diff(starts)).to(norms.dtype)
    penalty, by_l0 = _of_l0(l0, options)
    D = near.products(error, W_dec, 2 / batch)
    dtype = D.dtype
    tanh = options.coefficient / batch if options.mode == "tanh" else 0.0
    sums, d_threshold, by_norm, tanhs = (np.zeros(d_sae, dtype) for _ in range(4))
    kernels.gradients_of_jump(
        near.latent_starts, near.tokens, near.z_by_latent, D, threshold.numpy(), norms.numpy(),
        by_l0.numpy(), dtype.type(options.bandwidth), options.to_input,
        dtype.type(options.tanh_scale), dtype.type(tanh), sums, d_threshold, by_norm, tanhs,
    )  # fmt: skip
    if options.mode == "tanh":
        # An entry that is not near and not active has a tanh of 0, and no gradient.
        penalty = torch.from_numpy(tanhs).sum()
    into = out.W_enc.T if out.W_enc.T.is_contiguous() else torch.empty_like(W_dec)
    if options.to_input:
        near.sum_over_tokens(D, centred, into)
    else:
        kept = near.z_by_latent > np.repeat(threshold.numpy(), np.diff(near.latent_starts))
        active.sum_over_tokens(D[kept], centred, into)
    if into.data_ptr() != out.W_enc.data_ptr():
        out.W_enc.T.copy_(into)
    out.b_enc.copy_(torch.from_numpy(sums))
    active.sum_over_tokens(active.z_by_latent * (2 / batch), error, out.W_dec)
    share = (len(near) + len(active)) / (2 * batch * d_sae)
    n_active = torch.tensor(len(active))
    result = JumpResult(mse_loss, penalty, error, n_active, active.fired(), share)
    return result, torch.from_numpy(by_norm), torch.from_numpy(d_threshold)


def _encode(
    centred: Tensor,
    W_enc: Tensor,
    b_enc: Tensor,
    threshold: Tensor,
    dead_acts: Tensor | None,
    options: JumpOptions,
    work: Workspace,
) -> Selected:
    """Return the pre-activations that are active or near; fill in those of dead latents."""
    batch, d_sae = len(centred), len(b_enc)
    rows = min(max(BLOCK // d_sae, ROWS), batch)
    buffer = work.empty("block", rows, d_sae)
    bounds = (threshold - options.bandwidth / 2).numpy()
    starts = np.zeros(batch + 1, dtype=np.int64)
    latents = np.empty(rows * d_sae + 1, dtype=np.int32)
    values = np.empty(len(latents), dtype=bounds.dtype)
    parts = []
    for start in range(0, batch, rows):
        stop = min(start + rows, batch)
        block = pre_acts(centred[start:stop], W_enc, b_enc, buffer[: stop - start])
        if dead_acts is not None and options.dead is not None:
            torch.index_select(block, 1, options.dead, out=dead_acts[start:stop])
        its = starts[start : stop + 1]
        before = its[0]
        n = kernels.compress_above(block.numpy(), bounds, its, latents, values)
        its[1:] += before
        parts.append((latents[:n].copy(), values[:n].copy()))
    latents, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Selected(starts, latents, values)


def _add_pre_act_loss(
    dead_acts: Float[Tensor, "batch n_dead"],
    centred: Float[Tensor, "batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
    norms: Float[Tensor, " d_sae"],
    threshold: Float[Tensor, " d_sae"],
    options: JumpOptions,
    out: Gradients,
    d_threshold: Float[Tensor, " d_sae"],
) -> Float[Tensor, ""]:
    """Add the gradients of the penalty on dead latents' distance below their threshold."""
    dead, weight = options.dead, options.pre_act_coefficient / len(centred)
    assert dead is not None
    below = dead_acts.neg_().add_(threshold[dead]).relu_()
    lengths = norms[dead]
    sums = below.sum(0)
    dH = (below > 0).to(centred.dtype).mul_(-weight * lengths)
    by_enc = dH.sum(0)
    out.W_enc[:, dead] += torch.mm(dH.T, centred).T
    out.b_enc[dead] += by_enc
    d_threshold[dead] -= by_enc
    out.W_dec[dead] += W_dec[dead] * (weight * sums / lengths)[:, None]
    return torch.dot(sums, lengths) * weight
