"""A small BatchTopK SAE in training: its weights, its Adam, and the course of its L0."""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.saes.engine.batchtopk import DECODER_NORM, MAX_NORM
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients
from correct_l0.saes.engine.workspace import Gradients
from correct_l0.saes.engine.workspace import Workspace as StepMemory
from correct_l0.toy_model.step import Adam, Weights, Workspace, batchtopk_gradient

DEAD_AFTER = 1000
"""Steps without firing after which a latent counts as dead: SAELens' default."""

LOOK_EVERY = 200
"""Steps between looks at whether the error still is finite."""


class Schedule(Protocol):
    """The course of L0 along the training."""

    def l0(self, step: int) -> float:
        """Return the target L0 of a step."""

    def observe(self, step: int, sae: ToySae, x: Tensor) -> None:
        """Look at the SAE after a step on the samples `x`."""

    def state_dict(self) -> dict[str, Any]:
        """Return what later steps depend on, and what is to be kept."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""


class ToySae:
    """One SAE in training, a member of a group.

    Parameters
    ----------
    weights
        Initial parameters; see `random_weights` and `weights_at`.
    lr
        Learning rate of Adam.
    schedule
        The course of L0.
    label
        How error messages name it.
    """

    def __init__(self, weights: Weights, lr: float, schedule: Schedule, label: str = "") -> None:
        self.weights, self.schedule, self.label = weights, schedule, label
        self.optimizer = Adam(len(weights.flat), lr)
        self.steps_since_fired = torch.zeros(len(weights.b_enc), dtype=torch.int64)
        self.guess: float | None = None
        self.wall_s = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Width of the samples and number of latents."""
        d_in, d_sae = self.weights.W_enc.shape
        return d_in, d_sae

    @torch.no_grad()
    def step(self, x: Float[Tensor, "batch d_in"], step: int, work: Workspace) -> None:
        """Train on one batch.

        Raises
        ------
        InputError
            If the error is no longer finite.
        """
        started = time.perf_counter()
        count = int(self.schedule.l0(step) * len(x))
        dead = self.steps_since_fired > DEAD_AFTER
        if bool(dead.any()):
            fired = self._gradient_with_dead(x, count, dead, work)
        else:
            facts = batchtopk_gradient(x, self.weights, count, self.guess, work)
            self.guess, fired = facts.smallest, facts.active > 0
        self.steps_since_fired.add_(1).masked_fill_(fired, 0)
        gradient = work.gradient.flat
        gradient.mul_((MAX_NORM / (gradient.norm() + 1e-6)).clamp_(max=1.0))
        self.optimizer.step_(self.weights.flat, gradient, work.scratch)
        if step % LOOK_EVERY == 0 and not bool(torch.isfinite(gradient.sum())):
            raise InputError(
                f"{self.label}: the error is not finite at step {step} with lr "
                f"{self.optimizer.lr:g}, it must stay finite; lower lr"
            )
        self.schedule.observe(step, self, x)
        self.wall_s += time.perf_counter() - started

    def _gradient_with_dead(
        self, x: Float[Tensor, "batch d_in"], count: int, dead: Tensor, work: Workspace
    ) -> Bool[Tensor, " d_sae"]:
        """Write the gradient with the auxiliary loss of dead latents; return which fired."""
        options = StepOptions(count, self.guess, dead.nonzero().view(-1), 1.0, sparse=False)
        W_enc, b_enc, W_dec, b_dec = self.weights
        memory = StepMemory(Gradients(*work.gradient))
        _, result, _ = loss_and_gradients(x, W_enc, b_enc, W_dec, b_dec, options, memory)
        self.guess = result.smallest
        return result.fired

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "weights": self.weights.flat,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "steps_since_fired": self.steps_since_fired,
            "guess": self.guess,
            "wall_s": self.wall_s,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.weights.flat.copy_(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.steps_since_fired.copy_(state["steps_since_fired"])
        self.guess, self.wall_s = state["guess"], state["wall_s"]


def random_weights(d_in: int, d_sae: int, seed: int) -> Weights:
    """Return decoder rows in random directions, the encoder their transpose, and no biases.

    The rows have the norm with which SAELens starts, and are Gaussian, where its own are uniform in
    each entry. A function of the seed and the widths alone: neither of L0 nor of the place in a
    group.
    """
    rows = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed))
    return weights_at(rows / rows.norm(dim=1, keepdim=True) * DECODER_NORM)


def weights_at(rows: Float[Tensor, "d_sae d_in"]) -> Weights:
    """Return weights with these decoder rows, the encoder their transpose, and no biases.

    With the true features as rows this is the ground-truth SAE.
    """
    d_sae, d_in = rows.shape
    weights = Weights(d_in, d_sae)
    weights.W_dec.copy_(rows)
    weights.W_enc.copy_(rows.T)
    return weights
