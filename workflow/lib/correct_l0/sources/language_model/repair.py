"""What is damaged of a cache is deleted, so that the next run makes it again and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest, read_or_empty
from correct_l0.sources.language_model.cache import store_writer, windows_of_jobs
from correct_l0.sources.language_model.layout import Layout, Window, parse_settings
from correct_l0.sources.language_model.reader import open_store
from correct_l0.sources.language_model.store import ShardWriter, check_metadata


def repair(cache: Path) -> list[Path]:
    """Delete the damaged shards of a cache and the manifests that vouch for them.

    Every byte of the store is read. Metadata of the store is written anew where it is damaged.
    The part manifests of other shards stay, so that their jobs do not run again.

    Parameters
    ----------
    cache
        The cache's folder, with `cache.json` and the staged text.

    Returns
    -------
    list of Path
        What was deleted, or written anew.

    Raises
    ------
    InputError
        If `cache.json` or the text's manifest cannot be read, or the store is another one.
    """
    settings = str(read_manifest(cache / "cache.json")["settings"])
    activations = parse_settings(settings, cache)
    store = cache / "store"
    layout = Layout.of(activations)
    damaged = store.exists() and not _stands(check_metadata, store, layout)
    mended = [store / "zarr.json"] if damaged else []
    writer = store_writer(activations, cache)
    gone: list[Path] = []
    kept = set()
    for job, windows in enumerate(windows_of_jobs(activations, cache)):
        records, discarded = _records(writer, windows)
        gone += discarded
        part = cache / "parts" / f"part_{job}.json"
        if read_or_empty(part).get("shards") == records:
            kept.add(part)
    parts = [part for part in sorted((cache / "parts").glob("*.json")) if part not in kept]
    seals = [cache / "manifest.json", cache / "shards.json"]
    if not (gone or parts or mended) and _stands(open_store, seals[0]):
        return []
    for path in (*parts, *seals):
        if path.exists():
            path.unlink()
            gone.append(path)
    return [*mended, *gone]


def _stands(check: Callable[..., Any], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except InputError:
        return False
    return True


def _records(writer: ShardWriter, windows: list[Window]) -> tuple[list[dict[str, Any]], list[Path]]:
    """Return the records of a job's whole shards, and the files of the others, now deleted."""
    records, discarded = [], []
    for window in windows:
        for shard in writer.layout.window_shard_range(window):
            record = writer.finished(window.split, shard)
            if record is None:
                discarded += writer.discard(window.split, shard)
            else:
                records.append({"split": window.split, "shard": shard, **record})
    return records, discarded
