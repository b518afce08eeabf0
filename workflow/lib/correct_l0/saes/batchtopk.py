"""SAELens' BatchTopK SAE with this project's training step, and the trainer that drives it."""

from __future__ import annotations

from typing import Any

import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.training.optim import get_lr_scheduler
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor
from typing_extensions import override

from correct_l0.saes import sparse
from correct_l0.saes.step import BatchTopKLoss, StepOptions, StepResult


class FusedBatchTopKSAE(BatchTopKTrainingSAE):
    """SAELens' BatchTopK SAE whose training forward pass is one function.

    Weights, loss, saved format and everything else are SAELens'. `use_sparse` chooses how the
    products run; unset, by the share of latents that are active.
    """

    use_sparse: bool | None = None
    last_smallest: float | None = None
    """Smallest activation selected in the last step: where the next one is looked for."""

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        sae_in = step_input.sae_in.to(self.dtype)
        mask = step_input.dead_neuron_mask
        dead = None if mask is None else mask.nonzero().view(-1)
        on_cpu = sae_in.device.type == "cpu"
        few = sparse.is_faster(self.cfg.k / self.cfg.d_sae)
        options = StepOptions(
            count=int(self.cfg.k * len(sae_in)),
            guess=self.last_smallest,
            dead=dead if dead is not None and len(dead) else None,
            aux_coefficient=self.cfg.aux_loss_coefficient,
            sparse=on_cpu and (few if self.use_sparse is None else self.use_sparse),
        )
        result: StepResult
        loss, result = BatchTopKLoss.apply(
            sae_in, self.W_enc, self.b_enc, self.W_dec, self.b_dec, options
        )
        self._update_threshold(result)
        return TrainStepOutput(
            sae_in=sae_in,
            sae_out=result.sae_out,
            feature_acts=result.acts,
            # The pre-activations are overwritten by the selection; SAELens' trainer needs none.
            hidden_pre=result.acts,
            loss=loss,
            losses={
                "mse_loss": result.mse_loss,
                "auxiliary_reconstruction_loss": result.aux_loss,
            },
            metrics={"topk_threshold": self.topk_threshold, "l0": result.kept / len(sae_in)},
        )

    @torch.no_grad()
    def _update_threshold(self, result: StepResult) -> None:
        self.last_smallest = result.smallest
        if result.smallest > 0:
            rate = self.cfg.topk_threshold_lr
            self.topk_threshold.mul_(1 - rate).add_(rate * result.smallest)
        else:
            self.update_topk_threshold(result.acts)


class FusedTrainer(SAETrainer[FusedBatchTopKSAE, BatchTopKTrainingSAEConfig]):
    """SAELens' trainer with Adam in one pass and without the statistics that only its log reads.

    Gradient clipping, schedules and the count of steps since a latent fired are SAELens'.
    """

    def __init__(self, cfg: SAETrainerConfig, sae: FusedBatchTopKSAE, data_provider: Any) -> None:
        super().__init__(cfg, sae, data_provider)
        betas = (cfg.adam_beta1, cfg.adam_beta2)
        self.optimizer = torch.optim.Adam(sae.parameters(), lr=cfg.lr, betas=betas, fused=True)
        self.lr_scheduler = get_lr_scheduler(
            cfg.lr_scheduler_name,
            lr=cfg.lr,
            optimizer=self.optimizer,
            warm_up_steps=cfg.lr_warm_up_steps,
            decay_steps=cfg.lr_decay_steps,
            training_steps=cfg.total_training_steps,
            lr_end=cfg.lr if cfg.lr_end is None else cfg.lr_end,
            num_cycles=cfg.n_restart_cycles,
        )

    @override
    def _train_step(self, sae: FusedBatchTopKSAE, sae_in: Tensor) -> TrainStepOutput:
        output = sae.training_forward_pass(
            TrainStepInput(
                sae_in=sae_in,
                dead_neuron_mask=self.dead_neurons,
                coefficients=self.get_coefficients(),
                n_training_steps=self.n_training_steps,
                is_logging_step=False,
            )
        )
        self.n_forward_passes_since_fired += 1
        self.n_forward_passes_since_fired[output.feature_acts.sum(0) > 0] = 0
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.lr_scheduler.step()
        return output
