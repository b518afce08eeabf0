"""Somebody's rows, opened by their index as a source of activations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_outputs
from correct_l0.provenance.manifest import digest_of, read_manifest
from correct_l0.sources.language_model.layout import Layout
from correct_l0.sources.language_model.reader import Store
from correct_l0.sources.language_model.stream import TrainingStream
from correct_l0.sources.outlying import Kept, load_outlying
from correct_l0.sources.stored import STAGE
from correct_l0.sources.stored.rows import Rows, checksum_of, open_rows
from correct_l0.sources.stored.settings import Stored

GROUP_BYTES = 512 * 2**20
"""So many bytes are mixed at a time, where the rows are more than memory holds."""

KEPT_BYTES = 2**30
"""Held-out rows are kept in memory once read, where they are no larger."""


def open_stored(manifest_path: Path | str) -> StoredStore:
    """Open somebody's rows.

    Parameters
    ----------
    manifest_path
        `manifest.json` in the source's folder, written by `index.make`.

    Raises
    ------
    InputError
        If the manifest is missing, damaged or of another stage, or the files are gone or have other
        rows than they had. Their values are held against checksums when they are read.
    """
    path = Path(manifest_path)
    manifest = read_manifest(path, STAGE)
    again = f"delete {path} and run again"
    check_outputs(path, again)
    settings = json.loads(manifest["parameters"])
    rows = open_rows(manifest["places"]["path"], settings.get("array"), settings.get("dtype"))
    if [len(rows), rows.d_in, rows.dtype] != [manifest[x] for x in ("rows", "d_in", "dtype")]:
        raise InputError(
            f"{manifest['places']['path']}: {rows.description}, not the {manifest['rows']:,} of "
            f"{manifest['d_in']} in {manifest['dtype']} that were indexed; {again}"
        )
    with np.load(path.parent / "index.npz") as index:
        return StoredStore(path, manifest, rows, dict(index))


class StoredStore(Store):
    """Rows where they lie, as a source of activations; see `Store`.

    All rows are one split, of which those held out are left out; `held_out` reads them by number.
    """

    def __init__(
        self,
        path: Path,
        manifest: dict[str, Any],
        rows: Rows,
        index: dict[str, Int[np.ndarray, " n"]],
    ) -> None:
        self.source = rows
        self.manifest = manifest
        self.digest = digest_of(path)
        self.d_in, self.dtype = rows.d_in, rows.dtype
        self.layout = Layout(
            d_in=rows.d_in,
            dtype=rows.dtype,
            training=len(rows),
            held_out=0,
            shard_rows=len(rows),
            chunk_rows=int(manifest["piece_rows"]),
            window_shards=1,
        )
        self.norms = manifest["norms"]
        self.mean_norm = float(manifest["mean_norm"])
        outlying = load_outlying(path.parent, manifest)
        if manifest["norms"]["rows"] == "keep":
            outlying = {split: numbers[:0] for split, numbers in outlying.items()}
        dropped = np.union1d(index["drawn"], outlying["training"])
        self.kept = {"training": Kept(len(rows), dropped)}
        self._held_out = np.delete(index["held_out"], outlying["held_out"])
        self._aside = index["held_out"][outlying["held_out"]]
        self.n_training, self.n_held_out = len(self.kept["training"]), len(self._held_out)
        settings = Stored.model_validate({**json.loads(manifest["parameters"]), "path": ""})
        self.metadata = {
            "model_name": settings.model_name,
            "hook_name": settings.hook_name,
            "context_size": rows.sequence,
            "dataset_path": None,
        }
        self._crcs: UInt[np.ndarray, " pieces"] = index["crcs"]
        self._remedy = f"delete {path} and run again"
        self._last = None
        self._memory: Tensor | None = None

    def held_out(self, start: int, stop: int) -> Float[Tensor, "rows d_in"]:
        """Return the raw held-out rows [start, stop) of those that are used, in float32."""
        if not 0 <= start <= stop <= self.n_held_out:
            raise InputError(
                f"rows {start}:{stop} leave the {self.n_held_out} held-out rows; ask for fewer"
            )
        if self._memory is None and self.n_held_out * self.d_in * 4 <= KEPT_BYTES:
            self._memory = self._numbered(self._held_out)
        if self._memory is not None:
            return self._memory[start:stop].clone()
        return self._numbered(self._held_out[start:stop])

    def set_aside(self, most: int) -> Float[Tensor, "rows d_in"]:
        """Return the first raw held-out rows that are left out, at most so many."""
        return self._numbered(self._aside[:most])

    def stream(
        self, seed: int, batch_tokens: int, *, prefetch: bool = False, threads: int = 1
    ) -> TrainingStream:
        """Return the training batches of a seed (`TrainingStream`)."""
        piece = self.layout.chunk_rows * self.layout.row_bytes
        return TrainingStream(
            self,
            seed,
            batch_tokens,
            prefetch=prefetch,
            read_threads=threads,
            group_chunks=max(1, GROUP_BYTES // piece),
        )

    def fill_chunk(self, split: str, column: str, chunk: int, out: np.ndarray) -> None:
        """Read a piece into `out`, its checksum verified."""
        start = chunk * self.layout.chunk_rows
        self.source.fill(start, start + len(out), out)
        if checksum_of(out) != self._crcs[chunk]:
            where = f"{self.manifest['places']['path']}: rows {start} to {start + len(out) - 1}"
            raise InputError(f"{where} are not as they were indexed; {self._remedy}")

    def _numbered(self, numbers: Int[np.ndarray, " n"]) -> Float[Tensor, "n d_in"]:
        """Return rows of the files by their numbers, which are in order."""
        size = self.layout.chunk_rows
        found = torch.empty(len(numbers), self.d_in)
        for piece in np.unique(numbers // size):
            first, last = np.searchsorted(numbers, [piece * size, (piece + 1) * size])
            values = self._cached("training", "acts", int(piece))
            found[first:last] = self.decode(values[numbers[first:last] - piece * size])
        return found
