"""What a trained point leaves: the calibrated SAE, its losses, its facts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import replacing, write_manifest
from correct_l0.saes.engine.weights import Weights
from correct_l0.saes.saved import SavedSae, add_metadata, load_saved_sae, write_saved_sae
from correct_l0.saes.settings import PointJob
from correct_l0.saes.training import evaluate
from correct_l0.saes.training.metadata import measured_metadata, training_metadata
from correct_l0.saes.training.snapshots import write_snapshots
from correct_l0.saes.training.start import decoder_at_start
from correct_l0.saes.training.threshold import count_bits, threshold_for
from correct_l0.saes.training.train import COLUMNS, Run
from correct_l0.sources.outlying import any_outlying

DIVERGED_FVU = 10.0
"""Held-out share of variance unexplained from which on a training diverged; without an SAE it is 1.
Losses can stay finite all the same."""

OUTPUTS = (
    "sae/cfg.json",
    "sae/sae_weights.safetensors",
    "loss.csv",
    "decoder_init_cosine.npy",
    "decoder_norms.npy",
)
"""Files of every point. decoder_norms.npy holds the norms of the decoder's rows where training
ended, in units of raw activations; in the saved SAE they are 1."""


class Store(evaluate.HeldOut, Protocol):
    """The sealed activation store, as far as training needs it."""

    d_in: int
    mean_norm: float
    """Mean norm of the raw training rows that are not outlying: a constant of the store."""
    norms: dict[str, Any] | None
    """What is known of the rows' norms (`sources.outlying.norm_facts`)."""
    digest: str
    """Identifies the store's content."""

    def set_aside(self, most: int) -> Float[Tensor, "rows d_in"]:
        """Return the first raw held-out rows that are left out, at most so many."""


def outlying_of(store: Store, device: str) -> evaluate.Outlying | None:
    """Return what is known of a store's outlying rows; None where it has none."""
    if store.norms is None or not any_outlying(store.norms):
        return None
    aside = store.set_aside(evaluate.CHUNK_TOKENS).to(device)
    return evaluate.Outlying(store.norms["limit"], aside)


def scale_of(store: Store) -> float:
    """Return the factor from raw activations to training units: their mean norm is sqrt(d_in)."""
    return store.d_in**0.5 / store.mean_norm


def card_of(device: str) -> str | None:
    """Return the name of the card, None of a processor: bits are those of one kind of card."""
    return torch.cuda.get_device_name() if device == "cuda" else None


def write_point(
    run: Run,
    job: PointJob,
    store: Store,
    *,
    device: str,
    metadata: Mapping[str, Any],
    between: Callable[[], None],
) -> None:
    """Write the folder of a trained point, its manifest last, and forget its checkpoint.

    Parameters
    ----------
    run
        Trained to the end.
    job
        Where it goes and what it is.
    store
        Its held-out rows calibrate and measure.
    device
        Where it was trained.
    metadata
        What the saved SAE tells about its input.
    between
        Called between chunks of held-out rows; may raise to leave.

    Raises
    ------
    InputError
        If the SAE explains so little that its training must have diverged.
    """
    folder, settings, scale = job.folder, run.settings, scale_of(store)
    l0_end = run.schedule.l0(settings.steps - 1)
    facts = _save_sae(run, l0_end, store, folder, device, metadata, between)
    if not facts["fvu"] < DIVERGED_FVU:
        raise InputError(
            f"{run.label}: fvu {facts['fvu']:.4g} on held-out tokens, it must stay below "
            f"{DIVERGED_FVU:g}: the training diverged with lr {settings.lr:g}; lower lr"
        )
    W_dec = run.trainer.weights.W_dec.detach().cpu() / scale
    initial = decoder_at_start(store.d_in, settings, job.seed)
    cosines = evaluate.row_cosines(W_dec, initial)
    with replacing(folder / "decoder_init_cosine.npy") as path:
        np.save(path, cosines.numpy())
    with replacing(folder / "decoder_norms.npy") as path:
        np.save(path, W_dec.norm(dim=1).numpy())
    history = run.history.cpu()
    _write_losses(folder / "loss.csv", history, run.c_dec, settings.training.batch_tokens)
    spread = evaluate.quantiles(cosines)
    tokens = settings.steps * settings.training.batch_tokens
    kept, of_kept = write_snapshots(folder, run.snapshots, initial)
    names = [*OUTPUTS, *kept]
    if run.schedule.course:
        _write_rows(folder / "l0_course.csv", run.schedule.course)
        names.append("l0_course.csv")
    write_manifest(
        folder / "manifest.json",
        stage="train_sae",
        recipe=settings.recipe,
        parameters=job.settings_json,
        inputs={"activations": store.digest},
        outputs=[folder / name for name in names],
        seed=job.seed,
        l0=settings.l0,
        l0_end=l0_end,
        architecture=settings.architecture,
        coefficient=settings.coefficient,
        d_in=store.d_in,
        d_sae=settings.d_sae,
        prefixes=settings.options.prefixes_of(settings.d_sae),
        steps=settings.steps,
        tokens=tokens,
        activation_scale=scale,
        **facts,
        init_cosine_median=spread["0.5"],
        init_cosine_quantiles=spread,
        **of_kept,
        loss_slope=evaluate.loss_slope(history[:, COLUMNS.index("loss")]),
        tokens_per_s=tokens / run.wall_s,
        data_wait_fraction=run.wait_s / run.wall_s,
        wall_s=run.wall_s,
        resumed_from_step=run.resumed_from_step,
        device=device,
        card=card_of(device),
        threads=torch.get_num_threads(),
    )
    run.checkpoints.clear()
    print(
        f"{run.label}: {settings.steps} steps, {1000 * run.wall_s / settings.steps:.1f} ms each; "
        f"l0 measured {facts['l0_measured']:.4g}, fvu {facts['fvu']:.4f}, "
        f"{facts['dead_latents']} dead latents"
    )


