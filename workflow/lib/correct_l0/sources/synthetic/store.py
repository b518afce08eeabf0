"""A synthetic world opened as a source: what is trained on, measured on, and true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_outputs
from correct_l0.provenance.manifest import digest_of, read_manifest
from correct_l0.sources.outlying import Kept, any_outlying, load_outlying
from correct_l0.sources.synthetic import STAGE
from correct_l0.sources.synthetic.generator import Ahead, Ordinary, Stream
from correct_l0.sources.synthetic.hierarchy import Tree
from correct_l0.sources.synthetic.world import World

# The size of a block is part of the recipe: the samples depend on it.
BLOCK_TOKENS = 1024
"""Held-out samples are made in blocks, so that any of them can be had without the others."""

SPARE_TOKENS = 64
"""Samples that are made at a time where some have to take the place of outlying ones."""


def arrays_of(world: World) -> dict[str, Any]:
    """Return a world as named arrays."""
    parts = dict(vars(world))
    if world.sink is None:
        del parts["sink"], parts["sink_share"]
    tree = parts.pop("tree")
    return parts | ({f"tree_{name}": value for name, value in vars(tree).items()} if tree else {})


def _world(arrays: Mapping[str, np.ndarray]) -> World:
    """Return the world of the arrays that `arrays_of` named."""
    parts: dict[str, Any] = {field.name: arrays.get(field.name) for field in fields(World)}
    parts["scaled"] = bool(parts["scaled"])
    parts["sink_share"] = float(parts["sink_share"] or 0.0)
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
    manifest = read_manifest(path, STAGE)
    check_outputs(path, f"delete {path} and run again")
    with np.load(path.parent / "world.npz") as arrays:
        outlying = load_outlying(path.parent, manifest)["held_out"]
        return SyntheticStore(dict(arrays), manifest, digest_of(path), outlying)


class SyntheticStore:
    """A synthetic world as a source of activations.

    Attributes
    ----------
    d_in : int
        Width of the samples.
    n_held_out : int
        Held-out samples that are used. There is no end of training samples.
    norms : dict or None
        What is known of the samples' norms (`outlying.norm_facts`), of training samples by the
        survey.
    mean_norm : float
        Mean norm of the samples that are not outlying, measured once for the world.
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
        self,
        arrays: Mapping[str, np.ndarray],
        manifest: dict[str, Any],
        digest: str,
        outlying: Int[np.ndarray, " n"],
    ) -> None:
        self.world = _world(arrays)
        self.manifest = manifest
        self.digest = digest
        self.d_in = self.world.d_in
        self.norms = manifest.get("norms")
        self._drops = self.norms is not None and self.norms["rows"] == "drop"
        self._dropped = outlying if self._drops else outlying[:0]
        self._kept = Kept(int(manifest["held_out_tokens"]), self._dropped)
        self.n_held_out = len(self._kept)
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
            magnitudes=partial(self._used, self._held_out.magnitudes, self.world.count),
        )

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return the held-out samples [start, stop) of those that are used.

        Raises
        ------
        InputError
            If the range leaves the held-out samples.
        """
        return self._used(self._held_out.batch, self.d_in, start, stop)

    def set_aside(self, most: int) -> Float[Tensor, "rows d_in"]:
        """Return the first held-out samples that are left out, at most so many."""
        rows = [
            self._rows(self._held_out.batch, self.d_in, int(row), int(row) + 1)
            for row in self._dropped[:most]
        ]
        return torch.cat([torch.empty(0, self.d_in), *rows])

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> Stream | Ahead | Ordinary:
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
        rows = (
            Ahead(self.world, seed, batch_tokens, threads)
            if prefetch
            else Stream(self.world, seed, batch_tokens)
        )
        if not (self._drops and any_outlying(self.norms)):
            return rows
        spare = Stream(self.world, seed, SPARE_TOKENS, "spare")
        return Ordinary(rows, spare, self.manifest["norms"]["limit"])

    def _used(
        self, make: Callable[[int], Tensor], width: int, start: int, stop: int
    ) -> Float[Tensor, "rows width"]:
        """Return rows [start, stop) of those that are used, of what is made block by block."""
        if not 0 <= start <= stop <= self.n_held_out:
            raise InputError(
                f"rows {start}:{stop} leave the {self.n_held_out} held-out samples; ask for fewer"
            )
        if start == stop:
            return torch.empty(0, width)
        numbers = self._kept.numbers(start, stop)
        first, last = int(numbers[0]), int(numbers[-1])
        rows = self._rows(make, width, first, last + 1)
        return rows if len(rows) == len(numbers) else rows[torch.from_numpy(numbers - first)]

    def _rows(
        self, make: Callable[[int], Tensor], width: int, start: int, stop: int
    ) -> Float[Tensor, "rows width"]:
        """Return rows [start, stop) of what is made block by block, outlying ones too."""
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
