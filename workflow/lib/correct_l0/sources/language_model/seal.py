"""The sealed manifest of a cache, and its verification afterwards."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import (
    digest_of,
    read_manifest,
    sha256_of,
    write_json,
    write_manifest,
)
from correct_l0.sources.language_model import RECIPE
from correct_l0.sources.language_model.layout import (
    COLUMNS,
    SPLITS,
    Layout,
    identity_settings,
    sealed_settings,
)
from correct_l0.sources.language_model.norms import most_positions, split_norms
from correct_l0.sources.language_model.reader import Store, open_store
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.language_model.shards import MISSING, read_index, remedy, shard_path
from correct_l0.sources.language_model.store import check_metadata
from correct_l0.sources.outlying import norm_facts, save_outlying

Depth = Literal["sizes", "indexes", "checksums"]


def seal(activations: Activations, cache: Path, parts: Sequence[Path | str]) -> None:
    """Check that the shards are complete and write `shards.json` and `manifest.json`.

    Neither holds times: sealed again over the same shards, they are the same files, and nothing
    that depends on them runs again.

    Parameters
    ----------
    activations
        Settings of the cache.
    cache
        Its folder.
    parts
        The part manifest of each job.

    Raises
    ------
    InputError
        If a part is of other settings or text, a shard is missing, there twice or of another size,
        or the metadata of an array is not that of the settings.
    """
    layout = Layout.of(activations)
    text_digest = digest_of(cache / "text" / "manifest.json")
    rows_settings = identity_settings(activations)
    manifests = [_read_part(Path(path), rows_settings, text_digest) for path in parts]
    shards = _collect(cache, layout, manifests)
    check_metadata(cache / "store", layout)
    listing = {
        "layout": vars(layout),
        "shards": {split: [record["files"] for record in shards[split]] for split in SPLITS},
    }
    write_json(cache / "shards.json", listing)
    norms = {split: split_norms(cache, layout, split, shards[split]) for split in SPLITS}
    of_training, held_out = (np.concatenate(norms[split]) for split in SPLITS)
    facts = norm_facts(of_training, held_out, activations.outlying)
    limit = math.inf if facts["limit"] is None else facts["limit"]
    far = {split: [part > limit for part in norms[split]] for split in SPLITS}
    rows = {split: np.concatenate(far[split]) for split in SPLITS}
    facts["positions"] = most_positions(cache, np.flatnonzero(rows["training"]))
    means = {split: _means(shards[split], norms[split], far[split]) for split in SPLITS}
    for split, (mean, mean_norm) in means.items():
        array = zarr.open_array(cache / "store" / split / "acts", mode="r+")
        array.attrs.update({"mean": mean, "mean_norm": mean_norm})
    for leftover in cache.glob(".store.*"):
        shutil.rmtree(leftover)
    mean, mean_norm = means["training"]
    text = read_manifest(cache / "text" / "manifest.json")
    record = read_manifest(cache / "cache.json")
    write_manifest(
        cache / "manifest.json",
        stage="seal_activations",
        recipe=RECIPE,
        parameters=sealed_settings(activations),
        inputs={"text": text_digest},
        outputs=[cache / "shards.json", *save_outlying(cache, rows)],
        norms=facts,
        cache=activations.cache,
        d_in=layout.d_in,
        n_training=layout.training,
        n_held_out=layout.held_out,
        dtype=layout.dtype,
        mean=mean,
        mean_norm=mean_norm,
        hook_name=activations.hook_name,
        model=record["model"],
        model_name=record.get("model_name", activations.model.source),
        documents=text["documents"],
        english_words=text.get("english_words"),
        dropped_ids=text["dropped_ids"],
        bytes=sum(f["bytes"] for s in SPLITS for r in shards[s] for f in r["files"].values()),
        jobs=len(manifests),
    )


def _read_part(path: Path, settings: str, text_digest: str) -> dict[str, Any]:
    part = read_manifest(path)
    if part.get("parameters") != settings or part.get("inputs") != {"text": text_digest}:
        raise InputError(f"{path}: made with other settings or text; delete it and run again")
    return part


def _collect(
    cache: Path, layout: Layout, parts: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each split's shards in order, each there once and of its size."""
    if len({part["identity"] for part in parts}) != 1:
        raise InputError(f"{cache}/parts: of different models; delete {cache} and run again")
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for record in (record for part in parts for record in part["shards"]):
        key = (record["split"], record["shard"])
        if key in found:
            path = shard_path(cache / "store", key[0], "acts", key[1])
            raise InputError(f"{key[0]} shard {key[1]} is in two parts; {remedy(path)}")
        found[key] = record
    wanted = [(split, shard) for split in SPLITS for shard in range(layout.shards(split))]
    for split, shard in (*wanted, *found):
        path = shard_path(cache / "store", split, "acts", shard)
        if (split, shard) not in found:
            raise InputError(f"{split} shard {shard} is in no part; {remedy(path)}")
        if (split, shard) not in wanted:
            raise InputError(f"{split} shard {shard} is beyond the last one; {remedy(path)}")
        _check_record(cache / "store", layout, split, shard, found[split, shard])
    return {
        split: [found[split, shard] for shard in range(layout.shards(split))] for split in SPLITS
    }