@torch.no_grad()
def _save_sae(
    run: Run,
    l0: float | None,
    store: Store,
    folder: Path,
    device: str,
    metadata: Mapping[str, Any],
    between: Callable[[], None],
) -> dict[str, Any]:
    """Calibrate, save and measure the SAE; return the facts."""

    def chunks(part: int) -> Iterator[Float[Tensor, "chunk d_in"]]:
        for chunk in evaluate.held_out_chunks(store, part, device):
            yield chunk
            between()

    declared, scale = run.settings.declared, scale_of(store)
    found: dict[str, float | None] = {"threshold": None, "calibration_tokens": 0}
    sae = fold(run.trainer.weights, scale)
    if declared.calibrated and l0 is not None:
        pre_acts = (torch.addmm(sae.b_enc, x - sae.b_dec, sae.W_enc) for x in chunks(0))
        counts, tokens = count_bits(pre_acts)
        threshold = threshold_for(counts, tokens, l0)
        sae = replace(sae, threshold=torch.full_like(sae.b_enc, threshold))
        found = {"threshold": threshold, "calibration_tokens": tokens}
    elif declared.learns_thresholds:
        norms = run.trainer.weights.W_dec.norm(dim=-1) / scale
        sae = replace(sae, threshold=(run.trainer.threshold * norms).detach())
        found["aim_offset"] = float(run.trainer.offset)
    else:
        sae = replace(sae, form=declared.form, k=int(l0 or 0))
    trained_how = training_metadata(run.settings.architecture, run.trainer.details(l0))
    write_saved_sae(folder / "sae", sae, {**metadata, **trained_how})
    saved = load_saved_sae(folder / "sae", device)
    facts = evaluate.measure(saved, chunks(1), scale, outlying_of(store, device))
    add_metadata(folder / "sae", measured_metadata(run.settings, run.seed, facts))
    reached = l0 is None or abs(facts["l0_measured"] / l0 - 1) <= declared.l0_tolerance
    if not reached:
        print(
            f"l0 {l0:g}: {facts['l0_measured']:.4g} measured on held-out tokens, more than "
            f"{declared.l0_tolerance:.0%} away; train longer, or hold out more tokens"
        )
    return {**facts, **found, "l0_reached": reached}


@torch.no_grad()
def fold(weights: Weights, scale: float) -> SavedSae:
    """Return the inference SAE on raw activations of an SAE in training units.

    Its decoder rows have unit norm, so that its latents are in raw units too. Its thresholds are 0.

    Parameters
    ----------
    weights
        In training units; not changed.
    scale
        Factor from raw activations to training units.

    Examples
    --------
    >>> one = torch.tensor([[4.0]])
    >>> sae = fold(Weights(torch.tensor([6.0]), one, one, torch.tensor([1.0])), scale=2.0)
    >>> sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec
    (tensor([[16.]]), tensor([2.]), tensor([[1.]]), tensor([3.]))
    """
    W_dec = weights.W_dec.detach() / scale
    norms = W_dec.norm(dim=-1).clamp(min=1e-8)
    b_enc = weights.b_enc.detach() * norms
    return SavedSae(
        W_enc=(weights.W_enc.detach() * scale).mul_(norms),
        b_enc=b_enc,
        W_dec=W_dec.div_(norms[:, None]),
        b_dec=weights.b_dec.detach() / scale,
        threshold=torch.zeros_like(b_enc),
    )


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


def _write_rows(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write dictionaries of the same keys as a table."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
