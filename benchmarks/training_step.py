"""One training step of an SAE: this project's against SAELens' trainer.

Both do a whole step - forward, backward, clipping, Adam, dead-latent count - on the same batches
from the same weights, in float32; a look at the loss after each call makes sure that it is one.
sparsify, in one comparison, trains another SAE: TopK per token, its decoder of unit norm. Left out:
dictionary_learning, whose package asks for nnsight below 0.4 and a dozen others.

Activations and weights are those of `step_inputs.py`; a JumpReLU SAE, whose cost depends on how
many pre-activations lie near their thresholds, goes on from a short training of its own. The first
call of each side, which is not timed, takes a few steps more, so that Adam's moments and the
threshold's guess are warm; what a trainer keeps from its first step on is of its memory. Both hold
the dead latents as dead from the first step on.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import saelens_trainer
import torch
from collect import version
from comparison import Comparison, Sides
from step_inputs import BATCHES, NEVER, activations, uneven_

SPARSIFY = f"sparsify {version('eai-sparsify')}, its TopK"
WARM_UP = 3
LARGE = 2**24
"""Weights from which on one step warms up: SAELens' takes tens of seconds."""
SMALL, SMALL_BATCH = 768, 64
"""Latents and batch of steps that come before all: with them libraries are loaded, and compiled,
which is of no SAE's memory."""
LR = 1e-4
SHORT_STEPS, SHORT_BATCH, SHORT_LR = 100, 512, 1e-3
"""The training from which JumpReLU's timed steps go on: L0 is near its target then."""
Step = Callable[[torch.Tensor], Any]


def point(d_sae: int, batch: int, l0: float, name: str = "batchtopk", lr: float = LR) -> Any:
    """Return the settings of a point of the pipeline."""
    from correct_l0.saes.settings import parse_settings

    training = {"training_tokens": batch * 10**6, "batch_tokens": batch, "lr": lr}
    options = {"warm_up_fraction": 0, "aim_fraction": 0} if name == "jumprelu" else {}
    settings = {"d_sae": d_sae, "l0": l0, "training": training}
    return parse_settings(json.dumps({**settings, "architecture": {"name": name, **options}}))


def ours(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int) -> Step:
    """Return the pipeline's training step."""
    from correct_l0.saes.engine.batchtopk import FusedTrainer
    from correct_l0.saes.engine.weights import initial_weights

    start = initial_weights(d_in, d_sae, seed=0)
    uneven_(start.W_dec, start.b_enc, n_dead)
    made = FusedTrainer(point(d_sae, batch, l0), start)
    made.since_fired[:n_dead] = NEVER
    return made.step


def saelens(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int) -> Step:
    """Return the step of SAELens' trainer of its own BatchTopK SAE."""
    torch.manual_seed(0)
    sae = saelens_trainer.batchtopk(d_in, d_sae, l0)
    with torch.no_grad():
        uneven_(sae.W_dec, sae.b_enc, n_dead)
    made = saelens_trainer.trainer(sae, batch, 10**6, LR)
    made.n_forward_passes_since_fired[:n_dead] = NEVER
    return saelens_trainer.step_of(made)


def another(name: str) -> tuple[Callable[..., Step], Callable[..., Step]]:
    """Return our step and SAELens' of another architecture, by the same settings and weights."""

    def mine(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int) -> Step:
        return started(name, d_in, d_sae, batch, l0, n_dead).step

    def theirs(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int) -> Step:
        from sae_lens.registry import get_sae_training_class

        from correct_l0.saes.engine.saelens import configuration

        start = started(name, d_in, d_sae, batch, l0, n_dead)
        kind, _ = get_sae_training_class(name)
        sae = kind(configuration(start.settings, d_in))
        names = [*start.weights._fields, *(["threshold"] if name == "jumprelu" else [])]
        with torch.no_grad():
            for each in names:
                getattr(sae, each).copy_(getattr(start.weights, each, getattr(start, each, None)))
        made = saelens_trainer.trainer(sae, batch, 10**6, LR)
        made.n_forward_passes_since_fired[:n_dead] = NEVER
        return saelens_trainer.step_of(made)

    return mine, theirs


