"""The Zarr store of a cache: made once, written shard by shard.

What zarr does silently shapes this module: a missing or empty shard reads as fill values, so the
fill is NaN and every shard has a record of its bytes and sha256, written after it (a crc32c would
say nothing: over data followed by its own crc32c it is the same for all data); two writers of
one shard lose rows, so a job owns whole shards; `overwrite` deletes what others wrote, so the store
is built under another name and renamed into place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec

from correct_l0.errors import DISK_FULL, InputError
from correct_l0.provenance.manifest import read_manifest, replacing, sha256_of, write_json
from correct_l0.sources.language_model.layout import COLUMNS, SPLITS, Layout
from correct_l0.sources.language_model.shards import remedy, shard_path, write_shard

# bfloat16's NaN as the unsigned integer that holds its bits.
FILL = {"float32": float("nan"), "float16": float("nan"), "bfloat16": 0x7FC0}
ZARR_DTYPES = {"float32": "float32", "float16": "float16", "bfloat16": "uint16"}


def of_column(layout: Layout, column: str) -> tuple[str, float]:
    """Return the type on disk of an array, and what stands where nothing was written."""
    if column == "acts":
        return ZARR_DTYPES[layout.dtype], FILL[layout.dtype]
    return "int32", -1


def ensure_store(folder: Path, layout: Layout, provenance: Mapping[str, Any]) -> None:
    """Make the store where there is none; of an existing one, mend the metadata if need be.

    Several jobs may call this at once: the rename succeeds for one of them, and the metadata that
    they may renew is the same.

    Parameters
    ----------
    folder
        The Zarr group's folder.
    layout
        Sizes of its arrays.
    provenance
        Attributes of the group: model, tensor, text, packing, seeds, versions, and `identity`, the
        digest of all the numbers depend on.

    Raises
    ------
    InputError
        If another store is there already.
    """
    if not folder.exists():
        with _created(folder, layout, provenance) as made:
            try:
                made.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    identity = _identity(folder)
    if identity not in (None, provenance["identity"]):
        raise InputError(
            f"{folder}: made with other settings, text or model; delete {folder} and "
            f"{folder.parent}/parts and run again"
        )
    try:
        check_metadata(folder, layout)
    except InputError:
        with _created(folder, layout, provenance) as made:
            for path in made.rglob("zarr.json"):
                os.replace(path, folder / path.relative_to(made))


def _identity(folder: Path) -> str | None:
    """Return the identity of a store, None where its metadata cannot be read."""
    try:
        found = zarr.open_group(folder, mode="r").attrs.get("identity")
    except Exception:  # Whatever zarr makes of damaged metadata.
        return None
    return found if isinstance(found, str) else None


@contextmanager
def _created(folder: Path, layout: Layout, provenance: Mapping[str, Any]) -> Iterator[Path]:
    """Yield an empty store beside a folder; what is left of it in the end is deleted."""
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(made, ignore_errors=True)
    try:
        with full_disk_named(folder.parent):
            _create(made, layout, provenance)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _create(folder: Path, layout: Layout, provenance: Mapping[str, Any]) -> None:
    root = zarr.open_group(folder, mode="w-", attributes=dict(provenance))
    for split in SPLITS:
        group = root.create_group(split)
        for column in COLUMNS:
            acts = column == "acts"
            width = (layout.d_in,) if acts else ()
            dtype, fill = of_column(layout, column)
            group.create_array(
                column,
                shape=(layout.rows(split), *width),
                dtype=dtype,
                shards=(layout.shard_rows, *width),
                chunks=(layout.chunk_rows, *width),
                serializer=BytesCodec(endian="little"),
                compressors=Crc32cCodec(),
                filters=None,
                fill_value=fill,
                dimension_names=("row", "d_in") if acts else ("row",),
                attributes={"logical_dtype": layout.dtype} if acts else {},
                config={"write_empty_chunks": True},
            )


def check_metadata(folder: Path, layout: Layout) -> None:
    """Hold the metadata of the store and of every array against the layout.

    Raises
    ------
    InputError
        Naming the first group or array whose metadata cannot be read or differ.
    """
    _open(zarr.open_group, folder)
    for split in SPLITS:
        _open(zarr.open_group, folder / split)
        for column in COLUMNS:
            path = folder / split / column
            array = _open(zarr.open_array, path)
            width = (layout.d_in,) if column == "acts" else ()
            wanted = (
                (layout.rows(split), *width),
                (layout.shard_rows, *width),
                (layout.chunk_rows, *width),
                of_column(layout, column)[0],
            )
            found = (array.shape, array.shards, array.chunks, str(array.dtype))
            if found != wanted:
                raise InputError(
                    f"{path}: shape, shards, chunks and type are {found}, not {wanted}; "
                    f"{remedy(path)}"
                )


def _open(function: Callable[..., Any], path: Path) -> Any:
    try:
        return function(path, mode="r")
    except Exception as error:  # Whatever zarr makes of damaged metadata.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: unreadable metadata ({reason}); {remedy(path)}") from None


class ShardWriter:
    """Writes whole shards of a store, and a record after each.

    Parameters
    ----------
    cache
        The cache's folder; the store is in `store/`, the records in `records/`.
    layout
        Sizes.
    identity
        Digest of what the numbers depend on; a record with another one is not believed.
    """

    def __init__(self, cache: Path, layout: Layout, identity: str) -> None:
        self.store = cache / "store"
        self.records = cache / "records"
        self.layout = layout
        self.identity = identity

    def finished(self, split: str, shard: int) -> dict[str, Any] | None:
        """Return the record of a shard whose files are as they were written, else None."""
        path = self._record(split, shard)
        if not path.exists():
            return None
        try:
            record = read_manifest(path)
        except InputError:
            return None
        if record.get("identity") != self.identity:
            return None
        for column, expected in record["files"].items():
            file = shard_path(self.store, split, column, shard)
            if not file.exists() or file.stat().st_size != expected["bytes"]:
                return None
            if sha256_of(file) != expected["sha256"]:
                return None
        return record

    def write(
        self,
        split: str,
        shard: int,
        columns: Mapping[str, np.ndarray],
        norms: np.ndarray,
        **facts: Any,
    ) -> dict[str, Any]:
        """Write the rows of one shard of all four arrays, then its record.

        Parameters
        ----------
        split, shard
            Which shard.
        columns
            `acts` of shape (rows, d_in) in the type on disk; `token_id`, `document_id` and
            `position` of shape (rows,).
        norms
            Norms of the rows, float32, shape (rows,); beside the record.
        **facts
            What the record keeps beside the files.

        Returns
        -------
        dict
            The record.

        Raises
        ------
        InputError
            If the disk is full.
        """
        start, stop = self.layout.shard_range(split, shard)
        with full_disk_named(self.store):
            self._record(split, shard).unlink(missing_ok=True)
            files = {}
            for column in COLUMNS:
                path = shard_path(self.store, split, column, shard)
                for leftover in path.parent.glob(f".{path.name}.*"):
                    leftover.unlink()
                dtype, fill = of_column(self.layout, column)
                files[column] = write_shard(
                    path,
                    np.ascontiguousarray(columns[column], dtype),
                    self.layout.chunks_per_shard,
                    self.layout.chunk_rows,
                    fill,
                )
            with replacing(norms_path(self.records, split, shard)) as path:
                np.save(path, norms)
                digest = sha256_of(path)
            record = {"identity": self.identity, "rows": stop - start, "files": files}
            record |= {"norms": digest, **facts}
            write_json(self._record(split, shard), record)
            return record

    def discard(self, split: str, shard: int) -> list[Path]:
        """Delete what there is of a shard; return its files."""
        paths = [self._record(split, shard), norms_path(self.records, split, shard)]
        paths += [shard_path(self.store, split, column, shard) for column in COLUMNS]
        there = [path for path in paths if path.exists()]
        for path in there:
            path.unlink()
        return there

    def _record(self, split: str, shard: int) -> Path:
        return self.records / f"{split}_{shard:06d}.json"


def norms_path(records: Path, split: str, shard: int) -> Path:
    """Return the file of the norms of a shard's rows, beside its record."""
    return records / f"{split}_{shard:06d}.norms.npy"


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Turn the system's error for a full disk or quota into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        raise InputError(
            f"{folder}: disk full or over quota, {free:,} bytes free; free space and run again: "
            "finished shards are kept"
        ) from None
