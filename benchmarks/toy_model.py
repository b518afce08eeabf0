"""The toy model against the authors' way: its generator, its training step, a sweep of SAEs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import saelens_trainer
from comparison import Comparison, Sides

if TYPE_CHECKING:
    from torch import Tensor

    from correct_l0.sources.synthetic.world import World

BATCH, D_IN, D_SAE, L0, LR = 1024, 100, 50, 11, 3e-4
MEAN_NORM = 3.3
"""Of the samples, about."""
GROUP = 25


def batch_made_anew(features: World) -> Tensor:
    """Return a batch with nothing kept from the last: factor, thresholds, feature by feature.

    So do the authors.
    """
    import torch
    from scipy.stats import norm

    root = torch.linalg.cholesky(torch.tensor(features.correlation, dtype=torch.float32))
    gaussians = root @ torch.randn(features.count, BATCH)
    fires = torch.zeros(BATCH, features.count)
    for feature in range(features.count):
        threshold = norm.ppf(1 - features.probabilities[feature])
        fires[:, feature] = (gaussians[feature] > threshold).float()
    magnitudes = torch.relu(torch.randn(BATCH, features.count) * 0.15 + 1)
    return (fires * magnitudes) @ torch.tensor(features.directions, dtype=torch.float32)


def saelens_step(l0: float) -> Callable[[Tensor], Any]:
    """Return a step of SAELens' trainer on its own BatchTopK SAE."""
    sae = saelens_trainer.batchtopk(D_IN, D_SAE, l0)
    return saelens_trainer.step_of(saelens_trainer.trainer(sae, BATCH, 10**6, LR))


def our_steps(l0s: list[float]) -> Callable[[Tensor], Any]:
    """Return a step of a group of SAEs on one batch: scaled once, as the pipeline does."""
    from correct_l0.saes.engine.batchtopk import FusedTrainer
    from correct_l0.saes.engine.weights import initial_weights
    from correct_l0.saes.engine.workspace import Gradients, Workspace
    from correct_l0.saes.settings import SaeSettings
    from correct_l0.saes.training_settings import Training

    training = Training(training_tokens=BATCH * 10**6, batch_tokens=BATCH, lr=LR)
    start = initial_weights(D_IN, D_SAE, 0)
    work = Workspace(Gradients.empty_like(start.W_enc, start.W_dec))
    members = [
        FusedTrainer(SaeSettings(D_SAE, l0, training), initial_weights(D_IN, D_SAE, 0), work)
        for l0 in l0s
    ]

    def step(batch: Tensor) -> None:
        sae_in = batch * D_IN**0.5 / MEAN_NORM
        for member in members:
            member.step(sae_in)

    return step


def our_batches() -> tuple[World, Callable[[], Tensor]]:
    """Return the world, and what makes the next batch of one stream."""
    from correct_l0.sources.synthetic.generator import Stream
    from correct_l0.sources.synthetic.settings import Synthetic
    from correct_l0.sources.synthetic.world import build_world

    world = build_world(Synthetic())
    stream = Stream(world, 0, BATCH)
    done = 0

    def batch() -> Tensor:
        nonlocal done
        done += 1
        return stream.batch(done)

    return world, batch


def repeated(times: int, call: Callable[[], object]) -> Callable[[], None]:
    """Return a call that does another so many times."""

    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def prepare_generator() -> Sides:
    """A batch of samples."""
    features, batch = our_batches()
    return {
        "ours": repeated(60, batch),
        "rival": repeated(60, lambda: batch_made_anew(features)),
    }


def prepare_step() -> Sides:
    """A training step on a batch that is there."""
    batch = our_batches()[1]().clone()
    ours, rival = our_steps([L0]), saelens_step(L0)
    return {
        "ours": repeated(100, lambda: ours(batch)),
        "rival": repeated(100, lambda: rival(batch)),
    }


def prepare_sweep(points: int, steps: int) -> Callable[[], Sides]:
    """Steps of a sweep, batches included: one stream for all, or one SAE after another."""

    def prepare() -> Sides:
        features, batch = our_batches()
        l0s = [1.0 + point % 25 for point in range(points)]
        group, alone = our_steps(l0s), [saelens_step(l0) for l0 in l0s]

        def one_after_another() -> None:
            for step in alone:
                for _ in range(steps):
                    step(batch_made_anew(features))

        return {"ours": repeated(steps, lambda: group(batch())), "rival": one_after_another}

    return prepare


SHAPE = f"toy model, {D_IN} x {D_SAE}, batch {BATCH}"

COMPARISONS = [
    Comparison(
        name="toy-generator",
        room="toy_model",
        workload=f"toy model, a batch of {BATCH} samples",
        rival="the authors' way: factor and thresholds for each batch",
        prepare=prepare_generator,
        target=5,
        unit="ms per batch",
        units=60,
    ),
    Comparison(
        name="toy-step",
        room="toy_model",
        workload=f"{SHAPE}, L0 {L0}, step alone",
        rival=saelens_trainer.NAME,
        prepare=prepare_step,
        target=3,
        unit="ms per step",
        units=100,
    ),
    *(
        Comparison(
            name=f"toy-sweep-{points}",
            room="toy_model",
            workload=f"{SHAPE}, {saelens_trainer.saes(points)}, batches included",
            rival=f"the authors' way: {saelens_trainer.NAME}, one after another",
            prepare=prepare_sweep(points, steps),
            target=8 if points == GROUP else None,
            unit="ms per step of all SAEs",
            units=steps,
            curve=("points", points),
        )
        for points, steps in ((1, 40), (5, 12), (GROUP, 4))
    ),
]
