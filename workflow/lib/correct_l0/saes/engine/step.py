r"""One step of BatchTopK, TopK or Matryoshka: its loss and gradients, without autograd.

With `rescale_acts_by_decoder_norm` SAELens selects on H * n, where H = (x - b_dec) W_enc + b_enc
and n = ||W_dec||, and divides n out again before decoding. The gradient through n cancels exactly,
so that with z = H where selected, else 0:

    x_hat = z W_dec + b_dec,    E = x_hat - x,    loss = ||E||^2 / b,    G = 2 E / b
    dH = (G W_dec^T) where selected,    dW_dec = z^T G,    dW_enc = (x - b_dec)^T dH
    db_enc = 1^T dH,    db_dec = 1^T G - W_enc db_enc

One dense product (the encoder) and four on the non-zeros of z: as dense products with a mask, or
as sums over the non-zeros where these are few. With sums on a CPU the batch is encoded in blocks of
tokens, and of each block only the values that may be selected are kept: far fewer than batch x
d_sae, but for a batch of one block, or where the guess was too high and all positive ones may be.
The auxiliary loss touches the dead columns only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.jobs.beside import to_device
from correct_l0.saes.engine import nested, sparse
from correct_l0.saes.engine.dense import DensePattern
from correct_l0.saes.engine.products import operand, product
from correct_l0.saes.engine.rows import keep_largest_of_rows_, select_largest_of_rows
from correct_l0.saes.engine.selection import keep_largest_, select_largest
from correct_l0.saes.engine.workspace import Gradients, Workspace

if TYPE_CHECKING:
    from correct_l0.saes.engine.device_pattern import DevicePattern

    Pattern: TypeAlias = DensePattern | sparse.Pattern | DevicePattern


@dataclass
class StepResult:
    """What one step found besides the loss; plain tensors, no gradient."""

    mse_loss: Float[Tensor, ""]
    """Squared error per token, summed over d_in."""
    aux_loss: Float[Tensor, ""]
    """The auxiliary loss, its coefficient applied."""
    error: Float[Tensor, "batch d_in"]
    """Reconstruction less the batch."""
    selected: Pattern
    """The selected activations."""
    smallest: float | Float[Tensor, ""]
    """Smallest activation selected."""
    kept: int | Tensor
    """Number of activations selected."""
    inner_loss: Float[Tensor, ""]
    """What the prefixes of a Matryoshka SAE add to the loss, their weights applied."""

    @property
    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Which latents are active for any token."""
        return self.selected.fired()


@dataclass
class StepOptions:
    """What a step needs besides the batch and the weights."""

    count: int
    """How many activations the batch keeps."""
    guess: float | Float[Tensor, ""] | None
    """Where the smallest of them may lie; no effect on the result."""
    dead: Int[Tensor, " n_dead"] | None
    """Columns of the dead latents, ascending, in the host's memory; None: no auxiliary loss."""
    aux_coefficient: float
    """Weight of the auxiliary loss."""
    sparse: bool
    """Whether the products with z run over its non-zeros."""
    kernels: bool = False
    """Whether selection and products are a GPU's kernels; else the CPU's."""
    per_token: int | None = None
    """How many activations every token keeps, where not the batch as a whole selects."""
    levels: nested.Levels | None = None
    """The prefixes of a Matryoshka SAE."""

    @property
    def guess_at_hand(self) -> float | None:
        """The guess, where it is no number of the device; None: there is none."""
        return None if isinstance(self.guess, Tensor) else self.guess


