"""The training loop of one point: SAELens' trainer, driven step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from correct_l0.config_sections import format_l0
from correct_l0.decoder_metrics.cosine import mean_absolute_cosine
from correct_l0.errors import InputError
from correct_l0.saes.batchtopk import FusedBatchTopKSAE, FusedTrainer
from correct_l0.saes.checkpoint import Checkpoints, Interruption
from correct_l0.saes.settings import SaeSettings

COLUMNS = ("mse_loss", "aux_loss", "loss", "l0_batch")
LOOK_EVERY = 50
"""Steps between looks at the losses: each look waits for the device."""
PARTS = 10
"""c_dec is measured this often along the training, to show whether it still moves."""


class Batches(Protocol):
    """A stream of batches that is a function of the step, so that training can go on anywhere."""

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the raw activations of one step, float32."""


@dataclass
class Run:
    """A training run: what it trains, and its history so far."""

    trainer: SAETrainer[Any, Any]
    history: Float[Tensor, "steps column"]
    """`COLUMNS` per step, in training units, on the training device."""
    c_dec: dict[int, float]
    """c_dec by number of steps, at every tenth of the training so far."""
    resumed_from_step: int | None = None
    wall_s: float = 0.0
    """Seconds spent training, before a resumption too."""
    wait_s: float = 0.0
    """Seconds of these spent waiting for data."""


def build_sae(settings: SaeSettings, d_in: int, seed: int, **metadata: Any) -> BatchTopKTrainingSAE:
    """Return a new SAE on the CPU. Its weights are a function of the seed, not of L0.

    The decoder's rows are uniformly distributed and of norm 0.1, the encoder is its transpose,
    both biases are zero: SAELens' initialisation.
    """
    cfg = BatchTopKTrainingSAEConfig(
        d_in=d_in,
        d_sae=settings.d_sae,
        k=settings.l0,
        aux_loss_coefficient=settings.training.aux_loss_coefficient,
        rescale_acts_by_decoder_norm=True,
    )
    for name, value in metadata.items():
        cfg.metadata[name] = value
    torch.manual_seed(seed)
    return (FusedBatchTopKSAE if settings.training.engine == "fused" else BatchTopKTrainingSAE)(cfg)


def build_run(
    settings: SaeSettings, d_in: int, seed: int, device: str = "cpu", **metadata: Any
) -> Run:
    """Return a run at step 0; `metadata` goes into the saved SAE's configuration."""
    training = settings.training
    sae = build_sae(settings, d_in, seed, **metadata).to(device)
    cfg = SAETrainerConfig(
        total_training_samples=settings.steps * training.batch_tokens,
        train_batch_size_samples=training.batch_tokens,
        lr=training.lr,
        lr_end=training.lr,
        lr_warm_up_steps=training.lr_warm_up_steps,
        lr_decay_steps=settings.decay_steps,
        dead_feature_window=training.dead_feature_window,
        device=device,
    )
    trainer = (FusedTrainer if training.engine == "fused" else SAETrainer)(cfg, sae, iter(()))
    return Run(trainer, torch.zeros(settings.steps, len(COLUMNS), device=device), {})


def run_state(run: Run) -> dict[str, Any]:
    """Return all that the next step depends on, and the history."""
    trainer = run.trainer
    return {
        "sae": trainer.sae.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "lr_scheduler": trainer.lr_scheduler.state_dict(),
        "n_forward_passes_since_fired": trainer.n_forward_passes_since_fired,
        "n_training_steps": trainer.n_training_steps,
        "n_training_samples": trainer.n_training_samples,
        "history": run.history,
        "c_dec": dict(run.c_dec),
        "wall_s": run.wall_s,
        "wait_s": run.wait_s,
    }


