"""Few features, one correlated with all others: what a low L0 mixes, feature by feature.

Its SAEs also start from the truth, which no study does: they are trained here, each with the one
training step of all studies, on worlds that are made in memory.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.recovery.matching import match_features, ordered_cosines
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import replacing, write_manifest
from correct_l0.saes import RECIPE as SAES_RECIPE
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.weights import Weights, initial_weights
from correct_l0.saes.engine.workspace import Gradients, Workspace
from correct_l0.saes.settings import SaeSettings
from correct_l0.saes.training_settings import Training
from correct_l0.settings.canonical import canonical
from correct_l0.sources.synthetic.generator import Stream
from correct_l0.sources.synthetic.make import survey
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.world import World, build_world

RECIPE = 1
FEATURES, D_IN, PROBABILITY = 5, 20, 0.4
TRUE_L0 = FEATURES * PROBABILITY
PAPERS_TRAINING = Training(training_tokens=15_000_000, batch_tokens=1024)

Run = tuple[str, float, str]
"""What a run is for, its L0, and where it starts: `random` or `truth`."""


@dataclass(frozen=True)
class SmallModel:
    """What is trained."""

    correlations: tuple[float, ...] = (0.4, -0.4)
    """Correlations of feature 0 with each other one, for the comparison of starts."""
    low_l0: float = 1.8
    """An L0 below the true one."""
    mixing_correlations: tuple[float, ...] = (
        -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5,
    )  # fmt: skip
    """Correlations over which mixing is measured at `low_l0`."""
    mixing_l0: tuple[float, ...] = (1.7, 1.75, 1.8, 1.85, 1.9, 1.95, 2.0)
    """L0 over which mixing is measured."""
    training: Training = PAPERS_TRAINING
    """How each SAE is trained."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of directions, starts and samples."""

    def settings(self) -> str:
        """Return what the numbers depend on, as one string."""
        parts = asdict(self) | {"training": json.loads(canonical(self.training))}
        return canonical({name: value for name, value in parts.items() if name != "seeds"})


FULL = SmallModel()
QUICK = SmallModel(
    mixing_correlations=(-0.4, -0.2, 0.0, 0.2, 0.4),
    mixing_l0=(1.7, 1.8, 1.9, 2.0),
    training=Training(training_tokens=1_280_000, batch_tokens=256, lr=1e-3),
    seeds=(0, 1),
)


def world_of(correlation: float, seed: int) -> World:
    """Return the small world in which feature 0 has one correlation with each other feature."""
    pairs = [(0, other, correlation) for other in range(1, FEATURES)]
    return build_world(
        Synthetic.model_validate(
            {
                "features": FEATURES,
                "d_in": D_IN,
                "firing": [PROBABILITY] * FEATURES,
                "correlation": {"kind": "pairs", "pairs": pairs},
                "seed": seed,
            }
        )
    )


def true_weights(world: World) -> Weights:
    """Return an SAE that has the true features."""
    rows = torch.from_numpy(world.directions)
    return Weights(torch.zeros(D_IN), rows.clone(), rows.clone().T, torch.zeros(FEATURES))


def runs_of(model: SmallModel, correlation: float) -> list[Run]:
    """Return the runs of one correlation, in the order of the table."""
    runs: list[Run] = []
    if correlation in model.correlations:
        runs += [("true_l0", TRUE_L0, "random"), ("true_l0", TRUE_L0, "truth")]
        runs += [("init", model.low_l0, "random"), ("init", model.low_l0, "truth")]
        runs += [("mixing_l0", l0, "truth") for l0 in model.mixing_l0]
    if correlation in model.mixing_correlations:
        runs += [("mixing_correlation", model.low_l0, "truth")]
    return runs


