"""sparsify's SAE, loss and optimisers, as its trainer takes a step: TopK, the decoder of unit norm.

Its trainer itself reads a language model; what it does with a batch of activations is done here in
its order.

References
----------
`Trainer.fit` of eai-sparsify 1.3; Gao et al., arXiv 2406.04093.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import package_version
from correct_l0.saes.engine.batchtopk import Losses
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.settings import SaeSettings

MULTI_TOPK_SHARE = 8
MOMENTUM = 0.95
"""Constants of its trainer."""


class SparsifyTrainer:
    """Trains one SAE with sparsify; the same methods as `FusedTrainer`."""

    def __init__(self, settings: SaeSettings, d_in: int, seed: int, device: str) -> None:
        self.settings = settings
        self.n_steps = 0
        self._sae = initial_coder(d_in, settings, seed, device)
        if settings.training.freeze_decoder:
            self._sae.W_dec.requires_grad_(False)
        self._optimizers, self._schedulers = optimizers(self._sae, settings)
        self._tokens_since_fired = torch.zeros(settings.d_sae, dtype=torch.long, device=device)

    @property
    def weights(self) -> Weights:
        """The SAE, in training units; with `signum` the mean of its steps, which it saves."""
        coder = self._sae
        values = (coder.b_dec, coder.W_dec, coder.encoder.weight, coder.encoder.bias)
        b_dec, W_dec, W_enc, b_enc = (self._in_use(value) for value in values)
        return Weights(b_dec, W_dec, W_enc.T, b_enc)

    def details(self, l0: float | None) -> dict[str, Any]:
        """Return how the SAE was trained, in sparsify's words."""
        training = self.settings.training
        return {
            "trainer": f"eai-sparsify {package_version('eai-sparsify')}",
            "optimizer": training.sparsify.optimizer,
            "lr": self.settings.lr,
            "lr_warmup_steps": training.lr_warm_up_steps,
            "auxk_alpha": training.aux_loss_coefficient,
            "dead_feature_threshold": self._dead_from,
            "multi_topk": training.sparsify.multi_topk,
            "normalize_decoder": True,
        }

    def step(self, sae_in: Float[Tensor, "batch d_in"], l0: float | None = None) -> Losses:
        """Train on a batch in training units, at a target L0; None: the point's."""
        coder, alpha = self._sae, self.settings.training.aux_loss_coefficient
        k = coder.cfg.k = int(l0 or self.settings.l0 or 0)
        if self.n_steps == 0:
            coder.b_dec.data = sae_in.mean(0)
        coder.set_decoder_norm_to_unit_norm()
        dead = self._tokens_since_fired > self._dead_from if alpha > 0 else None
        variance = (sae_in - sae_in.mean(0)).pow(2).sum()
        output = self._forward(coder, sae_in, dead_mask=dead, total_variance=variance)
        others = alpha * output.auxk_loss + output.multi_topk_fvu / MULTI_TOPK_SHARE
        (output.fvu + others).backward()
        if coder.W_dec.grad is not None:
            coder.remove_gradient_parallel_to_decoder_directions()
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        for scheduler in self._schedulers:
            scheduler.step()
        self._tokens_since_fired += len(sae_in)
        self._tokens_since_fired[output.latent_indices.flatten()] = 0
        self.n_steps += 1
        # With Multi-TopK these are the activations of more latents, the k largest among them.
        active = torch.count_nonzero(output.latent_acts, dim=1).clamp(max=k).sum() / len(sae_in)
        per_token = variance / len(sae_in)
        mse_loss, others = output.fvu.detach() * per_token, others.detach() * per_token
        return Losses(mse_loss, others, mse_loss + others, active)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "sae": self._sae.state_dict(),
            "optimizers": [each.state_dict() for each in self._optimizers],
            "schedulers": [each.state_dict() for each in self._schedulers],
            "tokens_since_fired": self._tokens_since_fired,
            "n_steps": self.n_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self._sae.load_state_dict(state["sae"])
        for each, saved in zip(self._optimizers, state["optimizers"], strict=True):
            each.load_state_dict(saved)
        for each, saved in zip(self._schedulers, state["schedulers"], strict=True):
            each.load_state_dict(saved)
        copy_exactly(self._tokens_since_fired, state["tokens_since_fired"])
        self.n_steps = state["n_steps"]

    @property
    def _dead_from(self) -> int:
        training = self.settings.training
        return training.dead_feature_window * training.batch_tokens

    @property
    def _forward(self) -> Any:
        """Its forward pass; it wraps it for bfloat16 on CUDA, which is a `reduced` precision."""
        forward: Any = type(self._sae).forward
        return forward if self.settings.training.precision == "reduced" else forward.__wrapped__

    def _in_use(self, value: Tensor) -> Tensor:
        """Return a weight as it is saved.

        A schedule-free optimiser trains between its mean and its last step. Its own way from one to
        the other and back would round the weights that training goes on with.
        """
        state = self._optimizers[0].state.get(value, {})
        return value.detach().lerp(state["z"], 1 - 1 / MOMENTUM) if "z" in state else value.detach()


def initial_coder(d_in: int, settings: SaeSettings, seed: int, device: str = "cpu") -> Any:
    """Return sparsify's SAE at its start, a function of the seed on every device.

    Raises
    ------
    InputError
        If sparsify is not installed.
    """
    if find_spec("sparsify") is None:
        raise InputError(
            "engine sparsify: eai-sparsify is not installed; install it, or use engine fused"
        )
    if device == "cpu":
        # Where Triton is installed, its kernels would be taken, and they need a GPU.
        os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
    from sparsify import SparseCoder, SparseCoderConfig

    config = SparseCoderConfig(
        num_latents=settings.d_sae,
        k=int(settings.l0 or 0),
        multi_topk=settings.training.sparsify.multi_topk,
    )
    torch.manual_seed(seed)
    return SparseCoder(d_in, config, dtype=torch.float32).to(device)


def optimizers(coder: Any, settings: SaeSettings) -> tuple[list[Any], list[Any]]:
    """Return the optimisers and learning rate schedules that its trainer would make.

    Parameters
    ----------
    coder
        The SAE.
    settings
        Of the point.
    """
    from schedulefree import ScheduleFreeWrapper
    from sparsify.muon import Muon
    from sparsify.sign_sgd import SignSGD
    from transformers import get_linear_schedule_with_warmup

    steps, warm_up, lr = settings.steps, settings.training.lr_warm_up_steps, settings.lr
    trained = [value for value in coder.parameters() if value.requires_grad]
    if settings.training.sparsify.optimizer == "signum":
        signum = ScheduleFreeWrapper(SignSGD(trained, lr=lr), momentum=MOMENTUM)
        signum.train()
        return [signum], []
    if settings.training.sparsify.optimizer == "adam":
        adam = torch.optim.Adam(trained, lr=lr)
        return [adam], [get_linear_schedule_with_warmup(adam, warm_up, steps)]
    muon = Muon([value for value in trained if value.ndim >= 2], lr=lr)
    adam = torch.optim.Adam([value for value in trained if value.ndim < 2], lr=lr)
    return [muon, adam], [
        get_linear_schedule_with_warmup(muon, 0, steps),
        get_linear_schedule_with_warmup(adam, warm_up, steps),
    ]
