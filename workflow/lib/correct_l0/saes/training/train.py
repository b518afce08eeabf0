"""A point in training: its trainer, its history and its checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.saes.engine.batchtopk import Losses
from correct_l0.saes.engine.state import copy_exactly
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.engine.workspace import Workspace
from correct_l0.saes.settings import SaeSettings
from correct_l0.saes.training.checkpoint import Checkpoints
from correct_l0.saes.training.schedules import Measures, build_schedule
from correct_l0.saes.training.snapshots import directions_of
from correct_l0.saes.training.trainer import build_trainer

COLUMNS = ("mse_loss", "aux_loss", "loss", "l0_batch")
LOOK_EVERY = 50
"""Steps between looks at the losses: each look waits for the device."""
PARTS = 10
"""c_dec is measured this often along the training, to show whether it still moves."""
PRECISIONS = {"float32": "highest", "reduced": "medium"}


class Batches(Protocol):
    """A stream of batches that is a function of the step, so that training can go on anywhere."""

    def batch(self, step: int) -> Float[Tensor, "batch d_in"]:
        """Return the batch of one step, which is not to be changed."""


class Run:
    """A point in training; new ones stand at step 0.

    Parameters
    ----------
    settings, seed
        Of the point.
    d_in
        Width of the activations.
    device
        `cpu` or `cuda`.
    checkpoints
        Where its state is saved.
    measures
        What is measured along the way.
    scale
        Factor from raw activations to training units.
    shared
        Memory shared with other points that take turns; see `build_trainer`.
    start
        Weights to start from, in training units; unset: new ones.
    keep_snapshots
        Whether the decoder is kept at every tenth of the training.

    Attributes
    ----------
    trainer : Trainer
        The engine, with the SAE.
    schedule : Fixed
        The course of L0.
    history : Float[Tensor, "steps column"]
        `COLUMNS` per step, in training units, on the training device.
    c_dec : dict of int to float
        c_dec by number of steps, at every tenth of the training so far.
    snapshots : dict of int to Float[Tensor, "d_sae d_in"]
        The decoder by number of steps, at the same tenths but the last (`snapshots.directions_of`).
    resumed_from_step : int or None
        Where it was taken up.
    wall_s, wait_s : float
        Seconds spent training, and those of them spent waiting for data; before a resumption too.
    """

    def __init__(
        self,
        settings: SaeSettings,
        seed: int,
        d_in: int,
        device: str,
        checkpoints: Checkpoints,
        measures: Measures,
        scale: float,
        shared: dict[int, Workspace] | None = None,
        start: Weights | None = None,
        keep_snapshots: bool = False,
    ) -> None:
        self.settings, self.seed, self.checkpoints = settings, seed, checkpoints
        self._anew = lambda: (
            build_trainer(settings, d_in, seed, device, shared, start, scale),
            build_schedule(settings, measures, scale),
        )
        self.trainer, self.schedule = self._anew()
        self.history = torch.zeros(settings.steps, len(COLUMNS), device=device)
        self.c_dec: dict[int, float] = {}
        self.snapshots: dict[int, Tensor] = {}
        self.resumed_from_step: int | None = None
        self.wall_s = self.wait_s = 0.0
        self._c_dec, self._keep_snapshots = measures.c_dec, keep_snapshots
        self._fresh: list[Losses] = []
        self._checked = self._saved = 0
        parts = range(1, PARTS + 1)
        self._marks = {math.ceil(part * settings.steps / PARTS) for part in parts}

    @property
    def step(self) -> int:
        """The step that comes next."""
        return self.trainer.n_steps

    @property
    def ended(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.settings.steps

    def resume(self) -> None:
        """Take up the checkpoint, if there is one that is whole."""
        state = self.checkpoints.load()
        if state is None:
            return
        try:
            c_dec, times = dict(state["c_dec"]), (float(state["wall_s"]), float(state["wait_s"]))
            copy_exactly(self.history, state["history"])
            self.trainer.load_state_dict(state["trainer"])
            self.schedule.load_state_dict(state["schedule"])
            if not 0 < self.step <= self.settings.steps:
                raise ValueError(f"step {self.step} of {self.settings.steps}")
        except Exception:  # Whatever a state of other parts, types or sizes may raise.
            self.checkpoints.unused("is of another form")
            self.trainer, self.schedule = self._anew()
            self.history.zero_()
            return
        self.c_dec, (self.wall_s, self.wait_s) = c_dec, times
        self.snapshots = dict(state.get("snapshots", {})) if self._keep_snapshots else {}
        self.resumed_from_step = self._checked = self._saved = self.step
        print(f"{self.label}: going on from step {self.step} of {self.settings.steps}")

    @property
    def label(self) -> str:
        """How messages name the point."""
        return f"{self.settings.label}, seed {self.seed}"

    @property
    def looked_at(self) -> int:
        """Steps whose losses were looked at."""
        return self._checked

    @property
    def last(self) -> dict[str, float] | None:
        """`COLUMNS` of the last step that was looked at; None where none was."""
        if not self._checked:
            return None
        return dict(zip(COLUMNS, self.history[self._checked - 1].tolist(), strict=True))

    def train_step(self, sae_in: Float[Tensor, "batch d_in"], batches: Batches) -> None:
        """Train on the batch of the step that comes next, in training units.

        Parameters
        ----------
        sae_in
            The batch; not changed.
        batches
            Asked, where a loss is not finite, whether the batch was.

        Raises
        ------
        InputError
            If a loss is not finite; found within `LOOK_EVERY` steps, and before a state is saved.
        """
        started = time.perf_counter()
        with matmul_precision(self.settings):
            self._fresh.append(self.trainer.step(sae_in, self.schedule.l0(self.step)))
        self.schedule.observe(self.step - 1, self.trainer.weights, sae_in)
        marked = self.step in self._marks
        if marked or self.ended or self.step - self._checked >= LOOK_EVERY:
            self.check(batches)
        if marked:
            W_dec = self.trainer.weights.W_dec.detach()
            self.c_dec[self.step] = self._c_dec(W_dec)
            if self._keep_snapshots and not self.ended:
                self.snapshots[self.step] = directions_of(W_dec)
        self.wall_s += time.perf_counter() - started

    def check(self, batches: Batches) -> None:
        """Look at the losses since the last look.

        Raises
        ------
        InputError
            If one is not finite: bad data or a diverging run.
        """
        for column, values in enumerate(zip(*self._fresh, strict=True)):
            rows = torch.stack([torch.as_tensor(x, dtype=torch.float32) for x in values])
            self.history[self._checked : self.step, column] = rows
        self._fresh.clear()
        finite = self.history[self._checked : self.step].isfinite().all(dim=1)
        if not bool(finite.all()):
            raise self._failure(self._checked + int((~finite).nonzero()[0]), batches)
        self._checked = self.step

    def save(self, batches: Batches) -> None:
        """Write the checkpoint, unless it is there.

        Raises
        ------
        InputError
            If a loss is not finite.
        """
        if self.step == self._saved:
            return
        self.check(batches)
        state = {
            "trainer": self.trainer.state_dict(),
            "history": self.history,
            "schedule": self.schedule.state_dict(),
            "c_dec": dict(self.c_dec),
            "snapshots": dict(self.snapshots),
            "wall_s": self.wall_s,
            "wait_s": self.wait_s,
        }
        self.checkpoints.save(self.step, state)
        self._saved = self.step

    def _failure(self, step: int, batches: Batches) -> InputError:
        label = f"{self.label}, step {step}"
        if not bool(torch.isfinite(batches.batch(step)).all()):
            return InputError(
                f"{label}: the batch holds non-finite activations, every one must be finite; "
                "verify the activation cache and make the damaged shards again"
            )
        training = self.settings.training
        return InputError(
            f"{label}: the loss is non-finite with lr {self.settings.lr:g}, it must stay finite; "
            f"lower lr or raise lr_warm_up_steps (now {training.lr_warm_up_steps})"
        )


@contextmanager
def matmul_precision(settings: SaeSettings) -> Iterator[None]:
    """Compute matrix products as the settings say, within the block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[settings.training.precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
