"""A sealed activation cache, opened for reading.

`open_store` checks the size of every shard file; each chunk's checksum is verified when it is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import digest_of, read_manifest, sha256_of
from correct_l0.sources.language_model.layout import COLUMNS, SPLITS, Layout
from correct_l0.sources.language_model.shards import read_chunk, read_index, remedy, shard_path
from correct_l0.sources.language_model.stream import TrainingStream
from correct_l0.sources.outlying import Kept, load_outlying

__all__ = ["Store", "TrainingStream", "open_store"]

# Zarr 3.1 has no bfloat16: its bits are kept as unsigned integers.
DISK_DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


def open_store(manifest_path: Path | str) -> Store:
    """Open a sealed activation cache.

    Parameters
    ----------
    manifest_path
        `manifest.json` in the cache's folder, written by the sealing rule.

    Returns
    -------
    Store
        The cache; every shard file is there and has its size.

    Raises
    ------
    InputError
        If the manifest or the list of shards is missing or damaged, or a shard file is missing
        or of another size.
    """
    path = Path(manifest_path)
    manifest = read_manifest(path, "seal_activations")
    for name, expected in manifest["outputs"].items():
        file = path.parent / name
        if not file.exists() or sha256_of(file) != expected["sha256"]:
            raise InputError(f"{file}: missing or changed since it was sealed; {_reseal(path)}")
    store = Store(path, manifest, read_manifest(path.parent / "shards.json"))
    store.check_sizes()
    return store


def _reseal(path: Path) -> str:
    return f"delete {path} and run again"


class Store:
    """Activations of one hook: a training split and a held-out split of whole documents.

    Attributes
    ----------
    d_in : int
        Width of the activations.
    n_training, n_held_out : int
        Rows of the two splits that are used.
    kept : dict
        Which those are (`outlying.Kept`), by split.
    norms : dict or None
        What is known of the rows' norms (`outlying.norm_facts`).
    mean : Float[Tensor, "d_in"]
        Mean of the raw training rows, all of them.
    mean_norm : float
        Mean norm of the raw training rows that are not outlying.
    digest : str
        Identifies the cache's content.
    dtype : str
        Precision on disk: float32, float16 or bfloat16.
    layout : Layout
        Rows per chunk and shard.
    manifest : dict
        The sealed manifest.
    metadata : dict
        What a saved SAE tells about its input: model_name, hook_name, context_size.
    """

    truth = None
    """Nothing is known of the true features of a language model."""

    def __init__(self, path: Path, manifest: dict[str, Any], listing: dict[str, Any]) -> None:
        self.folder = path.parent / "store"
        self.manifest = manifest
        self.listing = listing
        self.layout = Layout(**listing["layout"])
        self.d_in = self.layout.d_in
        self.norms = manifest.get("norms")
        dropped = load_outlying(path.parent, manifest)
        if self.norms is None or self.norms["rows"] == "keep":
            dropped = {split: rows[:0] for split, rows in dropped.items()}
        self.kept = {split: Kept(self.layout.rows(split), dropped[split]) for split in SPLITS}
        self._aside = dropped["held_out"]
        self.n_training, self.n_held_out = (len(self.kept[split]) for split in SPLITS)
        self.dtype = self.layout.dtype
        self.mean_norm = float(manifest["mean_norm"])
        self.mean = torch.tensor(manifest["mean"], dtype=torch.float32)
        self.digest = digest_of(path)
        settings = json.loads(manifest["parameters"])
        self.metadata: dict[str, str | int | None] = {
            "model_name": manifest.get("model_name", settings["model"]["source"]),
            "hook_name": settings["hook_name"],
            "context_size": settings.get("context_size"),
            "dataset_path": settings["text"].get("dataset") or settings["text"]["source"],
        }
        self._shards: dict[tuple[str, str, int], tuple[Path, np.ndarray]] = {}
        self._last: tuple[tuple[str, str, int], np.ndarray] | None = None

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return the raw held-out rows [start, stop) of those that are used, in float32."""
        if not 0 <= start <= stop <= self.n_held_out:
            raise InputError(
                f"rows {start}:{stop} leave the {self.n_held_out} rows of held_out; ask for fewer"
            )
        if start == stop:
            return self.rows("held_out", 0, 0)
        numbers = self.kept["held_out"].numbers(start, stop)
        first, last = int(numbers[0]), int(numbers[-1])
        rows = self.rows("held_out", first, last + 1)
        return rows if len(rows) == len(numbers) else rows[torch.from_numpy(numbers - first)]

    def set_aside(self, most: int) -> Float[Tensor, "rows d_in"]:
        """Return the first raw held-out rows that are left out, at most so many."""
        rows = [self.rows("held_out", int(row), int(row) + 1) for row in self._aside[:most]]
        return torch.cat([torch.empty(0, self.d_in), *rows])

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> TrainingStream:
        """Return the training batches of a seed (`TrainingStream`)."""
        return TrainingStream(self, seed, batch_tokens, prefetch=prefetch, read_threads=threads)

    def rows(self, split: str, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return raw rows [start, stop) of a split, in float32.

        Raises
        ------
        InputError
            If the range leaves the split, a checksum is wrong, or a row was never written.
        """
        return self.decode(self.column(split, "acts", start, stop))

    def column(self, split: str, column: str, start: int, stop: int) -> np.ndarray:
        """Return rows [start, stop) of one array as they are on disk.

        Parameters
        ----------
        split
            `training` or `held_out`.
        column
            `acts`, `token_id`, `document_id` or `position`.
        start, stop
            Rows.

        Returns
        -------
        numpy.ndarray of shape (stop - start, d_in) for `acts`, (stop - start,) otherwise
        """
        rows = self.layout.rows(split)
        if column not in COLUMNS:
            raise InputError(f"array {column!r} is not in the store; it has {', '.join(COLUMNS)}")
        if not 0 <= start <= stop <= rows:
            raise InputError(f"rows {start}:{stop} leave the {rows} rows of {split}; ask for fewer")
        out = self.empty(stop - start, column)
        size = self.layout.chunk_rows
        for chunk in range(start // size, -(-stop // size) if stop > start else 0):
            low, high = max(start, chunk * size), min(stop, (chunk + 1) * size)
            part = out[low - start : high - start]
            if low == chunk * size and high == min(low + size, rows):
                self.fill_chunk(split, column, chunk, part)
            else:
                part[:] = self._cached(split, column, chunk)[low - chunk * size :][: high - low]
        return out

    def chunk_length(self, split: str, chunk: int) -> int:
        """Return the rows in a chunk; the split's last one may hold fewer."""
        size = self.layout.chunk_rows
        return min(size, self.layout.rows(split) - chunk * size)

    def fill_chunk(self, split: str, column: str, chunk: int, out: np.ndarray) -> None:
        """Read the rows of one chunk into `out`, checksum and presence of every row verified."""
        per_shard = self.layout.chunks_per_shard
        key = (split, column, chunk // per_shard)
        if key not in self._shards:
            path = shard_path(self.folder, *key)
            self._shards[key] = path, read_index(path, per_shard)
        path, index = self._shards[key]
        first = read_chunk(path, index, chunk % per_shard, out)
        if column == "acts" and not np.isfinite(self.decode(first).numpy()).all():
            raise InputError(f"{path}: holds rows that are not finite; {remedy(path)}")

    def empty(self, rows: int, column: str = "acts") -> np.ndarray:
        """Return an uninitialised array of rows in the type on disk."""
        if column == "acts":
            return np.empty((rows, self.d_in), dtype=DISK_DTYPES[self.dtype])
        return np.empty(rows, dtype=np.int32)

    def decode(self, values: np.ndarray) -> Float[Tensor, " rows *d_in"]:
        """Return rows of the type on disk as float32."""
        return self.view(values).float()

    def view(self, values: np.ndarray) -> Float[Tensor, " rows *d_in"]:
        """Return rows as a tensor of their logical type, without copying."""
        tensor = torch.from_numpy(values)
        return tensor.view(torch.bfloat16) if self.dtype == "bfloat16" else tensor

    def check_sizes(self) -> None:
        """Hold the size of every shard file against the sealed list.

        Raises
        ------
        InputError
            Naming the first file that is missing or of another size.
        """
        for split, shards in self.listing["shards"].items():
            for shard, files in enumerate(shards):
                for column, expected in files.items():
                    path = shard_path(self.folder, split, column, shard)
                    try:
                        size = path.stat().st_size
                    except FileNotFoundError:
                        raise InputError(f"{path}: missing; {remedy(path)}") from None
                    if size != expected["bytes"]:
                        raise InputError(
                            f"{path}: {size} bytes, not {expected['bytes']}; {remedy(path)}"
                        )

    def _cached(self, split: str, column: str, chunk: int) -> np.ndarray:
        key = (split, column, chunk)
        if self._last is None or self._last[0] != key:
            values = self.empty(self.chunk_length(split, chunk), column)
            self.fill_chunk(split, column, chunk, values)
            self._last = (key, values)
        return self._last[1]
