"""A synthetic world on disk, and opened as a source: what is trained on, measured on, and true."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import (
    check_outputs,
    digest_of,
    read_manifest,
    replacing,
    write_manifest,
)
from correct_l0.sources.synthetic import RECIPE, STAGE
from correct_l0.sources.synthetic.generator import Ahead, Stream
from correct_l0.sources.synthetic.hierarchy import Tree
from correct_l0.sources.synthetic.settings import Synthetic
from correct_l0.sources.synthetic.world import World, build_world, firing_rates

# The size of a block is part of the recipe: the samples depend on it.
BLOCK_TOKENS = 1024
"""Held-out samples are made in blocks, so that any of them can be had without the others."""

SURVEY_BLOCKS = 100
"""Blocks of samples on which a world's constants are measured."""


class Survey(NamedTuple):
    """Constants of a world, measured on `SURVEY_BLOCKS` blocks of samples of their own."""

    mean_norm: float
    """Mean norm of the samples."""
    rates: Float[np.ndarray, " features"]
    """How often each feature fires."""


def survey(world: World, seed: int) -> Survey:
    """Measure a world's constants."""
    stream = Stream(world, seed, BLOCK_TOKENS, "survey")
    tokens = SURVEY_BLOCKS * BLOCK_TOKENS
    norms, counts = 0.0, np.zeros(world.count, dtype=np.int64)
    for block in range(SURVEY_BLOCKS):
        norms += stream.batch(block).norm(dim=1).sum(dtype=torch.float64).item()
        if world.tree is not None:
            counts += np.bincount(stream.firing(block).columns, minlength=world.count)
    return Survey(norms / tokens, counts / tokens)


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
    measured = survey(world, settings.seed)
    exact = firing_rates(world)
    rates = measured.rates if exact is None else exact
    with replacing(folder / "world.npz") as path:
        np.savez(path, rates=rates, **_arrays(world))
    write_manifest(
        folder / "manifest.json",
        stage=STAGE,
        recipe=RECIPE,
        parameters=settings_json,
        inputs={},
        outputs=[folder / "world.npz"],
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


def _arrays(world: World) -> dict[str, Any]:
    """Return a world as named arrays."""
    parts = dict(vars(world))
    tree = parts.pop("tree")
    return parts | ({f"tree_{name}": value for name, value in vars(tree).items()} if tree else {})


def _world(arrays: Mapping[str, np.ndarray]) -> World:
    """Return the world of the arrays that `_arrays` named."""
    parts: dict[str, Any] = {field.name: arrays.get(field.name) for field in fields(World)}
    parts["scaled"] = bool(parts["scaled"])
    if "tree_roots" in arrays:
        roots, branching, depth = (
            int(arrays[f"tree_{name}"]) for name in ("roots", "branching", "depth")
        )
        parts["tree"] = Tree(roots, branching, depth, arrays["tree_exclusive"])
    return World(**parts)


def open_world(manifest_path: Path | str) -> SyntheticStore:
    """Open a synthetic world.

    Parameters
    ----------
    manifest_path
        `manifest.json` in the world's folder, written by `make`.

    Raises
    ------
    InputError
        If the manifest is missing, damaged or of another stage, or the world's file is.
    """
    path = Path(manifest_path)
    manifest = read_manifest(path)
    if manifest.get("stage") != STAGE:
        raise InputError(
            f"{path}: stage is {manifest.get('stage')!r}, not {STAGE!r}; name the manifest.json in "
            "the world's own folder"
        )
    check_outputs(path, f"delete {path} and run again")
    with np.load(path.parent / "world.npz") as arrays:
        return SyntheticStore(dict(arrays), manifest, digest_of(path))


class SyntheticStore:
    """A synthetic world as a source of activations.

    Attributes
    ----------
    d_in : int
        Width of the samples.
    n_held_out : int
        Held-out samples. There is no end of training samples.
    mean_norm : float
        Mean norm of the samples, measured once for the world.
    digest : str
        Identifies the world's content.
    manifest : dict
        The world's manifest.
    metadata : dict
        What a saved SAE tells about its input.
    world : World
        The true features, and what decides which fire.
    truth : Truth
        What is known of the held-out samples besides.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], manifest: dict[str, Any], digest: str
    ) -> None:
        self.world = _world(arrays)
        self.manifest = manifest
        self.digest = digest
        self.d_in = self.world.d_in
        self.n_held_out = int(manifest["held_out_tokens"])
        self.mean_norm = float(manifest["mean_norm"])
        self.metadata: dict[str, str | int | None] = {
            "model_name": "synthetic",
            "hook_name": "synthetic",
            "context_size": None,
            "dataset_path": None,
        }
        self._held_out = Stream(self.world, int(manifest["seed"]), BLOCK_TOKENS, "measure")
        self.truth = Truth(
            directions=torch.from_numpy(self.world.directions),
            rates=arrays["rates"],
            true_l0=float(manifest["true_l0"]),
            true_l0_from=manifest["true_l0_from"],
            magnitudes=partial(self._rows, self._held_out.magnitudes, self.world.count),
        )

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return held-out samples [start, stop).

        Raises
        ------
        InputError
            If the range leaves the held-out samples.
        """
        return self._rows(self._held_out.batch, self.d_in, start, stop)

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> Stream | Ahead:
        """Return the stream of training batches: `.batch(step)`, any step at any time.

        Parameters
        ----------
        seed
            Seed of the samples.
        batch_tokens
            Samples per batch.
        prefetch
            Make the next batches in threads meanwhile. Pays where the training itself runs on
            another device.
        threads
            Batches in the making. The batches do not depend on them.
        """
        if prefetch:
            return Ahead(self.world, seed, batch_tokens, threads)
        return Stream(self.world, seed, batch_tokens)

    def _rows(
        self, make: Callable[[int], Tensor], width: int, start: int, stop: int
    ) -> Float[Tensor, "rows width"]:
        """Return rows [start, stop) of what is made block by block."""
        if not 0 <= start <= stop <= self.n_held_out:
            raise InputError(
                f"rows {start}:{stop} leave the {self.n_held_out} held-out samples; ask for fewer"
            )
        rows = torch.empty(stop - start, width)
        for block in range(start // BLOCK_TOKENS, -(-stop // BLOCK_TOKENS)):
            first = block * BLOCK_TOKENS
            low, high = max(start, first), min(stop, first + BLOCK_TOKENS)
            rows[low - start : high - start] = make(block)[low - first : high - first]
        return rows


@dataclass(frozen=True)
class Truth:
    """What is known of a synthetic world.

    Attributes
    ----------
    directions
        The true features, unit vectors.
    rates
        How often each fires.
    true_l0
        Expected number of features that fire.
    true_l0_from
        `formula`, or on how many samples it was measured.
    magnitudes
        Of held-out samples [start, stop): the magnitude of each feature, zero where it does not
        fire; float32, shape (stop - start, features).
    """

    directions: Float[Tensor, "features d_in"]
    rates: Float[np.ndarray, " features"]
    true_l0: float
    true_l0_from: str
    magnitudes: Callable[[int, int], Float[Tensor, "rows features"]]

    def fires(self, start: int, stop: int) -> Bool[Tensor, "rows features"]:
        """Return which features fire in held-out samples [start, stop)."""
        return self.magnitudes(start, stop) > 0
