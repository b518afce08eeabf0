"""A synthetic world is built, measured and written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from correct_l0.provenance.manifest import read_manifest, replacing, write_manifest
from correct_l0.sources.outlying import limit_of, norm_facts, save_outlying
from correct_l0.sources.settings import Outlying
from correct_l0.sources.synthetic import RECIPE, STAGE
from correct_l0.sources.synthetic.generator import Stream
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.store import BLOCK_TOKENS, arrays_of
from correct_l0.sources.synthetic.world import World, build_world, firing_rates, with_sinks

SURVEY_BLOCKS = 100
"""Blocks of samples on which a world's constants are measured."""

STANDARD = Outlying()
"""What is outlying where nothing else is asked for."""


class Survey(NamedTuple):
    """Constants of a world, measured on `SURVEY_BLOCKS` blocks of samples of their own."""

    mean_norm: float
    """Mean norm of the samples that are not outlying."""
    norms: Float[np.ndarray, " samples"]
    """Norm of each sample, float32."""
    rates: Float[np.ndarray, " features"]
    """How often each feature fires."""


def survey(world: World, seed: int, wanted: Outlying = STANDARD) -> Survey:
    """Measure a world's constants."""
    stream = Stream(world, seed, BLOCK_TOKENS, "survey")
    tokens = SURVEY_BLOCKS * BLOCK_TOKENS
    norms, counts = [], np.zeros(world.count, dtype=np.int64)
    for block in range(SURVEY_BLOCKS):
        norms.append(stream.batch(block).norm(dim=1))
        if world.tree is not None:
            counts += np.bincount(stream.firing(block).columns, minlength=world.count)
    limit = limit_of(torch.cat(norms).numpy(), wanted)
    ordinary = [block[block <= limit] for block in norms]
    total = sum(block.sum(dtype=torch.float64).item() for block in ordinary)
    mean_norm = total / sum(map(len, ordinary))
    return Survey(mean_norm, torch.cat(norms).numpy(), counts / tokens)


def make(folder: Path | str, settings_json: str) -> dict[str, Any]:
    """Build a world and write it: `world.npz`, and `manifest.json` last.

    Parameters
    ----------
    folder
        Where to.
    settings_json
        Canonical JSON of the `Synthetic` section.

    Returns
    -------
    dict
        The manifest. `true_l0` is the expected number of features that fire, `true_l0_from` tells
        how it is known.
    """
    start = time.perf_counter()
    folder = Path(folder)
    settings = Synthetic.model_validate(json.loads(settings_json))
    world = build_world(settings)
    measured = survey(world, settings.seed, settings.outlying)
    if settings.sinks is not None:
        world = with_sinks(world, settings.sinks, measured.mean_norm, settings.seed)
        measured = survey(world, settings.seed, settings.outlying)
    norms = norm_facts(measured.norms, measured.norms[:0], settings.outlying)
    far = _outlying(world, settings, norms)
    norms |= {"held_out": settings.held_out_tokens, "outlying_held_out": int(far.sum())}
    exact = firing_rates(world)
    rates = measured.rates if exact is None else exact
    with replacing(folder / "world.npz") as path:
        np.savez(path, rates=rates, **arrays_of(world))
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=settings_json,
        inputs={},
        outputs=[
            folder / "world.npz",
            *save_outlying(folder, {"training": far[:0], "held_out": far}),
        ],
        norms=norms,
        seed=settings.seed,
        features=world.count,
        d_in=world.d_in,
        held_out_tokens=settings.held_out_tokens,
        mean_norm=measured.mean_norm,
        true_l0=float(rates.sum()),
        true_l0_from=(
            f"measured on {SURVEY_BLOCKS * BLOCK_TOKENS} samples" if exact is None else "formula"
        ),
        wall_s=round(time.perf_counter() - start, 3),
    )
    return read_manifest(folder / "manifest.json")


def _outlying(
    world: World, settings: Synthetic, norms: Mapping[str, Any]
) -> Bool[np.ndarray, " rows"]:
    """Return which held-out samples are outlying: none where none was found in the survey."""
    rows = settings.held_out_tokens
    far = np.zeros(rows, dtype=bool)
    if not norms["outlying_training"]:
        return far
    stream = Stream(world, settings.seed, BLOCK_TOKENS, "measure")
    for start in range(0, rows, BLOCK_TOKENS):
        found = stream.batch(start // BLOCK_TOKENS).norm(dim=1) > norms["limit"]
        far[start : start + BLOCK_TOKENS] = found[: rows - start].numpy()
    return far
