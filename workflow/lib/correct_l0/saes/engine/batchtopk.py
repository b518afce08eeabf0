"""A BatchTopK SAE in training: its weights, its Adam and its dead latents; the base of the others.

The numbers are those of SAELens' trainer, whose import takes longer than all others of a training
job together: `engine: saelens` is the reference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.jobs.beside import to_host
from correct_l0.saes.engine import sparse
from correct_l0.saes.engine.building import Shared, build_as
from correct_l0.saes.engine.learning_rates import learning_rates
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.weights import DECODER_NORM, Weights, in_memory
from correct_l0.saes.engine.workspace import Gradients, Workspace
from correct_l0.saes.settings import SaeSettings

BETAS = (0.9, 0.999)
EPSILON = 1e-8
"""Adam's constants: SAELens' and torch's defaults."""
MAX_NORM = 1.0
"""Longest gradient, over all weights, beyond which it is scaled down."""


class Losses(NamedTuple):
    """What is kept of a training step: losses per token in training units, and the batch's L0."""

    mse_loss: Float[Tensor, ""]
    aux_loss: Float[Tensor, ""]
    loss: Float[Tensor, ""]
    l0: float | Float[Tensor, ""]


class FusedTrainer:
    """Trains one SAE with this project's training step.

    Parameters
    ----------
    settings
        Of the point.
    weights
        Initial weights, on the device to train on; changed in place.
    work
        Memory, of use within a step only: trainers that take turns can share it.

    Attributes
    ----------
    weights : Weights
        The SAE, in training units.
    n_steps : int
        Steps done.
    since_fired : Float[Tensor, "d_sae"]
        Steps since each latent fired. Others may write to it before the first step.
    guess : float or Float[Tensor, ""] or None
        Smallest activation selected in the last step: where the next one is looked for. No effect
        on the result.
    """

    def __init__(
        self, settings: SaeSettings, weights: Weights, work: Workspace | None = None
    ) -> None:
        self.settings = settings
        self.weights = weights
        self.n_steps = 0
        self.since_fired = torch.zeros_like(weights.b_enc, dtype=torch.float32)
        self.guess: float | Float[Tensor, ""] | None = None
        self._rates = learning_rates(settings)
        self._work = work or Workspace(Gradients.empty_like(weights.W_enc, weights.W_dec))
        self._means = [torch.zeros_like(value) for value in self._trained()]
        self._squares = [torch.zeros_like(value) for value in self._trained()]
        self._counts = [torch.zeros((), device=value.device) for value in self._trained()]
        self._none_dead_before = 0
        self._sent: tuple[Tensor, torch.cuda.Event | None] | None = None

    def start_at(self, threshold: Float[Tensor, " trained"], offset: float | None = None) -> None:
        """Take up the thresholds of a saved SAE: none, as it selects over the batch or token."""

    def step(self, sae_in: Float[Tensor, "batch d_in"], l0: float | None = None) -> Losses:
        """Train on a batch in training units, at a target L0; None: the point's."""
        l0 = float(self.settings.l0 or 0) if l0 is None else l0
        losses, fired = self._losses_and_fired(sae_in, l0)
        self.since_fired += 1
        self.since_fired.masked_fill_(fired, 0)
        self._update()
        self.n_steps += 1
        # Looked at by the next step, which so waits for this one, not for what came after it.
        looks = self.n_steps >= self._none_dead_before
        self._sent = to_host(self.since_fired) if looks else None
        return losses

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return what SAELens notes about the training of such an SAE, which ended at this L0."""
        return {**self._shared_details(), "k": l0, "topk_threshold_lr": 0.01}

    def _shared_details(self) -> dict[str, Any]:
        """Return what SAELens notes of every SAE that selects the largest activations."""
        return {
            "aux_loss_coefficient": self.settings.training.aux_loss_coefficient,
            "decoder_init_norm": DECODER_NORM,
            "rescale_acts_by_decoder_norm": True,
            "use_sparse_activations": False,
        }

    def _losses_and_fired(
        self, sae_in: Float[Tensor, "batch d_in"], l0: float
    ) -> tuple[Losses, Bool[Tensor, " d_sae"]]:
        """Write the gradients of a batch; return its losses and which latents fired."""
        b_dec, W_dec, W_enc, b_enc = self.weights
        options = self._options(sae_in, l0)
        loss, result, _ = loss_and_gradients(
            sae_in, W_enc, b_enc, W_dec, b_dec, options, self._work
        )
        self.guess = result.smallest
        others = result.inner_loss + result.aux_loss
        return Losses(result.mse_loss, others, loss, result.kept / len(sae_in)), result.fired

    def _options(self, sae_in: Float[Tensor, "batch d_in"], l0: float) -> StepOptions:
        return StepOptions(
            count=int(l0 * len(sae_in)),
            guess=self.guess,
            dead=self._dead(),
            aux_coefficient=self.settings.training.aux_loss_coefficient,
            sparse=self._sparse(sae_in, l0),
            kernels=sae_in.device.type != "cpu",
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "weights": list(self.weights),
            "means": self._means,
            "squares": self._squares,
            "counts": self._counts,
            "since_fired": self.since_fired,
            "n_steps": self.n_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        pairs = [
            *zip(self.weights, state["weights"], strict=True),
            *zip(self._means, state["means"], strict=True),
            *zip(self._squares, state["squares"], strict=True),
            *zip(self._counts, state["counts"], strict=True),
            (self.since_fired, state["since_fired"]),
        ]
        for value, saved in pairs:
            copy_exactly(value, saved)
        self.n_steps = state["n_steps"]
        self._none_dead_before, self._sent = 0, None

    def _trained(self) -> list[Tensor]:
        """Return what Adam changes, in the order in which SAELens sums the gradients' norms."""
        return in_memory(self.weights)

    def _their_gradients(self) -> list[Tensor]:
        """Return the gradients of what Adam changes."""
        return in_memory(self._work.gradients)

    def _sparse(self, sae_in: Tensor, l0: float) -> bool:
        if sae_in.device.type == "cpu":
            return sparse.is_faster(l0 / self.settings.d_sae, sae_in)
        return self.settings.training.over_selected(l0, self.settings.d_sae)

    def _dead(self) -> Int[Tensor, " n_dead"] | None:
        """Return the latents that have not fired for longer than the window; None: there is none.

        They are in the host's memory. Looked up only from the step on at which one can be dead: on
        CUDA each look waits for the SAE's last step.
        """
        window = self.settings.training.dead_feature_window
        if self.n_steps < self._none_dead_before:
            return None
        since_fired, there = self._sent or to_host(self.since_fired)
        if there is not None:
            there.synchronize()
        dead = (since_fired > window).nonzero().view(-1)
        if len(dead):
            return dead
        self._none_dead_before = self.n_steps + window + 1 - int(since_fired.max())
        return None

    def _update(self) -> None:
        """Clip the gradients and update the weights by Adam, in one pass over each.

        The kernel itself: what `torch.optim.Adam` does around it imports torch's compiler, as slow
        as torch itself, and takes longer than the kernel where an SAE is small.
        """
        if self.settings.training.freeze_decoder:
            # Adam then takes no step, and the other gradients are clipped by their own norm.
            self._work.gradients.W_dec.zero_()
        gradients = self._their_gradients()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        scale = norm.add_(1e-6).div_(MAX_NORM).clamp_(min=1).float()
        state = (self._trained(), gradients, self._means, self._squares)
        rate = self._rates[self.n_steps]
        torch._foreach_add_(self._counts, 1)
        if norm.is_cuda:
            from correct_l0.saes.engine import device_adam

            device_adam.update(*state, scale, self.n_steps + 1, rate, BETAS, EPSILON)
            return
        torch._fused_adam_(
            *state, [], self._counts, grad_scale=scale, amsgrad=False, beta1=BETAS[0],
            beta2=BETAS[1], lr=rate, weight_decay=0.0, eps=EPSILON, maximize=False,
        )  # fmt: skip


def build(settings: SaeSettings, d_in: int, seed: int, device: str, shared: Shared) -> Any:
    """Return a BatchTopK trainer; see `building.build_as`."""
    return build_as(FusedTrainer, settings, d_in, seed, device, shared)