def _check_record(
    store: Path, layout: Layout, split: str, shard: int, record: dict[str, Any]
) -> None:
    start, stop = layout.shard_range(split, shard)
    if record["rows"] != stop - start:
        path = shard_path(store, split, "acts", shard)
        raise InputError(f"{path}: {record['rows']} rows, not {stop - start}; {remedy(path)}")
    for column in COLUMNS:
        path = shard_path(store, split, column, shard)
        size = path.stat().st_size if path.exists() else 0
        if size != record["files"][column]["bytes"]:
            raise InputError(
                f"{path}: {size} bytes, not {record['files'][column]['bytes']}; {remedy(path)}"
            )


def _means(
    shards: Sequence[dict[str, Any]], norms: Sequence[np.ndarray], far: Sequence[np.ndarray]
) -> tuple[list[float], float]:
    """Return the mean row, and the mean norm of the rows that are not outlying."""
    rows = sum(record["rows"] for record in shards)
    vector = np.sum([record["vector_sum"] for record in shards], axis=0) / rows
    outlying = sum(int(part.sum()) for part in far)
    sums = [record["norm_sum"] for record in shards]
    sums += [
        -float(part[these].sum(dtype=np.float64))
        for part, these in zip(norms, far, strict=True)
        if these.any()
    ]
    return vector.tolist(), math.fsum(sums) / (rows - outlying)


def verify(manifest_path: Path | str, depth: Depth) -> Store:
    """Return the opened cache after checking it to a depth.

    Parameters
    ----------
    manifest_path
        The sealed manifest.
    depth
        `sizes`: every file is there and has its size. `indexes`: moreover the metadata of each
        array, each shard's index and its checksum, and that no chunk is missing. `checksums`:
        moreover every byte of every shard.

    Raises
    ------
    InputError
        Naming the first damaged file.
    """
    store = open_store(manifest_path)
    if depth == "sizes":
        return store
    layout = store.layout
    check_metadata(store.folder, layout)
    for split, shards in store.listing["shards"].items():
        for shard, files in enumerate(shards):
            start, stop = layout.shard_range(split, shard)
            for column, expected in files.items():
                path = shard_path(store.folder, split, column, shard)
                index = read_index(path, layout.chunks_per_shard)
                used = index[: math.ceil((stop - start) / layout.chunk_rows)]
                if (used == MISSING).any():
                    raise InputError(f"{path}: chunks were never written; {remedy(path)}")
                if depth == "checksums" and sha256_of(path) != expected["sha256"]:
                    raise InputError(f"{path}: wrong checksum; {remedy(path)}")
    return store
