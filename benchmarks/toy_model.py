"""Time the toy model's generator and training against the authors' way, interleaved, in one run.

    python benchmarks/toy_model.py [--rounds N] [--group N] [--csv PATH]

Generator: the Cholesky factor and every threshold made anew for each batch, feature by feature, as
the authors do, against ours. Training: one SAE at a time in SAELens' trainer on such batches,
against a group of SAEs on one stream; both at the paper's size and per SAE and step, data included.
Ratios are medians over rounds, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "disabled")

import numpy as np
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
from scipy.stats import norm

from correct_l0.toy_model.features import Features, build_features
from correct_l0.toy_model.generator import Stream
from correct_l0.toy_model.sae import ToySae, random_weights
from correct_l0.toy_model.schedules import Fixed
from correct_l0.toy_model.settings import ToyModel
from correct_l0.toy_model.step import Workspace

BATCH, D_SAE, L0, LR = 1024, 50, 11, 3e-4
GENERATOR_STEPS, SAELENS_STEPS, GROUP_STEPS = 60, 40, 15


def batch_made_anew(features: Features) -> torch.Tensor:
    """Return a batch with nothing kept from the last: factor, thresholds, feature by feature."""
    root = torch.linalg.cholesky(torch.tensor(features.correlation, dtype=torch.float32))
    gaussians = root @ torch.randn(features.count, BATCH)
    fires = torch.zeros(BATCH, features.count)
    for feature in range(features.count):
        threshold = norm.ppf(1 - features.probabilities[feature])
        fires[:, feature] = (gaussians[feature] > threshold).float()
    magnitudes = torch.relu(torch.randn(BATCH, features.count) * 0.15 + 1)
    return (fires * magnitudes) @ torch.tensor(features.directions, dtype=torch.float32)


def saelens_trainer(batches: Iterator[torch.Tensor]) -> SAETrainer:
    """Return SAELens' trainer of its own BatchTopK SAE."""
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=100, d_sae=D_SAE, k=L0))
    cfg = SAETrainerConfig(
        total_training_samples=10**9,
        train_batch_size_samples=BATCH,
        lr=LR,
        lr_end=LR,
        device="cpu",
    )
    return SAETrainer(cfg, sae, batches)


def timed(run: Callable[[int], object], steps: int, units: int) -> float:
    """Return milliseconds per unit of work: `steps` calls, each of `units` units."""
    start = time.perf_counter()
    for step in range(steps):
        run(step)
    return 1000 * (time.perf_counter() - start) / (steps * units)


def main() -> None:
    """Run the comparisons, print the ratios, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--group", type=int, default=25)
    parser.add_argument("--csv", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    features = build_features(ToyModel())
    stream = Stream(features, 0, BATCH)
    trainer = saelens_trainer(iter(()))
    members = [
        ToySae(random_weights(100, D_SAE, 0), LR, Fixed(1 + i % 25)) for i in range(options.group)
    ]
    work = Workspace(BATCH, 100, D_SAE)

    def train_in_saelens(step: int) -> None:
        trainer._train_step(sae=trainer.sae, sae_in=batch_made_anew(features))
        trainer.n_training_steps += 1

    def train_group_step(step: int) -> None:
        batch = stream.batch(step)
        for member in members:
            member.step(batch, step, work)

    cases: dict[str, tuple[Callable[[int], object], int, int]] = {
        "batch, authors": (lambda step: batch_made_anew(features), GENERATOR_STEPS, 1),
        "batch, ours": (stream.batch, GENERATOR_STEPS, 1),
        "SAE-step, authors": (train_in_saelens, SAELENS_STEPS, 1),
        "SAE-step, ours": (train_group_step, GROUP_STEPS, options.group),
    }
    for run, _, _ in cases.values():
        timed(run, 5, 1)
    rows = []
    for number in range(options.rounds):
        found = {name: timed(*case) for name, case in cases.items()}
        rows.append({"round": number, **found})
        print("  ".join(f"{name} {ms:.3f} ms" for name, ms in found.items()), flush=True)
    for what in ("batch", "SAE-step"):
        ratios = [row[f"{what}, authors"] / row[f"{what}, ours"] for row in rows]
        print(
            f"{what}: {np.median(ratios):.1f}x as fast as the authors' way "
            f"({min(ratios):.1f} to {max(ratios):.1f} over {len(ratios)} rounds)"
        )
    if options.csv is not None:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with open(options.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
