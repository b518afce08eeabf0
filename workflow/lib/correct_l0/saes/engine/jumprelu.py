"""A JumpReLU SAE in training: its thresholds are learnt too."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.jobs.beside import to_device
from correct_l0.saes.architectures.jumprelu import JumpRelu
from correct_l0.saes.engine import sparse
from correct_l0.saes.engine.batchtopk import FusedTrainer, Losses
from correct_l0.saes.engine.building import Shared, build_as
from correct_l0.saes.engine.jump_step import JumpOptions, loss_and_gradients
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.engine.step import pre_acts
from correct_l0.saes.engine.weights import DECODER_NORM, Weights
from correct_l0.saes.engine.workspace import Workspace
from correct_l0.saes.settings import SaeSettings


class JumpReluTrainer(FusedTrainer):
    """Trains one JumpReLU SAE.

    Attributes
    ----------
    threshold : Float[Tensor, "d_sae"]
        Pre-activations above which latents are active, in training units; float32, as all weights
        are, whatever the precision of the products.
    offset : Float[Tensor, ""]
        How far the penalty's aim is off the target L0; see `JumpRelu.aim_fraction`.
    share : float
        Share of the entries that the last step's products had to run over.
    """

    def __init__(
        self, settings: SaeSettings, weights: Weights, work: Workspace | None = None
    ) -> None:
        options = settings.options
        assert isinstance(options, JumpRelu)
        self._own = options
        self.threshold = torch.full_like(weights.b_enc, options.jumprelu_init_threshold)
        self._d_threshold = torch.zeros_like(self.threshold)
        self.offset = self.threshold.new_zeros(())
        self.share = 1.0
        self._to_move = False
        self._warm_up_steps = options.warm_up_steps(settings.steps)
        super().__init__(settings, weights, work)

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return what SAELens notes about the training of such an SAE, which ended at this L0."""
        return {
            **self._own.model_dump(exclude={"warm_up_fraction", "aim_fraction"}),
            "l0_warm_up_steps": self._warm_up_steps,
            "decoder_init_norm": DECODER_NORM,
            "l0_coefficient": self._coefficient,
            "target_l0": l0,
        }

    def start_at(self, threshold: Float[Tensor, " trained"], offset: float | None = None) -> None:
        """Take up what a saved SAE has learnt besides its weights; see `Trainer`.

        At another L0 the first step moves all thresholds by as much, so that its batch has the
        target L0: the penalty alone would need most of a short training to get there.
        """
        self.threshold[: len(threshold)] = threshold
        if offset is None:
            self._to_move = True
        else:
            self.offset.fill_(offset)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        own = {"threshold": self.threshold, "offset": self.offset, "share": self.share}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        super().load_state_dict(state)
        copy_exactly(self.threshold, state["threshold"])
        copy_exactly(self.offset, state["offset"])
        self.share = state["share"]

    @property
    def _coefficient(self) -> float:
        swept = self.settings.coefficient
        return self._own.l0_coefficient if swept is None else swept

    def _trained(self) -> list[Tensor]:
        return [*super()._trained(), self.threshold]

    def _their_gradients(self) -> list[Tensor]:
        return [*super()._their_gradients(), self._d_threshold]

    def _losses_and_fired(
        self, sae_in: Float[Tensor, "batch d_in"], l0: float
    ) -> tuple[Losses, Bool[Tensor, " d_sae"]]:
        if self._to_move and not self.n_steps:
            self.threshold += self._move_to(sae_in, l0)
        self.threshold.clamp_(min=0)
        own, warm_up = self._own, self._warm_up_steps
        on_cpu, dead = sae_in.device.type == "cpu", self._dead()
        options = JumpOptions(
            mode=own.jumprelu_sparsity_loss_mode,
            coefficient=self._coefficient * (min(self.n_steps / warm_up, 1) if warm_up else 1),
            target_l0=l0,
            aim=l0 + self.offset,
            tanh_scale=own.jumprelu_tanh_scale,
            bandwidth=own.jumprelu_bandwidth,
            to_input=own.jumprelu_ste_to_input,
            pre_act_coefficient=own.pre_act_loss_coefficient,
            dead=None if dead is None else to_device(dead, sae_in.device),
            sparse=on_cpu and sparse.is_faster(self.share, sae_in),
        )
        b_dec, W_dec, W_enc, b_enc = self.weights
        loss, found, self._d_threshold = loss_and_gradients(
            sae_in, W_enc, b_enc, W_dec, b_dec, self.threshold, options, self._work
        )
        self.share = found.share
        active = found.active / len(sae_in)
        if own.has_target and own.aim_fraction and self.n_steps >= warm_up:
            self.offset -= (active - l0) / max(own.aim_fraction * self.settings.steps, 1)
        return Losses(found.mse_loss, found.penalty, loss, active), found.fired

    def _move_to(self, sae_in: Float[Tensor, "batch d_in"], l0: float) -> Float[Tensor, ""]:
        """Return what added to all thresholds makes so many latents of a batch active."""
        b_dec, _, W_enc, b_enc = self.weights
        over = pre_acts(sae_in - b_dec, W_enc, b_enc) - self.threshold
        wanted = min(max(round(l0 * len(sae_in)), 1), over.numel() - 1)
        largest = over.flatten().topk(wanted + 1).values
        return (largest[-2] + largest[-1]) / 2


def build(settings: SaeSettings, d_in: int, seed: int, device: str, shared: Shared) -> Any:
    """Return a JumpReLU trainer; see `building.build_as`."""
    return build_as(JumpReluTrainer, settings, d_in, seed, device, shared)
