"""JumpReLU SAEs, whose L0 is set through a penalty: lambda against L0, c_dec against L0."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.saes.engine.batchtopk import MAX_NORM
from correct_l0.saes.saved import SavedSae
from correct_l0.toy_model.experiment_settings import JumpRelu
from correct_l0.toy_model.experiments.training import Experiment, Tables
from correct_l0.toy_model.features import build_features
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.measure import MeasureSamples, measure_sae
from correct_l0.toy_model.sae import DEAD_AFTER, LOOK_EVERY


class JumpReluMember:
    """SAELens' JumpReLU SAE in training, a member of a group.

    Parameters
    ----------
    settings
        The experiment's settings.
    coefficient
        Coefficient of the penalty on L0.
    d_in, d_sae
        Widths.
    seed
        Seed of the initialisation.

    References
    ----------
    Anthropic, Circuits Updates, January 2025: tanh penalty, gradient of the threshold passed to the
    input, and a penalty on the pre-activations of dead latents.
    """

    def __init__(
        self, settings: JumpRelu, coefficient: float, d_in: int, d_sae: int, seed: int
    ) -> None:
        self.coefficient = coefficient
        self._warm_up = math.ceil(settings.warm_up_fraction * settings.training.steps)
        cfg = JumpReLUTrainingSAEConfig(
            d_in=d_in,
            d_sae=d_sae,
            jumprelu_init_threshold=settings.init_threshold,
            jumprelu_bandwidth=settings.bandwidth,
            jumprelu_sparsity_loss_mode="tanh",
            jumprelu_tanh_scale=settings.tanh_scale,
            jumprelu_ste_to_input=True,
            l0_coefficient=coefficient,
            pre_act_loss_coefficient=settings.pre_act_coefficient,
        )
        torch.manual_seed(seed)
        self.sae = JumpReLUTrainingSAE(cfg)
        self.optimizer = torch.optim.Adam(
            self.sae.parameters(), lr=settings.training.lr, fused=True
        )
        self.steps_since_fired = torch.zeros(d_sae, dtype=torch.int64)

    def step(self, x: Float[Tensor, "batch d_in"], step: int) -> None:
        """Train on one batch.

        Raises
        ------
        InputError
            If the loss is no longer finite.
        """
        coefficient = self.coefficient * min(1.0, (step + 1) / max(1, self._warm_up))
        output = self.sae.training_forward_pass(
            TrainStepInput(
                sae_in=x,
                coefficients={"l0": coefficient},
                dead_neuron_mask=self.steps_since_fired > DEAD_AFTER,
                n_training_steps=step,
                is_logging_step=False,
            )
        )
        if step % LOOK_EVERY == 0 and not bool(torch.isfinite(output.loss)):
            raise InputError(
                f"jumprelu, coefficient {self.coefficient:g}: the loss is not finite at step "
                f"{step}, it must stay finite; lower lr"
            )
        self.steps_since_fired.add_(1)
        self.steps_since_fired.masked_fill_((output.feature_acts > 0).any(dim=0), 0)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.sae.parameters(), MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "sae": self.sae.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps_since_fired": self.steps_since_fired,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.sae.load_state_dict(state["sae"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps_since_fired.copy_(state["steps_since_fired"])

    def inference_sae(self) -> SavedSae:
        """Return the SAE with its own thresholds and decoder rows of unit norm."""
        parts = (
            self.sae.W_enc, self.sae.b_enc, self.sae.W_dec, self.sae.b_dec, self.sae.threshold,
        )  # fmt: skip
        W_enc, b_enc, W_dec, b_dec, threshold = (part.detach().clone() for part in parts)
        norms = W_dec.norm(dim=1)
        return SavedSae(
            W_enc * norms, b_enc * norms, W_dec / norms[:, None], b_dec, threshold * norms,
            apply_b_dec_to_input=self.sae.cfg.apply_b_dec_to_input,
        )  # fmt: skip


def run(experiment: Experiment) -> Tables:
    """Train an SAE with every coefficient; return what L0 and c_dec they have.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, later versions, figure 7.
    """
    settings, seed = experiment.section, experiment.seed
    features = build_features(experiment.toy_model)
    training = settings.training
    members = [
        JumpReluMember(settings, coefficient, features.d_in, experiment.d_sae, seed)
        for coefficient in settings.coefficients
    ]
    stream = Stream(features, seed, training.batch_size)
    experiment.train_members(
        "coefficients", members, stream, training.steps,
        lambda member, batch, step: member.step(batch, step),
    )  # fmt: skip
    samples = MeasureSamples(features, experiment.samples)
    tables = Tables()
    for member in members:
        found = measure_sae(member.inference_sae(), samples)
        row = {
            "lambda": member.coefficient,
            "seed": seed,
            **found.row("l0_measured", "c_dec", "mean_best_cosine", "mse"),
        }
        tables.add("jumprelu", [row])
    return tables
