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
from correct_l0.saes.engine.batchtopk import FusedTrainer
from correct_l0.saes.engine.weights import Weights, initial_decoder
from correct_l0.saes.saved import SavedSae
from correct_l0.saes.settings import SaeSettings, parse_settings
from correct_l0.saes.training.checkpoint import Checkpoints
from correct_l0.saes.training.schedules import Measures
from correct_l0.saes.training.start import thresholds_of, weights_of
from correct_l0.saes.training.taken_up import Later, train_on
from correct_l0.saes.training.train import COLUMNS, Run
from correct_l0.sources import Source

NEW_SEEDS = 2**31
"""Seeds of new latents, above all seeds of SAEs."""

NOTHING = Measures(c_dec=lambda W_dec: nan, s_n_dec=lambda x, W_dec, b_dec, n: nan)
"""What is measured along the two trainings."""


def train_both(
    sae: SavedSae, facts: Mapping[str, Any], source: Source, wanted: Hedging, checkpoints: Path
) -> dict[str, float]:
    """Return the row of an SAE's hedging rate: what its table has, after L0 and seed.

    Both trainings see the batches that come after those the SAE was trained on, in the order of its
    seed: training rows, none held out.

    Parameters
    ----------
    sae, facts, source
        As a metric gets them (`metrics`).
    wanted
        The settings.
    checkpoints
        Where trainings may keep theirs.
    """
    runs = both_at_start(sae, facts, wanted, checkpoints)
    training, seed, trained = runs[0].settings.training, runs[0].seed, sae.d_sae
    device, scale = sae.W_dec.device.type, float(facts["activation_scale"])
    stream = source.stream(seed, training.batch_tokens, prefetch=device != "cpu")
    train_on(runs, Later(stream, int(facts["steps"])), scale, device)
    control, widened = (run.trainer for run in runs)
    found = hedging_rate(control.weights.W_dec, widened.weights.W_dec, draws=DRAWS, seed=seed)
    assert isinstance(widened, FusedTrainer), "the only engine of what is widened"
    window, half, their_l0 = training.dead_feature_window, wanted.steps // 2, {}
    if runs[1].settings.declared.learns_thresholds:
        # Theirs are low at first: all new latents fire in the first step.
        window = min(window, half)
        # Nothing fixes it; the others have their L0 in every batch.
        their_l0 = {
            f"l0_{name}": float(run.history[half:, COLUMNS.index("l0_batch")].mean())
            for name, run in zip(("control", "widened"), runs, strict=True)
        }
    alive = widened.since_fired[trained:] <= window
    return {
        "new_latents": wanted.new_latents,
        "steps": wanted.steps,
        **asdict(found),
        "new_alive": float(alive.float().mean()),
        **their_l0,
    }


def both_at_start(
    sae: SavedSae, facts: Mapping[str, Any], wanted: Hedging, checkpoints: Path
) -> list[Run]:
    """Return the two trainings of a finished SAE before their first step: as it is, and widened.

    Both have its weights, and where it learnt thresholds and an aim of its penalty these, with
    Adam's moments at zero. Learning rate and L0, or the penalty's coefficient, are those of the
    point, L0 that of its end; the engine is ours, which computes SAELens' gradients. New latents
    start as those of a new SAE do, as in the authors' code, but count as dead from the first step
    on: without the auxiliary loss they would need hundreds of steps to be selected beside trained
    ones at all. Parameters as in `train_both`.
    """
    point, seed = parse_settings(facts["parameters"]), int(facts["seed"])
    device, scale = sae.W_dec.device.type, float(facts["activation_scale"])
    norms = torch.from_numpy(np.load(Path(facts["folder"]) / "decoder_norms.npy"))
    start, thresholds = weights_of(sae, scale, norms), thresholds_of(sae, scale, norms)
    runs = [
        Run(
            _longer(point, wanted.steps, facts["l0_end"], len(weights.W_dec)),
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
    for run in runs:
        trainer = run.trainer
        trainer.start_at(thresholds, offset=float(facts.get("aim_offset", 0.0)))
        assert isinstance(trainer, FusedTrainer), "the only engine of what is widened"
        trainer.since_fired[sae.d_sae :] = point.training.dead_feature_window + 1
    return runs


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


def _longer(point: SaeSettings, steps: int, l0: float | None, d_sae: int) -> SaeSettings:
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
    options = point.options.gone_on(point.d_sae, d_sae)
    return replace(point, d_sae=d_sae, l0=l0, training=training, options=options)
