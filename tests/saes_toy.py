"""A store and a stream small enough to train on in a second, and a process that trains on them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

D_IN, D_SAE, BATCH, STEPS = 16, 32, 128, 200
TRAINING = {"training_tokens": BATCH * STEPS, "batch_tokens": BATCH, "lr": 0.01}


class ToyStore:
    """Sums of a few random directions, of norm about 7."""

    d_in = D_IN
    n_training = BATCH * 50
    n_held_out = 9_000
    digest = "toy"
    norms = None

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        directions = torch.randn(D_SAE, D_IN, generator=generator)
        rows = self.n_training + self.n_held_out
        active = torch.rand(rows, D_SAE, generator=generator) < 4 / D_SAE
        strength = 1 + torch.rand(rows, D_SAE, generator=generator)
        noise = 0.1 * torch.randn(rows, D_IN, generator=generator)
        acts = (active * strength) @ directions + noise + 0.5
        self.training, self.rest = acts[: self.n_training], acts[self.n_training :]
        self.mean_norm = float(self.training.norm(dim=1).mean())

    def held_out(self, start, stop):
        return self.rest[start:stop]


class ToyBatches:
    """Batches as a function of the step; each takes at least `delay_s` and is announced."""

    def __init__(self, store, delay_s=0.0):
        self.store, self.delay_s = store, delay_s

    def batch(self, step):
        if self.delay_s:
            time.sleep(self.delay_s)
            print(f"step {step}", flush=True)
        start = step * BATCH % self.store.n_training
        return self.store.training[start : start + BATCH]


def settings(l0=4.5, **training):
    return json.dumps({"d_sae": D_SAE, "l0": l0, "training": {**TRAINING, **training}})


def settings_of(architecture, training=(), options=(), **swept):
    """Return settings of an architecture with its `options`; `swept` is `l0` or `coefficient`."""
    values = {"d_sae": D_SAE, "training": {**TRAINING, **dict(training)}, **swept}
    return json.dumps({**values, "architecture": {"name": architecture, **dict(options)}})


def train_toy(folder, text=None, *, seed=0, delay_s=0.0, batches=None, **options):
    """Train a toy point, unless it is there; returns its manifest."""
    from correct_l0.metrics.decoder.along_training import measures
    from correct_l0.saes.finished import still_to_train
    from correct_l0.saes.settings import PointJob
    from correct_l0.saes.training.points import train_points

    torch.set_num_threads(1)
    store = ToyStore()
    batches = batches or ToyBatches(store, delay_s)
    job = PointJob(Path(folder), text or settings(), seed)
    jobs = still_to_train([job], store.digest)
    for error in train_points(store, batches, jobs, **{"measures": measures(), **options}).values():
        raise error
    return json.loads((Path(folder) / "manifest.json").read_text())


def stop_at(folder, text, step, **options):
    """Train until a step asks to stop, as a signal does."""

    class Stopping(ToyBatches):
        def batch(self, at):
            if at == step:
                os.kill(os.getpid(), signal.SIGUSR1)
            return super().batch(at)

    with pytest.raises(SystemExit) as stopped:
        train_toy(folder, text, batches=Stopping(ToyStore()), **options)
    assert stopped.value.code == 128 + signal.SIGUSR1


if __name__ == "__main__":
    train_toy(sys.argv[1], sys.argv[2], delay_s=0.02, checkpoint_s=float(sys.argv[3]),
              snapshots=True)  # fmt: skip