def started(name: str, d_in: int, d_sae: int, batch: int, l0: float, n_dead: int) -> Any:
    """Return our trainer of an architecture where its timed steps begin."""
    from correct_l0.saes.engine.weights import Weights
    from correct_l0.saes.training.trainer import build_trainer

    settings = point(d_sae, batch, l0, name)
    made = build_trainer(settings, d_in, 0)
    if name == "jumprelu":
        short = build_trainer(point(d_sae, SHORT_BATCH, l0, name, SHORT_LR), d_in, 0)
        batches = activations(d_in, SHORT_BATCH * SHORT_STEPS // BATCHES, "cpu")
        for rows in torch.cat(batches).split(SHORT_BATCH):
            short.step(rows)
        made = type(made)(settings, Weights(*short.weights))
        made.threshold.copy_(short.threshold.clamp(min=0))
        made.share = short.share
    else:
        uneven_(made.weights.W_dec, made.weights.b_enc, n_dead)
    made.since_fired[:n_dead] = NEVER
    return made


def sparsify(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int) -> Step:
    """Return a step of sparsify's SAE as its trainer takes it, with Adam and its own start."""
    # Where Triton is installed, its kernels would be taken, and they need a GPU.
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(0)
    sae = SparseCoder(d_in, SparseCoderConfig(num_latents=d_sae, k=int(l0)))
    adam = torch.optim.Adam(sae.parameters(), lr=LR)
    since_fired = torch.zeros(d_sae, dtype=torch.long)

    def step(sae_in: torch.Tensor) -> Any:
        sae.set_decoder_norm_to_unit_norm()
        output = sae(sae_in)
        output.fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        since_fired.add_(len(sae_in))[output.latent_indices.flatten()] = 0
        return SimpleNamespace(loss=output.fvu.detach())

    return step


def sides(
    d_in: int,
    d_sae: int,
    batch: int,
    l0: float,
    *,
    n_dead: int = 0,
    steps: int = 1,
    rival: Callable[..., Step] = saelens,
    architecture: str = "batchtopk",
) -> Sides:
    """Return both trainers' steps on the same batches."""
    batches = activations(d_in, batch, "cpu")

    def calls(step: Step) -> Callable[[], None]:
        turn = itertools.cycle(batches)
        warm_up = WARM_UP if d_in * d_sae < LARGE else 1
        counts = itertools.chain([warm_up + steps], itertools.repeat(steps))

        def call() -> None:
            for _ in range(next(counts)):
                loss = step(next(turn)).loss
            if not bool(torch.isfinite(loss)):
                raise RuntimeError("the loss is not finite: this is no training step")

        return call

    mine = ours
    if architecture != "batchtopk":
        mine, rival = another(architecture)
    for make in (mine, rival):
        step = make(d_in, min(d_sae, SMALL), SMALL_BATCH, l0, n_dead)
        for rows in activations(d_in, SMALL_BATCH, "cpu"):
            step(rows)
    return {
        "ours": calls(mine(d_in, d_sae, batch, l0, n_dead)),
        "rival": calls(rival(d_in, d_sae, batch, l0, n_dead)),
    }


def one(
    name: str,
    d_in: int,
    d_sae: int,
    batch: int,
    l0: float,
    target: float | None = None,
    **options: Any,
) -> Comparison:
    """Return the comparison of one shape; `options` go to `sides` and to `Comparison`."""
    known = ("n_dead", "steps", "rival", "architecture")
    how = {key: options.pop(key) for key in known if key in options}
    dead = f", {how['n_dead']} dead latents" if "n_dead" in how else ""
    of = WORDS[how.get("architecture", "batchtopk")]
    return Comparison(
        name=name,
        room="saes",
        workload=f"{of}step at {d_in} x {d_sae}, batch {batch}, L0 {l0:g}{dead}",
        rival=SPARSIFY if "rival" in how else saelens_trainer.NAME,
        prepare=partial(sides, d_in, d_sae, batch, l0, **how),
        target=target,
        unit="ms per step",
        units=how.get("steps", 1),
        **options,
    )


WORDS = {
    "batchtopk": "",
    "topk": "TopK: ",
    "matryoshka_batchtopk": "Matryoshka, five levels: ",
    "jumprelu": "JumpReLU: ",
}

COMPARISONS = [
    one("step-384x3072-l0-32", 384, 3072, 4096, 32, 7),
    one("step-384x3072-l0-128", 384, 3072, 4096, 128, 4.5),
    one("step-384x3072-l0-32-dead", 384, 3072, 4096, 32, 8, n_dead=100),
    one("step-2304x32768-l0-100", 2304, 32768, 1024, 100, 4, rounds=2),
    *(
        one(f"step-384x3072-l0-32-{short}", 384, 3072, 4096, 32, target, architecture=name)
        for short, name, target in (
            ("topk", "topk", 5),
            ("matryoshka", "matryoshka_batchtopk", 5),
            ("jumprelu", "jumprelu", 3),
        )
    ),
    one("step-384x3072-l0-32-sparsify", 384, 3072, 4096, 32, rival=sparsify, rounds=5),
    *(one(f"step-default-study-l0-{l0}", 384, 768, 512, l0, steps=4) for l0 in (4, 32, 300)),
    *(
        one(f"step-d-sae-{d_sae}", 384, d_sae, 1024, 32, curve=("d_sae", d_sae), rounds=5)
        for d_sae in (768, 1536, 3072, 6144, 12288)
    ),
    *(
        one(f"step-l0-{l0}", 384, 768, 1024, l0, curve=("l0", l0), steps=2, rounds=5)
        for l0 in (4, 16, 32, 64, 128, 300)
    ),
    *(
        one(f"step-batch-{batch}", 384, 3072, batch, 32, curve=("batch", batch), rounds=5)
        for batch in (512, 1024, 2048, 4096)
    ),
]
