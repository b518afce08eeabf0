"""The two trainings behind a hedging rate: of an SAE as it is, and with more latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch

from correct_l0.metrics.hedging.metric import DRAWS
from correct_l0.metrics.hedging.rate import hedging_rate
from correct_l0.metrics.hedging.settings import Hedging
from correct_l0.saes.engine.batchtopk import FusedTrainer, Weights, initial_decoder
from correct_l0.saes.saved import SavedSae
from correct_l0.saes.settings import SaeSettings, parse_settings
from correct_l0.saes.training.checkpoint import Checkpoints
from correct_l0.saes.training.schedules import Measures
from correct_l0.saes.training.start import weights_of
from correct_l0.saes.training.taken_up import Later, train_on
from correct_l0.saes.training.train import Run
from correct_l0.sources import Source

NEW_SEEDS = 2**31
"""Seeds of new latents, above all seeds of SAEs."""

NOTHING = Measures(c_dec=lambda W_dec: nan, s_n_dec=lambda x, W_dec, b_dec, n: nan)
"""What is measured along the two trainings."""


def train_both(
    sae: SavedSae, facts: Mapping[str, Any], source: Source, wanted: Hedging, checkpoints: Path
) -> dict[str, float]:
    """Return the row of an SAE's hedging rate: what its table has, after L0 and seed.

    Both trainings start from its weights, with Adam's moments at zero, and see the batches that
    come after those it was trained on, in the order of its seed: training rows, none held out.
    Learning rate and L0 are those of the point, L0 that of its end; the engine is ours, which
    computes SAELens' gradients. New latents start as those of a new SAE do, as in the authors'
    code, but count as dead from the first step on: without the auxiliary loss they would need
    hundreds of steps to be selected beside trained ones at all.

    Parameters
    ----------
    sae, facts, source
        As a metric gets them (`metrics`).
    wanted
        The settings.
    checkpoints
        Where trainings may keep theirs.
    """
    point, seed = parse_settings(facts["parameters"]), int(facts["seed"])
    device, scale = sae.W_dec.device.type, float(facts["activation_scale"])
    norms = torch.from_numpy(np.load(Path(facts["folder"]) / "decoder_norms.npy"))
    start = weights_of(sae, scale, norms)
    runs = [
        Run(
            _longer(point, wanted.steps, float(facts["l0_end"]), len(weights.W_dec)),
            seed,
            sae.d_in,
            device,
            Checkpoints(checkpoints, {}),
            NOTHING,
            scale,
            start=weights,
        )
        for weights in (start, widen(start, wanted.new_latents, seed))
    ]
    window, trained = point.training.dead_feature_window, len(start.W_dec)
    control, widened = (run.trainer for run in runs)
    assert isinstance(widened, FusedTrainer), "the only engine of what is widened"
    widened.since_fired[trained:] = window + 1
    ahead = device != "cpu"
    stream = source.stream(seed, point.training.batch_tokens, prefetch=ahead)
    train_on(runs, Later(stream, int(facts["steps"])), scale, device)
    found = hedging_rate(control.weights.W_dec, widened.weights.W_dec, draws=DRAWS, seed=seed)
    alive = widened.since_fired[trained:] <= window
    return {
        "new_latents": wanted.new_latents,
        "steps": wanted.steps,
        **asdict(found),
        "new_alive": float(alive.float().mean()),
    }


def widen(weights: Weights, new_latents: int, seed: int) -> Weights:
    """Return the weights of an SAE with more latents, which come last and start as any new ones do.

    Examples
    --------
    >>> one = Weights(torch.zeros(2), torch.eye(2), torch.eye(2), torch.zeros(2))
    >>> wider = widen(one, 1, seed=0)
    >>> wider.W_dec.shape, torch.equal(wider.W_enc[:, 2], wider.W_dec[2]), wider.W_dec.norm(dim=1)
    (torch.Size([3, 2]), True, tensor([1.0000, 1.0000, 0.1000]))
    """
    b_dec, W_dec, W_enc, b_enc = weights
    # With the seed itself they would start where the first of the old ones did.
    new = initial_decoder(len(b_dec), new_latents, seed + NEW_SEEDS).to(W_dec)
    return Weights(
        b_dec,
        torch.cat([W_dec, new]),
        torch.cat([W_enc.T, new]).T,
        torch.cat([b_enc, b_enc.new_zeros(new_latents)]),
    )


def _longer(point: SaeSettings, steps: int, l0: float, d_sae: int) -> SaeSettings:
    """Return how an SAE of a point is trained on."""
    training = point.training.model_copy(
        update={
            "training_tokens": steps * point.training.batch_tokens,
            "lr_warm_up_steps": 0,
            "lr_decay_fraction": 0.0,
            "l0_schedule": None,
            "engine": "fused",
        }
    )
    options = point.options.widened(point.d_sae, d_sae)
    return replace(point, d_sae=d_sae, l0=l0, training=training, options=options)