def restore(run: Run, state: dict[str, Any]) -> None:
    """Bring a new run to a saved state."""
    trainer = run.trainer
    trainer.sae.load_state_dict(state["sae"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.lr_scheduler.load_state_dict(state["lr_scheduler"])
    trainer.n_forward_passes_since_fired.copy_(state["n_forward_passes_since_fired"])
    trainer.n_training_steps = state["n_training_steps"]
    trainer.n_training_samples = state["n_training_samples"]
    run.history.copy_(state["history"])
    run.c_dec = dict(state["c_dec"])
    run.wall_s, run.wait_s = state["wall_s"], state["wait_s"]
    run.resumed_from_step = trainer.n_training_steps


PRECISIONS = {"float32": "highest", "reduced": "medium"}


@contextmanager
def matmul_precision(settings: SaeSettings) -> Iterator[None]:
    """Compute matrix products as the settings say, within the block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[settings.training.precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def train(
    run: Run,
    batches: Batches,
    scale: float,
    checkpoints: Checkpoints,
    interruption: Interruption,
    *,
    fail: Callable[[int], InputError],
) -> None:
    """Train to the end, from wherever the run stands.

    Parameters
    ----------
    run
        A new or restored run; changed in place.
    batches
        Raw activations by step.
    scale
        Factor from raw activations to training units.
    checkpoints, interruption
        Where and when the state is saved; it is also saved at the end.
    fail
        Makes the error for the first step whose loss is not finite.

    Raises
    ------
    InputError
        If a loss is not finite.
    SystemExit
        If a signal asked to stop; the state is saved first.
    """
    trainer, steps = run.trainer, len(run.history)
    checked = trainer.n_training_steps
    marks = {math.ceil(part * steps / PARTS) for part in range(1, PARTS + 1)}
    while trainer.n_training_steps < steps:
        step = trainer.n_training_steps
        last = step + 1 == steps
        started = time.perf_counter()
        batch = batches.batch(step)
        waited = time.perf_counter() - started
        output = trainer.step(batch.to(trainer.sae.device, non_blocking=True) * scale)
        _record(run.history[step], output)
        trainer.n_training_steps += 1
        due = interruption.due() or last
        marked = trainer.n_training_steps in marks
        if due or marked or trainer.n_training_steps - checked >= LOOK_EVERY:
            finite = run.history[checked : step + 1].isfinite().all(dim=1)
            if not bool(finite.all()):
                raise fail(checked + int((~finite).nonzero()[0]))
            checked = step + 1
        if marked:
            W_dec = trainer.sae.W_dec.detach()
            run.c_dec[trainer.n_training_steps] = mean_absolute_cosine(W_dec)
        run.wait_s += waited
        run.wall_s += time.perf_counter() - started
        if due:
            checkpoints.save(trainer.n_training_steps, run_state(run))
            interruption.leave_if_asked()


def _record(row: Float[Tensor, " column"], output: Any) -> None:
    row[0] = output.losses["mse_loss"].detach()
    row[1] = output.losses["auxiliary_reconstruction_loss"].detach()
    row[2] = output.loss.detach()
    if "l0" in output.metrics:
        row[3] = output.metrics["l0"]
    else:
        row[3] = torch.count_nonzero(output.feature_acts) / len(output.feature_acts)


def non_finite(settings: SaeSettings, seed: int, batches: Batches) -> Callable[[int], InputError]:
    """Return what makes the error for a non-finite loss: bad data or a diverging run."""

    def fail(step: int) -> InputError:
        label = f"l0 {format_l0(settings.l0)}, seed {seed}, step {step}"
        if not bool(torch.isfinite(batches.batch(step)).all()):
            return InputError(
                f"{label}: the batch holds non-finite activations, every one must be finite; "
                "verify the activation cache and make the damaged shards again"
            )
        training = settings.training
        return InputError(
            f"{label}: the loss is non-finite with lr {training.lr:g}, it must stay finite; "
            f"lower lr or raise lr_warm_up_steps (now {training.lr_warm_up_steps})"
        )

    return fail
