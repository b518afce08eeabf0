"""One point of the sweep from start to finish: train, calibrate, save, measure."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.sae import SAE
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.manifest import replacing, write_json, write_manifest
from correct_l0.saes import RECIPE, evaluate
from correct_l0.saes.checkpoint import Checkpoints, Interruption
from correct_l0.saes.finished import bring_back, keep_finished
from correct_l0.saes.settings import parse_settings
from correct_l0.saes.threshold import count_bits, threshold_for
from correct_l0.saes.train import (
    COLUMNS,
    Batches,
    build_run,
    build_sae,
    matmul_precision,
    non_finite,
    restore,
    train,
)

L0_TOLERANCE = 0.02
"""Largest relative distance of the measured from the target L0 that counts as meeting it."""


class Store(evaluate.HeldOut, Protocol):
    """The sealed activation store, as far as training needs it."""

    d_in: int
    mean_norm: float
    """Mean norm of the raw training rows: a constant of the store."""
    digest: str
    """Identifies the store's content."""


def train_point(
    store: Store,
    batches: Batches,
    folder: Path | str,
    settings_json: str,
    seed: int,
    *,
    device: str = "cpu",
    checkpoint_s: float = 600.0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Train one SAE and write its folder: `sae/`, loss.csv, decoder_init_cosine.npy, manifest.json.

    An SAE finished earlier with the same settings, seed and store is brought back, a checkpoint of
    theirs taken up. Where the input cannot be used, failure.json says why.

    Parameters
    ----------
    store
        Activations; the raw rows times sqrt(d_in) / mean_norm are what the SAE is trained on.
    batches
        The training rows by step, raw.
    folder
        Folder of the point.
    settings_json
        Canonical settings (`settings.parse_settings`).
    seed
        Seed of the initialisation; `batches` has its own.
    device
        `cpu` or `cuda`.
    checkpoint_s
        Seconds between checkpoints.
    metadata
        What the saved SAE should tell about its input: model_name, hook_name, ...

    Raises
    ------
    InputError
        If the settings hold no training, or a loss is not finite.
    SystemExit
        If a signal asked to stop; the state is saved first.
    """
    folder = Path(folder)
    (folder / "failure.json").unlink(missing_ok=True)
    inputs = {"activations": store.digest}
    if bring_back(folder, recipe=RECIPE, parameters=settings_json, inputs=inputs, seed=seed):
        print("finished earlier with the same settings, seed and activations; brought back")
        return
    try:
        settings = parse_settings(settings_json)
        identity = {"recipe": RECIPE, "settings": settings.to_json()}
        checkpoints = Checkpoints(
            folder / "checkpoint", {**identity, "seed": seed, "store": store.digest}
        )
        run = build_run(settings, store.d_in, seed, device, **(metadata or {}))
        scale = store.d_in**0.5 / store.mean_norm
        with Interruption(checkpoint_s) as interruption:
            state = checkpoints.load()
            if state is not None:
                restore(run, state)
                print(f"going on from step {run.resumed_from_step} of {settings.steps}")
            fail = non_finite(settings, seed, batches)
            with matmul_precision(settings):
                train(run, batches, scale, checkpoints, interruption, fail=fail)
    except InputError as error:
        write_json(folder / "failure.json", {"reason": str(error)})
        raise
    facts = _save(run.trainer.sae, store, folder, scale, settings.l0, device)
    initial = build_sae(settings, store.d_in, seed).W_dec.detach()
    cosines = evaluate.row_cosines(run.trainer.sae.W_dec.detach(), initial)
    with replacing(folder / "decoder_init_cosine.npy") as path:
        np.save(path, cosines.numpy())
    history = run.history.cpu()
    _write_losses(folder / "loss.csv", history, run.c_dec, settings.training.batch_tokens)
    spread = evaluate.quantiles(cosines)
    tokens = settings.steps * settings.training.batch_tokens
    names = ("sae/cfg.json", "sae/sae_weights.safetensors", "loss.csv", "decoder_init_cosine.npy")
    write_manifest(
        folder / "manifest.json",
        stage="train_sae",
        recipe=RECIPE,
        parameters=settings_json,
        inputs=inputs,
        outputs=[folder / name for name in names],
        seed=seed,
        l0=settings.l0,
        d_in=store.d_in,
        d_sae=settings.d_sae,
        steps=settings.steps,
        tokens=tokens,
        activation_scale=scale,
        **facts,
        init_cosine_median=spread["0.5"],
        init_cosine_quantiles=spread,
        loss_slope=evaluate.loss_slope(history[:, COLUMNS.index("loss")]),
        tokens_per_s=tokens / run.wall_s,
        data_wait_fraction=run.wait_s / run.wall_s,
        wall_s=run.wall_s,
        resumed_from_step=run.resumed_from_step,
        device=device,
        threads=torch.get_num_threads(),
    )
    keep_finished(folder)
    checkpoints.clear()
    print(
        f"{settings.steps} steps, {1000 * run.wall_s / settings.steps:.1f} ms each; l0 measured "
        f"{facts['l0_measured']:.4g}, fvu {facts['fvu']:.4f}, {facts['dead_latents']} dead latents"
    )


@torch.no_grad()
def _save(
    sae: BatchTopKTrainingSAE, store: Store, folder: Path, scale: float, l0: float, device: str
) -> dict[str, Any]:
    """Fold, calibrate, save and measure the SAE; return the facts. The SAE ends on the CPU.

    The saved SAE takes raw activations. Its decoder rows have unit norm, so that its latents are
    in raw units too.
    """
    sae.fold_activation_norm_scaling_factor(scale)
    norms = sae.get_W_dec_norm()
    W_enc, b_enc = sae.W_enc * norms, sae.b_enc * norms
    counts, tokens = count_bits(
        torch.addmm(b_enc, x - sae.b_dec, W_enc) for x in evaluate.held_out_chunks(store, 0, device)
    )
    threshold = threshold_for(counts, tokens, l0)
    sae.topk_threshold.fill_(threshold)
    sae.to("cpu")
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=checkpoint, ignore_cleanup_errors=True) as temporary:
        sae.save_inference_model(temporary)
        saved = SAE.load_from_disk(temporary, device=device)
        facts = evaluate.measure(saved, evaluate.held_out_chunks(store, 1, device), scale)
        # SAELens writes the keys in an order that differs from process to process.
        cfg = json.loads((Path(temporary) / "cfg.json").read_text())
        write_json(folder / "sae/cfg.json", json.loads(json.dumps(cfg, sort_keys=True)))
        with replacing(folder / "sae/sae_weights.safetensors") as path:
            # A copy, as safetensors makes files that only their owner can read.
            shutil.copyfile(Path(temporary) / "sae_weights.safetensors", path)
    reached = abs(facts["l0_measured"] / l0 - 1) <= L0_TOLERANCE
    if not reached:
        print(
            f"l0 {l0:g}: {facts['l0_measured']:.4g} measured on held-out tokens, more than "
            f"{L0_TOLERANCE:.0%} away; train longer, or hold out more tokens"
        )
    return {**facts, "threshold": threshold, "l0_reached": reached, "calibration_tokens": tokens}


def _write_losses(
    path: Path,
    history: Float[Tensor, "steps column"],
    c_dec: Mapping[int, float],
    batch_tokens: int,
) -> None:
    """Write one row per step: losses in training units, per token, summed over d_in."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("step", "tokens", *COLUMNS, "c_dec"))
        for step, row in enumerate(history.tolist(), start=1):
            losses = (f"{value:.7g}" for value in row)
            writer.writerow((step, step * batch_tokens, *losses, c_dec.get(step, "")))
