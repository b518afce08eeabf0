"""One training step of a BatchTopK SAE: this project's against SAELens' trainer.

Both do a whole step - forward, backward, clipping, Adam, dead-latent count - on the same batches
from the same weights, in float32; a look at the loss after each call makes sure that it is one.
sparsify, in one comparison, trains another SAE: TopK per token, its decoder of unit norm. Left out:
dictionary_learning, whose package asks for nnsight below 0.4 and a dozen others.

Activations: Gaussian with a spectrum that decays as 1 / rank and orthogonal directions, a constant
offset, and norm sqrt(d_in) on average, the scale the pipeline trains in; a trained model's residual
stream has such a spectrum, and white noise would leave nothing to learn. Weights: SAELens'
initialisation, decoder norms spread by a factor of up to 2 either way, and a few steps of training
by each side before the first timed one, so that Adam's moments and the threshold's guess are warm.
Dead latents never fire: their encoder bias is far below all pre-activations, and both trainers
hold them as dead from the first step on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import saelens_trainer
import torch
from collect import version
from comparison import Comparison, Sides

SPARSIFY = f"sparsify {version('eai-sparsify')}, its TopK"
BATCHES = 4
WARM_UP = 3
LARGE = 2**24
"""Weights from which on one step warms up on a CPU: SAELens' takes tens of seconds."""
LR = 1e-4
NEVER = 10**6
"""Steps since a dead latent fired."""
Step = Callable[[torch.Tensor], Any]


def activations(d_in: int, batch: int, device: str) -> list[torch.Tensor]:
    """Return a few batches with a decaying spectrum, in training units."""
    generator = torch.Generator().manual_seed(1)
    directions, _ = torch.linalg.qr(torch.randn(d_in, d_in, generator=generator))
    spread = torch.arange(1, d_in + 1) ** -0.5
    offset = torch.randn(d_in, generator=generator) * spread.norm() / (2 * d_in**0.5)
    mixed = (spread[:, None] * directions) / (1.25**0.5 * spread.norm()) * d_in**0.5
    offset *= d_in**0.5 / (1.25**0.5 * spread.norm())
    return [
        (torch.randn(batch, d_in, generator=generator) @ mixed + offset).to(device)
        for _ in range(BATCHES)
    ]


def point(d_sae: int, batch: int, l0: float, precision: str = "float32") -> Any:
    """Return the settings of a point of the pipeline."""
    from correct_l0.saes.settings import parse_settings

    training = {"training_tokens": batch * 10**6, "batch_tokens": batch, "lr": LR}
    training["precision"] = precision
    return parse_settings(json.dumps({"d_sae": d_sae, "l0": l0, "training": training}))


def ours(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int, device: str) -> Step:
    """Return the pipeline's training step."""
    from correct_l0.saes.engine.batchtopk import FusedTrainer, Weights, initial_weights

    start = initial_weights(d_in, d_sae, seed=0)
    uneven_(start.W_dec, start.b_enc, n_dead)
    made = FusedTrainer(point(d_sae, batch, l0), Weights(*(x.to(device) for x in start)))
    made.since_fired[:n_dead] = NEVER
    return made.step


def saelens(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int, device: str) -> Step:
    """Return the step of SAELens' trainer of its own BatchTopK SAE."""
    torch.manual_seed(0)
    sae = saelens_trainer.batchtopk(d_in, d_sae, l0)
    with torch.no_grad():
        uneven_(sae.W_dec, sae.b_enc, n_dead)
    made = saelens_trainer.trainer(sae.to(device), batch, 10**6, LR, device=device)
    made.n_forward_passes_since_fired[:n_dead] = NEVER
    return saelens_trainer.step_of(made)


def sparsify(d_in: int, d_sae: int, batch: int, l0: float, n_dead: int, device: str) -> Step:
    """Return a step of sparsify's SAE as its trainer takes it, with Adam and its own start."""
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(0)
    sae = SparseCoder(d_in, SparseCoderConfig(num_latents=d_sae, k=int(l0)), device)
    adam = torch.optim.Adam(sae.parameters(), lr=LR)
    since_fired = torch.zeros(d_sae, dtype=torch.long, device=device)

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


def uneven_(W_dec: torch.Tensor, b_enc: torch.Tensor, n_dead: int) -> None:
    """Spread the decoder's norms, and silence the first latents."""
    generator = torch.Generator().manual_seed(2)
    W_dec.mul_(2 ** (2 * torch.rand(len(W_dec), 1, generator=generator) - 1))
    b_enc[:n_dead] = -1e3


def sides(
    d_in: int,
    d_sae: int,
    batch: int,
    l0: float,
    *,
    n_dead: int = 0,
    steps: int = 1,
    device: str = "cpu",
    precision: str = "float32",
    rival: Callable[..., Step] = saelens,
) -> Sides:
    """Return both trainers' steps on the same batches, with the pipeline's matrix products."""
    from correct_l0.saes.training.train import matmul_precision

    settings = point(d_sae, batch, l0, precision)
    batches = activations(d_in, batch, device)

    def calls(step: Step) -> Callable[[], None]:
        turn = itertools.count()

        def call(count: int = steps) -> None:
            with matmul_precision(settings):
                for _ in range(count):
                    loss = step(batches[next(turn) % BATCHES]).loss
            if not bool(torch.isfinite(loss)):
                raise RuntimeError("the loss is not finite: this is no training step")

        call(WARM_UP if device != "cpu" or d_in * d_sae < LARGE else 1)
        return call

    return {
        "ours": calls(ours(d_in, d_sae, batch, l0, n_dead, device)),
        "rival": calls(rival(d_in, d_sae, batch, l0, n_dead, device)),
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
    known = ("n_dead", "steps", "device", "precision", "rival")
    how = {key: options.pop(key) for key in known if key in options}
    dead = f", {how['n_dead']} dead latents" if "n_dead" in how else ""
    reduced = ", CUDA, reduced precision" if how.get("device") == "cuda" else ""
    return Comparison(
        name=name,
        room="saes",
        workload=f"step at {d_in} x {d_sae}, batch {batch}, L0 {l0:g}{dead}{reduced}",
        rival=SPARSIFY if "rival" in how else saelens_trainer.NAME,
        prepare=partial(sides, d_in, d_sae, batch, l0, **how),
        target=target,
        unit="ms per step",
        units=how.get("steps", 1),
        **options,
    )


COMPARISONS = [
    one("step-384x3072-l0-32", 384, 3072, 4096, 32, 7),
    one("step-384x3072-l0-128", 384, 3072, 4096, 128, 4.5),
    one("step-384x3072-l0-32-dead", 384, 3072, 4096, 32, 8, n_dead=100),
    one("step-2304x32768-l0-100", 2304, 32768, 1024, 100, 4, rounds=2),
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
    *(
        one(
            f"step-cuda-2304x32768-l0-{l0}",
            2304,
            32768,
            4096,
            l0,
            3 if l0 <= 50 else 2,
            device="cuda",
            precision="reduced",
            steps=5,
            needs_cuda=True,
        )
        for l0 in (20, 50, 200, 500)
    ),
]
