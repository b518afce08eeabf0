"""One caching job: forward passes over its shuffle windows, written as whole shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.jobs.beside import processors
from correct_l0.jobs.progress import Progress
from correct_l0.provenance.manifest import (
    PACKAGES,
    digest_of,
    package_version,
    read_manifest,
    sha256_of_json,
    write_manifest,
)
from correct_l0.sources.language_model import RECIPE
from correct_l0.sources.language_model.language_model import LanguageModel
from correct_l0.sources.language_model.layout import (
    Layout,
    Window,
    identity_settings,
    job_windows,
)
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.language_model.store import ShardWriter, ensure_store
from correct_l0.sources.language_model.text import StagedText
from correct_l0.sources.language_model.window import (
    WindowMemory,
    check_finite,
    read_window,
    shuffle_order,
    statistics,
)

WRITERS = 2
"""Shards written at once where the thread that computes windows leaves processors: to sum up,
checksum and write a shard takes one longer than a large GPU takes to compute its rows."""


def cache_job(
    activations: Activations,
    cache: Path,
    job: int,
    load_model: Callable[[], LanguageModel],
    forward_batch_tokens: int,
    *,
    beside: bool = False,
) -> None:
    """Cache the windows of one job and write `parts/part_{job}.json`.

    Shards that an earlier run finished are verified and kept; the model is loaded only where
    something is left to do. Where the job fails, the shards in writing are still finished.

    Parameters
    ----------
    activations
        Settings of the cache.
    cache
        Its folder, with `cache.json` and the staged text.
    job
        Number of the job.
    load_model
        Returns the language model.
    forward_batch_tokens
        Tokens per forward pass.
    beside
        Write a window while the next one is computed, which takes memory for both. Pays where the
        model runs on another device.

    Raises
    ------
    InputError
        If there is no job of this number, an activation is not finite, the disk is full, or another
        store is there.
    """
    started = time.perf_counter()
    jobs = windows_of_jobs(activations, cache)
    if job >= len(jobs):
        raise InputError(
            f"{cache}/parts/part_{job}.json: the cache has {len(jobs)} parts, the last is "
            f"part_{len(jobs) - 1}.json; ask for one of these"
        )
    windows = jobs[job]
    writer = store_writer(activations, cache)
    progress = Progress(sum(window.stop - window.start for window in windows), "tokens")
    run = _Run(activations, cache, writer, load_model, forward_batch_tokens, progress, beside)
    shards = run.windows(windows)
    write_manifest(
        cache / "parts" / f"part_{job}.json",
        stage="cache_activations",
        recipe=RECIPE,
        parameters=identity_settings(activations),
        inputs={"text": digest_of(cache / "text" / "manifest.json")},
        outputs=[],
        identity=writer.identity,
        job=job,
        shards=shards,
        tokens_computed=run.rows_computed,
        tokens_per_s=run.tokens_per_s,
        wall_s=time.perf_counter() - started,
    )


def store_writer(activations: Activations, cache: Path) -> ShardWriter:
    """Return the writer of a cache's store, which is made where it is not there.

    Raises
    ------
    InputError
        If another store is there, or the disk is full.
    """
    layout = Layout.of(activations)
    model = read_manifest(cache / "cache.json")["model"]
    text_digest = digest_of(cache / "text" / "manifest.json")
    identity = sha256_of_json([RECIPE, identity_settings(activations), text_digest, model])
    facts = provenance(activations, model, cache)
    ensure_store(cache / "store", layout, {"identity": identity, **facts})
    return ShardWriter(cache, layout, identity)


def windows_of_jobs(activations: Activations, cache: Path) -> list[list[Window]]:
    """Return the windows of each job, as they were settled when the cache was staged."""
    record = read_manifest(cache / "cache.json")
    return job_windows(Layout.of(activations), int(record["shards_per_job"]))


class _Shard(NamedTuple):
    """A shard that is there or in writing."""

    split: str
    number: int
    record: Future[dict[str, Any]]


def _wait_for(shards: Sequence[_Shard]) -> None:
    """Wait until shards are written; raise what kept one from it."""
    for shard in shards:
        shard.record.result()


class _Run:
    """What the windows of one job share."""

    def __init__(
        self,
        activations: Activations,
        cache: Path,
        writer: ShardWriter,
        load_model: Callable[[], LanguageModel],
        forward_batch_tokens: int,
        progress: Progress,
        beside: bool,
    ) -> None:
        self.activations = activations
        self.cache = cache
        self.layout = writer.layout
        # One window is written while the next one is computed.
        self.memory = WindowMemory(writer.layout, windows=2 if beside else 1)
        self.writer = writer
        self.load_model = load_model
        self.forward_batch_tokens = forward_batch_tokens
        self.progress = progress
        self.beside = beside
        self.model: LanguageModel | None = None
        self.rows_computed = 0
        self.forward_s = 0.0

    @property
    def tokens_per_s(self) -> float | None:
        return self.rows_computed / self.forward_s if self.forward_s else None

    def windows(self, windows: Sequence[Window]) -> list[dict[str, Any]]:
        """Return the records of the windows' shards, computing those that are not there."""
        shards: list[_Shard] = []
        writers = max(1, min(WRITERS, processors() - 1))
        threads = ThreadPoolExecutor(max_workers=writers, thread_name_prefix="shards")
        try:
            for window in windows:
                shards += self._window(window, threads, shards)
                if not self.beside:
                    _wait_for(shards)
            return [{"split": s.split, "shard": s.number, **s.record.result()} for s in shards]
        finally:
            threads.shutdown(cancel_futures=True)

    def _window(
        self, window: Window, threads: ThreadPoolExecutor, before: Sequence[_Shard]
    ) -> list[_Shard]:
        """Return a window's shards; have those that are not there written, after those before."""
        split, numbers = window.split, self.layout.window_shard_range(window)
        there = {number: self.writer.finished(split, number) for number in numbers}
        columns: dict[str, Tensor] = {}
        if None in there.values():
            columns = self._read(window)
        else:
            self.progress.keep(window.stop - window.start)
        # No more than two windows are held: one in writing, one computed meanwhile.
        _wait_for(before)
        shards = []
        for number, record in there.items():
            written: Future[dict[str, Any]] = Future()
            if record is None:
                start, stop = self.layout.shard_range(split, number)
                part = slice(start - window.start, stop - window.start)
                of_shard = {name: values[part] for name, values in columns.items()}
                written = threads.submit(self._write, split, number, of_shard)
            else:
                written.set_result(record)
            shards.append(_Shard(split, number, written))
        return shards

    def _read(self, window: Window) -> dict[str, Tensor]:
        if self.model is None:
            self.model = self.load_model()
        started = time.perf_counter()
        text = StagedText(self.cache / "text", window.split)
        order = shuffle_order(self.activations.seed, window)
        rows = window.stop - window.start
        acts, batch_tokens = self.memory.take(rows), self.forward_batch_tokens
        columns = read_window(self.model, text, window, order, acts, batch_tokens, self.progress)
        self.forward_s += time.perf_counter() - started
        self.rows_computed += rows
        return columns

    def _write(self, split: str, shard: int, columns: dict[str, Tensor]) -> dict[str, Any]:
        acts = columns["acts"]
        norms, sums = statistics(acts)
        check_finite(acts, norms, split, shard, self.activations)
        arrays = {name: values.numpy() for name, values in columns.items() if name != "acts"}
        # Zarr 3.1 has no bfloat16.
        bits = acts.view(torch.uint16) if acts.dtype == torch.bfloat16 else acts
        arrays["acts"] = bits.numpy()
        return self.writer.write(split, shard, arrays, norms.float().numpy(), **sums)


def provenance(activations: Activations, model: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Return the attributes of the store: what its numbers are."""
    text = read_manifest(cache / "text" / "manifest.json")
    return {
        "model": {**activations.model.model_dump(mode="json"), **model},
        "tensor": f"{activations.hook_name} as defined by TransformerLens' TransformerBridge",
        "hook_name": activations.hook_name,
        "text": activations.text.model_dump(mode="json"),
        **{key: text[key] for key in ("tokenizer", "packing", "special_tokens", "dropped_ids")},
        "separator": text.get("separator"),
        "context_size": activations.context_size,
        "dtype": activations.dtype,
        "seed": activations.seed,
        "shuffle_tokens": activations.shuffle_tokens,
        "recipe": RECIPE,
        "packages": {name: package_version(name) for name in PACKAGES},
    }