@torch.no_grad()
def loss_and_gradients(
    sae_in: Float[Tensor, "batch d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    W_dec: Float[Tensor, "d_sae d_in"],
    b_dec: Float[Tensor, " d_in"],
    options: StepOptions,
    work: Workspace | None = None,
) -> tuple[Float[Tensor, ""], StepResult, Gradients]:
    """Return the loss of one batch, what else the step found, and the gradients.

    Parameters
    ----------
    sae_in
        The batch, in training units.
    W_enc, b_enc, W_dec, b_dec
        The weights. A sparse step is fastest if `W_enc.T` is contiguous.
    options
        See `StepOptions`.
    work
        Memory to write to, such as the last step's; None: new. What is returned lies in it.

    References
    ----------
    The equations of this module; SAELens 6, `BatchTopKTrainingSAE.training_forward_pass`.
    """
    work = Workspace(Gradients.empty_like(W_enc, W_dec)) if work is None else work
    out, (batch, d_in) = work.gradients, sae_in.shape
    norms = W_dec.norm(dim=-1)
    centred = torch.sub(sae_in, b_dec, out=work.empty("centred", batch, d_in))
    dead_at_hand, levels = options.dead, options.levels
    if dead_at_hand is not None:
        options = replace(options, dead=to_device(dead_at_hand, sae_in.device))
    dead = options.dead
    dead_acts = None if dead is None else centred.new_empty(len(centred), len(dead))
    selected, smallest, kept = _select(centred, W_enc, b_enc, norms, dead_acts, options, work)
    inner_loss, own = centred.new_zeros(()), None
    if levels is not None:
        error, inner_loss, own = nested.decode_and_gradients(
            selected, centred, W_dec, levels, work, keep_errors=dead is not None
        )
    else:
        error = work.empty("error", batch, d_in)
        selected.error(W_dec, centred, error)
        selected.write_gradients(centred, error, W_dec, 2 / batch, out)
    mse_loss = torch.dot(error.view(-1), error.view(-1)) / len(error)
    aux_loss = torch.zeros_like(mse_loss)
    if dead is not None and dead_acts is not None and dead_at_hand is not None:
        parts = nested.parts(dead, dead_acts, error, levels, own, dead_at_hand)
        for its_dead, its_acts, its_error in parts:
            aux_loss += _add_auxiliary(
                its_dead, its_acts, centred, its_error, W_dec, norms, options, out
            )
    out.b_dec.sub_(W_enc @ out.b_enc)
    result = StepResult(mse_loss, aux_loss, error, selected, smallest, kept, inner_loss)
    return mse_loss + inner_loss + aux_loss, result, out


def _select(
    centred: Float[Tensor, "batch d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    norms: Float[Tensor, " d_sae"],
    dead_acts: Float[Tensor, "batch n_dead"] | None,
    options: StepOptions,
    work: Workspace,
) -> tuple[Pattern, float | Tensor, int | Tensor]:
    """Return the selected activations, the smallest of them, and how many there are.

    Those of dead latents are filled in.
    """
    if options.sparse and not options.kernels:
        pattern, smallest = _encode_sparse(centred, W_enc, b_enc, norms, dead_acts, options, work)
        return pattern, smallest, len(pattern)
    acts = work.empty("acts", len(centred), len(b_enc))
    if options.kernels:
        # They are compiled, and so imported, where they are used alone.
        from correct_l0.saes.engine.device_select import select

        product(operand(centred), W_enc, acts)
        if dead_acts is not None and options.dead is not None:
            torch.index_select(acts, 1, options.dead, out=dead_acts)
            dead_acts.add_(b_enc[options.dead]).mul_(norms[options.dead])
        found, edge = select(acts, b_enc, norms, options, work)
        return found, edge.smallest, edge.kept
    selected = pre_acts(centred, W_enc, b_enc, acts).mul_(norms)
    if dead_acts is not None and options.dead is not None:
        torch.index_select(selected, 1, options.dead, out=dead_acts)
    smallest, kept = 0.0, 0
    if options.per_token is not None:
        kept = keep_largest_of_rows_(selected, options.per_token)
    else:
        smallest, kept = keep_largest_(selected, options.count, options.guess_at_hand)
    return DensePattern(selected, norms, work), smallest, kept


def pre_acts(
    centred: Float[Tensor, "rows d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    out: Float[Tensor, "rows d_sae"] | None = None,
) -> Float[Tensor, "rows d_sae"]:
    """Return the pre-activations.

    On a CPU a product is slower if it starts from the bias; of bfloat16 it cannot.
    """
    factor = operand(centred)
    if factor.device.type == "cpu" or factor is not centred:
        return product(factor, W_enc, out).add_(b_enc)
    return torch.addmm(b_enc, centred, W_enc, out=out)


BLOCK = 2**20
"""Pre-activations per block of the encoder: few enough to be selected from while still in cache."""
ROWS = 256
"""Fewest tokens per block: with fewer the product is slower than the whole batch's."""


def _encode_sparse(
    centred: Float[Tensor, "batch d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    norms: Float[Tensor, " d_sae"],
    dead_acts: Float[Tensor, "batch n_dead"] | None,
    options: StepOptions,
    work: Workspace,
) -> tuple[sparse.Pattern, float]:
    """Return the selected activations and the smallest of them; fill in those of dead latents."""
    batch, d_sae = len(centred), len(b_enc)
    rows = min(max(BLOCK // d_sae, ROWS), batch)
    buffer = work.empty("block", rows, d_sae)

    def encode(start: int, stop: int) -> Tensor:
        block = pre_acts(centred[start:stop], W_enc, b_enc, buffer[: stop - start])
        if dead_acts is not None and options.dead is not None:
            part = dead_acts[start:stop]
            torch.index_select(block, 1, options.dead, out=part)
            part.mul_(norms[options.dead])
        return block

    if options.per_token is not None:
        found = select_largest_of_rows(encode, norms, batch, rows, options.per_token)
    else:
        found = select_largest(encode, norms, batch, rows, options.count, options.guess_at_hand)
    return sparse.Pattern(found, norms), found.smallest


def _add_auxiliary(
    dead: Int[Tensor, " n_dead"],
    dead_acts: Float[Tensor, "batch n_dead"],
    centred: Float[Tensor, "batch d_in"],
    error: Float[Tensor, "batch d_in"],
    W_dec: Float[Tensor, "d_sae d_in"],
    norms: Float[Tensor, " d_sae"],
    options: StepOptions,
    out: Gradients,
) -> Float[Tensor, ""]:
    """Add the gradients of the dead latents' reconstruction of the error; return its loss.

    Up to d_in / 2 dead latents per token, those with the largest pre-activations, negative ones
    included, reconstruct the residual x - x_hat without a bias; fewer dead latents than d_in / 2
    count for proportionally less. The residual is a constant.
    """
    W_dead = W_dec[dead]
    k_aux, n_dead = error.shape[-1] // 2, dead_acts.shape[-1]
    weight = options.aux_coefficient * min(n_dead / k_aux, 1.0)
    chosen = None
    if n_dead > k_aux:
        top = dead_acts.topk(k_aux, dim=-1, sorted=False).indices
        chosen = torch.zeros_like(dead_acts).scatter_(-1, top, 1.0)
    aux_acts = dead_acts.div_(norms[dead])
    if chosen is not None:
        aux_acts.mul_(chosen)
    aux_error = torch.addmm(error, aux_acts, W_dead)
    loss = torch.dot(aux_error.view(-1), aux_error.view(-1)) * (weight / len(error))
    dH = torch.mm(aux_error, W_dead.T)
    if chosen is not None:
        dH.mul_(chosen)
    scale = 2 * weight / len(error)
    out.W_enc[:, dead] += torch.mm(dH.T, centred).mul_(scale).T
    out.W_dec[dead] += torch.mm(aux_acts.T, aux_error).mul_(scale)
    out.b_enc[dead] += dH.sum(0).mul_(scale)
    return loss
