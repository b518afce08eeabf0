"""A sweep of SAEs on cached activations: one pass over the data for all, or one SAE after another.

Both sides train, from the same rows in memory, at the size of the default study, and save each SAE
for inference. Ours takes a batch once for all points; it also calibrates and measures each SAE on
held-out rows, which SAELens' side does not do.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import saelens_trainer
from comparison import Comparison, Sides

if TYPE_CHECKING:
    from torch import Tensor

D_IN, D_SAE, BATCH, STEPS, LR = 384, 768, 512, 40, 3e-3
ROWS, HELD_OUT = 2**16, 2048
L0 = (32, 64, 16, 128, 8, 96, 160, 220)


class Rows:
    """Activations in memory, as half-precision numbers: a store and a stream of batches."""

    d_in, n_held_out, digest, norms = D_IN, HELD_OUT, "rows in memory", None

    def __init__(self) -> None:
        import torch

        generator = torch.Generator().manual_seed(1)
        spectrum = torch.arange(1, D_IN + 1) ** -0.5
        values = torch.randn(ROWS + HELD_OUT, D_IN, generator=generator) * spectrum + 0.1
        self.mean_norm = float(values.norm(dim=1).mean())
        self.values, self.rest = values[:ROWS].half(), values[ROWS:]
        self.order = torch.randperm(ROWS, generator=generator)

    def held_out(self, start: int, stop: int) -> Tensor:
        """Return held-out rows."""
        return self.rest[start:stop]

    def batch(self, step: int) -> Tensor:
        """Return the rows of a step."""
        start = step * BATCH % ROWS
        return self.values.index_select(0, self.order[start : start + BATCH]).float()


def our_sweep(rows: Rows, l0s: tuple[int, ...]) -> Callable[[], None]:
    """Return what trains and saves SAEs in one pass."""
    from correct_l0.metrics.decoder.along_training import measures
    from correct_l0.saes.settings import PointJob
    from correct_l0.saes.training.points import train_points

    training = {"training_tokens": BATCH * STEPS, "batch_tokens": BATCH, "lr": LR}

    def train() -> None:
        with tempfile.TemporaryDirectory() as folder:
            jobs = [
                PointJob(
                    Path(folder) / f"l0_{l0}",
                    json.dumps({"d_sae": D_SAE, "l0": l0, "training": training}),
                    0,
                )
                for l0 in l0s
            ]
            if failures := train_points(rows, rows, jobs, measures=measures()):
                raise RuntimeError(str(failures))

    return train


def their_sweep(rows: Rows, l0s: tuple[int, ...]) -> Callable[[], None]:
    """Return what trains and saves SAEs one after another."""
    scale = D_IN**0.5 / rows.mean_norm

    def train() -> None:
        for l0 in l0s:
            sae = saelens_trainer.batchtopk(D_IN, D_SAE, l0)
            batches = (rows.batch(step) * scale for step in itertools.count())
            saelens_trainer.trainer(sae, BATCH, STEPS, LR, batches).fit()
            with tempfile.TemporaryDirectory() as folder:
                saelens_trainer.save(sae, scale, folder)

    return train


def prepare(points: int) -> Sides:
    """Return both sweeps over the same rows."""
    rows = Rows()
    return {"ours": our_sweep(rows, L0[:points]), "rival": their_sweep(rows, L0[:points])}


COMPARISONS = [
    Comparison(
        name=f"sweep-{points}",
        room="saes",
        workload=f"sweep at {D_IN} x {D_SAE}, batch {BATCH}, {saelens_trainer.saes(points)}",
        rival=f"{saelens_trainer.NAME}, one after another",
        prepare=partial(prepare, points),
        unit="ms per step of all SAEs",
        units=STEPS,
        rounds=5 if points < 4 else 3,
        curve=("points", points),
    )
    for points in (1, 2, 4, 8)
]
