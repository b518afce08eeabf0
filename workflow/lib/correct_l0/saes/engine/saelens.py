"""SAELens' own trainer, driven step by step: `engine: saelens`, the reference."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from correct_l0.saes.engine.batchtopk import Losses, Weights
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.settings import SaeSettings


class SaelensTrainer:
    """Trains one SAE with SAELens; the same methods as `FusedTrainer`."""

    def __init__(self, settings: SaeSettings, d_in: int, seed: int, device: str) -> None:
        training = settings.training
        cfg = BatchTopKTrainingSAEConfig(
            d_in=d_in,
            d_sae=settings.d_sae,
            k=settings.l0,
            aux_loss_coefficient=training.aux_loss_coefficient,
            rescale_acts_by_decoder_norm=True,
        )
        torch.manual_seed(seed)
        self._trainer = SAETrainer(
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
            BatchTopKTrainingSAE(cfg).to(device),
            iter(()),
        )

    @property
    def weights(self) -> Weights:
        """The SAE, in training units."""
        sae = self._trainer.sae
        return Weights(sae.b_dec, sae.W_dec, sae.W_enc, sae.b_enc)

    @property
    def n_steps(self) -> int:
        """Steps done."""
        return self._trainer.n_training_steps

    def step(self, sae_in: Float[Tensor, "batch d_in"], l0: float | None = None) -> Losses:
        """Train on a batch in training units, at a target L0; None: the last one's."""
        if l0 is not None:
            self._trainer.sae.activation_fn.k = l0
        output = self._trainer.step(sae_in)
        self._trainer.n_training_steps += 1
        active = torch.count_nonzero(output.feature_acts) / len(sae_in)
        losses = output.losses
        mse_loss, aux_loss = losses["mse_loss"], losses["auxiliary_reconstruction_loss"]
        return Losses(mse_loss.detach(), aux_loss.detach(), output.loss.detach(), active)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        trainer = self._trainer
        return {
            "sae": trainer.sae.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "lr_scheduler": trainer.lr_scheduler.state_dict(),
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
        since_fired = state["n_forward_passes_since_fired"]
        copy_exactly(trainer.n_forward_passes_since_fired, since_fired)
        trainer.n_training_steps = state["n_training_steps"]
        trainer.n_training_samples = state["n_training_samples"]