def train(
    world: World, seed: int, training: Training, runs: Sequence[tuple[float, str]]
) -> dict[tuple[float, str], Float[Tensor, "features d_in"]]:
    """Return the decoder that each (L0, start) ends with, all trained on one stream of samples."""
    scale = D_IN**0.5 / survey(world, seed).mean_norm
    sizes = torch.empty(FEATURES, D_IN)
    work = Workspace(Gradients.empty_like(sizes.T, sizes))
    trainers = {
        (l0, start): FusedTrainer(
            SaeSettings(FEATURES, l0, training),
            true_weights(world) if start == "truth" else initial_weights(D_IN, FEATURES, seed),
            work,
        )
        for l0, start in runs
    }
    stream = Stream(world, seed, training.batch_tokens)
    for step in range(training.steps):
        batch = stream.batch(step) * scale
        for trainer in trainers.values():
            trainer.step(batch)
    return {key: trainer.weights.W_dec for key, trainer in trainers.items()}


def mixing(cosines: Float[np.ndarray, "latents features"]) -> float:
    """Return the mean |cosine| of feature 0 with the latents of the other features.

    Zero where every latent stands for one of orthogonal features.

    Parameters
    ----------
    cosines
        Row i is the latent of feature i (`metrics.recovery.matching.ordered_cosines`).

    Examples
    --------
    >>> mixing(np.array([[1.0, 0.0, 0.0], [0.5, 0.9, 0.0], [-0.1, 0.0, 0.9]]))
    0.3
    """
    return float(np.abs(cosines[1:, 0]).mean())


def run_seed(model: SmallModel, seed: int) -> pd.DataFrame:
    """Train every run of every correlation with one seed; return the table `small_model`.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, later versions, figures 2-3 and 11-14.
    """
    rows = []
    for correlation in sorted({*model.correlations, *model.mixing_correlations}):
        runs, world = runs_of(model, correlation), world_of(correlation, seed)
        directions = torch.from_numpy(world.directions)
        # What several runs ask for is trained once.
        decoders = train(world, seed, model.training, list(dict.fromkeys(r[1:] for r in runs)))
        for name, l0, start in runs:
            W_dec = decoders[l0, start]
            match = match_features(W_dec, directions)
            rows.append(
                {
                    "experiment": name,
                    "correlation": correlation,
                    "l0": l0,
                    "seed": seed,
                    "init": start,
                    "mixing": mixing(ordered_cosines(W_dec, directions, match)),
                    "mean_best_cosine": float(match.cosines.mean()),
                }
            )
    return pd.DataFrame(rows)


def keep_seed(model: SmallModel, folder: Path, seed: int) -> None:
    """Train with one seed and keep the table, unless it is there and stands."""
    try:
        _check(model, seed, folder)
        return
    except InputError:
        pass
    torch.set_num_threads(1)
    path = folder / f"seed_{seed}.parquet"
    with replacing(path) as temporary:
        run_seed(model, seed).to_parquet(temporary, index=False)
    write_manifest(
        folder / f"seed_{seed}.json",
        stage="small_model",
        recipe=RECIPE,
        parameters=model.settings(),
        inputs={"saes": str(SAES_RECIPE)},
        outputs=[path],
    )


def run(model: SmallModel, folder: Path, cores: int) -> None:
    """Train every seed that is not there, on so many cores."""
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(keep_seed, model, folder), model.seeds))


def load(model: SmallModel, folder: Path) -> pd.DataFrame:
    """Return the table of all seeds.

    Raises
    ------
    InputError
        If a seed is missing, was made with other settings, or is damaged.
    """
    for seed in model.seeds:
        _check(model, seed, folder)
    return pd.concat(pd.read_parquet(folder / f"seed_{seed}.parquet") for seed in model.seeds)


def _check(model: SmallModel, seed: int, folder: Path) -> None:
    check_manifest(
        folder / f"seed_{seed}.json",
        stage="small_model",
        recipe=RECIPE,
        parameters=model.settings(),
        inputs={"saes": str(SAES_RECIPE)},
    )
