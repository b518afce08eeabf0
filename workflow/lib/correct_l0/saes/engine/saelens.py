"""SAELens' own trainer, driven step by step: every architecture, and the reference for ours."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import sae_lens  # noqa: F401  (It registers the architectures.)
import torch
from jaxtyping import Float
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import get_sae_training_class
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from correct_l0.saes.engine.batchtopk import Losses
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.settings import SaeSettings


class SaelensTrainer:
    """Trains one SAE with SAELens; the same methods as `FusedTrainer`."""

    def __init__(self, settings: SaeSettings, d_in: int, seed: int, device: str) -> None:
        training = settings.training
        sae_class, _ = get_sae_training_class(settings.architecture)
        torch.manual_seed(seed)
        self._trainer: Any = SAETrainer(
            SAETrainerConfig(
                total_training_samples=settings.steps * training.batch_tokens,
                train_batch_size_samples=training.batch_tokens,
                lr=training.lr,
                lr_end=training.lr,
                lr_warm_up_steps=training.lr_warm_up_steps,
                lr_decay_steps=settings.decay_steps,
                dead_feature_window=training.dead_feature_window,
                device=device,
            ),
            sae_class(configuration(settings, d_in)).to(device),
            iter(()),
        )
        if training.freeze_decoder:
            self._trainer.sae.W_dec.requires_grad_(False)

    offset = 0.0
    """The penalty aims at the target itself."""

    @property
    def weights(self) -> Weights:
        """The SAE, in training units; of a gated one the encoder of the sizes."""
        sae = self._trainer.sae
        if hasattr(sae, "r_mag"):
            return Weights(sae.b_dec, sae.W_dec, sae.W_enc * sae.r_mag.exp(), sae.b_mag)
        return Weights(sae.b_dec, sae.W_dec, sae.W_enc, sae.b_enc)

    @property
    def threshold(self) -> Float[Tensor, " d_sae"]:
        """Pre-activations above which latents are active, in training units."""
        sae = self._trainer.sae
        if hasattr(sae, "r_mag"):
            return sae.b_mag - sae.r_mag.exp() * sae.b_gate
        return sae.threshold if hasattr(sae, "threshold") else torch.zeros_like(sae.b_enc)

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return what SAELens notes about the training of such an SAE, which ended at this L0."""
        details = self._trainer.sae.cfg.get_training_architecture_details()
        return {**details, "k": l0} if "k" in details else details

    @property
    def n_steps(self) -> int:
        """Steps done."""
        return self._trainer.n_training_steps

    def step(self, sae_in: Float[Tensor, "batch d_in"], l0: float | None = None) -> Losses:
        """Train on a batch in training units, at a target L0; None: the last one's."""
        sae = self._trainer.sae
        if l0 is not None and hasattr(sae.activation_fn, "k"):
            # TopK and AbsTopK take a whole number per token, BatchTopK any.
            sae.activation_fn.k = type(sae.cfg.k)(l0)
        elif l0 is not None:
            sae.cfg.target_l0 = l0
        output = self._trainer.step(sae_in)
        self._trainer.n_training_steps += 1
        active = torch.count_nonzero(output.feature_acts) / len(sae_in)
        losses = {name: torch.as_tensor(value) for name, value in output.losses.items()}
        mse_loss = losses.pop("mse_loss").detach()
        others = [value.detach() for value in losses.values()]
        aux_loss = sum(others[1:], others[0]) if others else torch.zeros_like(mse_loss)
        return Losses(mse_loss, aux_loss, output.loss.detach(), active)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        trainer = self._trainer
        return {
            "sae": trainer.sae.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "lr_scheduler": trainer.lr_scheduler.state_dict(),
            "coefficients": {
                name: scheduler.state_dict()
                for name, scheduler in trainer.coefficient_schedulers.items()
            },
            "n_forward_passes_since_fired": trainer.n_forward_passes_since_fired,
            "n_training_steps": trainer.n_training_steps,
            "n_training_samples": trainer.n_training_samples,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        trainer = self._trainer
        trainer.sae.load_state_dict(state["sae"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.lr_scheduler.load_state_dict(state["lr_scheduler"])
        for name, scheduler in trainer.coefficient_schedulers.items():
            scheduler.load_state_dict(state["coefficients"][name])
        since_fired = state["n_forward_passes_since_fired"]
        copy_exactly(trainer.n_forward_passes_since_fired, since_fired)
        trainer.n_training_steps = state["n_training_steps"]
        trainer.n_training_samples = state["n_training_samples"]


def build(
    settings: SaeSettings, d_in: int, seed: int, device: str, shared: object = None
) -> SaelensTrainer:
    """Return a trainer at step 0; it shares no memory."""
    return SaelensTrainer(settings, d_in, seed, device)


def configuration(settings: SaeSettings, d_in: int) -> Any:
    """Return SAELens' training configuration of a point."""
    declared = settings.declared
    _, made = get_sae_training_class(settings.architecture)
    known = {field.name for field in fields(made)}
    options = settings.options.saelens(settings.d_sae)
    swept = settings.coefficient if settings.l0 is None else settings.l0
    assert swept is not None
    options[declared.parameter] = int(swept) if declared.whole else swept
    if declared.warm_up:
        steps = math.ceil(options.pop("warm_up_fraction") * settings.steps)
        options[declared.warm_up] = steps
    if "aux_loss_coefficient" in known:
        options["aux_loss_coefficient"] = settings.training.aux_loss_coefficient
        options["rescale_acts_by_decoder_norm"] = True
    return made(d_in=d_in, d_sae=settings.d_sae, **options)
