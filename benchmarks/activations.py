"""The reader of cached activations: against the same bytes read raw, and against SAELens' cache.

Ours: an epoch of `TrainingStream` over a store that this project's writer and sealing wrote, in
groups of chunks as a store of terabytes is read: every checksum verified, the rows of 66 chunks
permuted together, batches of 4096 rows in float32.

Raw: the same shard files from first to last byte with `readinto`, nothing kept, into a buffer of
one chunk that is used again and stays in the core's cache. A reader that mixes has to keep what it
reads: `raw_kept` reads into a buffer of a group, used again too, which is slower by what memory
costs. Both in the same turns; the ratio is to the first.

SAELens: its cache is a Hugging Face dataset of whole contexts, read in their order through its
`ActivationsStore` with `cached_activations_path`: batches of 4096 rows in float32, half of a
buffer of 65,536 rows mixed. It reads 512 prompts at a time, its fastest: 32 (its default), 128 and
256 took 3.2, 1.6 and 1.3 times as long at d_in 384. It verifies no checksum. Arrow has no bfloat16;
its cache then holds float16, which is as many bytes.

The writer: a shard of Gaussian rows, on the disk at the end. Ours checksums its chunks as zarr
does, and takes the sha256 of the file besides; zarr writes the same bytes through its own codec for
shards, and the file is synchronised afterwards.

What is read is in the page cache. With `threads` of 1 the process is held on one core, the thread
that reads ahead with it.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from collect import cores, version
from comparison import Comparison, Sides

BATCH = 4096
CHUNKS, CHUNK_BYTES = 132, 4 * 2**20
CONTEXT = 128
HOOK = "blocks.0.hook_resid_post"
PROMPTS_PER_READ, PROMPTS_IN_BUFFER = 512, 512
# Rows per chunk and shard.
SIZES = {384: (4096, 65_536), 2304: (1024, 16_384)}
WRITTEN_ROWS = 131_072


def scratch() -> Path:
    """Return a folder that is deleted when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="reader_benchmark_")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def write_store(folder: Path, d_in: int, dtype: str) -> Path:
    """Write a cache of Gaussian rows with the project's writer; return its sealed manifest."""
    import torch

    from correct_l0.provenance.manifest import digest_of, write_json, write_manifest
    from correct_l0.sources.language_model.layout import Layout, identity_settings
    from correct_l0.sources.language_model.seal import seal
    from correct_l0.sources.language_model.settings import Activations
    from correct_l0.sources.language_model.store import ShardWriter, ensure_store
    from correct_l0.sources.language_model.window import statistics

    chunk_rows, shard_rows = SIZES[d_in]
    settings = Activations.model_validate(
        {
            "cache": folder.name,
            "model": {"source": "package:none"},
            "hook_name": HOOK,
            "d_in": d_in,
            "text": {"source": "files", "files": ["none"]},
            "training_tokens": CHUNKS * chunk_rows,
            "held_out_tokens": chunk_rows,
            "dtype": dtype,
            "shard_tokens": shard_rows,
        }
    )
    layout = Layout.of(settings)
    text = folder / "text" / "manifest.json"
    text.parent.mkdir(parents=True)
    write_manifest(
        text, stage="stage_text", recipe=1, parameters="", inputs={}, outputs=[], documents={},
        dropped_ids=[],
    )  # fmt: skip
    write_json(folder / "cache.json", {"model": {}})
    ensure_store(folder / "store", layout, {"identity": "benchmark"})
    writer = ShardWriter(folder, layout, "benchmark")
    acts = gaussian_rows(shard_rows, d_in).to(getattr(torch, dtype))
    bits = acts.view(torch.uint16) if dtype == "bfloat16" else acts
    ids, norms = np.zeros(shard_rows, dtype=np.int32), statistics(acts)[0]
    shards = []
    for split in ("training", "held_out"):
        for shard in range(layout.shards(split)):
            start, stop = layout.shard_range(split, shard)
            columns = dict.fromkeys(("token_id", "document_id", "position"), ids[: stop - start])
            columns["acts"] = bits[: stop - start].numpy()
            few = min(1024, stop - start)
            _, facts = statistics(acts[:few])
            record = writer.write(
                split, shard, columns, norms[: stop - start].float().numpy(), **facts
            )
            shards.append({"split": split, "shard": shard, **record})
    part = folder / "parts" / "part_0.json"
    write_manifest(
        part,
        stage="cache_activations",
        recipe=1,
        parameters=identity_settings(settings),
        inputs={"text": digest_of(text)},
        outputs=[],
        identity="benchmark",
        job=0,
        shards=shards,
    )
    seal(settings, folder, [part])
    return folder / "manifest.json"


def gaussian_rows(rows: int, d_in: int) -> Any:
    """Return rows to store."""
    import torch

    return torch.randn(rows, d_in, generator=torch.Generator().manual_seed(0))


class OurEpoch:
    """Each call serves the next epoch; what was begun to be read ahead is waited for."""

    def __init__(self, manifest: Path, threads: int) -> None:
        import torch

        from correct_l0.sources.language_model.reader import TrainingStream, open_store

        self.set_num_threads = torch.set_num_threads
        self.store = open_store(manifest)
        self.stream = TrainingStream(self.store, 0, BATCH, memory_bytes=0, read_threads=threads)
        self.steps = self.store.n_training // BATCH
        self.step = 0

    def __call__(self) -> None:
        """Serve an epoch."""
        # What is timed with more threads is the reading; the gathering stays with one.
        self.set_num_threads(1)
        for _ in range(self.steps):
            self.stream.batch(self.step)
            self.step += 1
        for group in self.stream._order.loaded.values():
            group.result()


class Raw:
    """Each call reads the shard files of the activations, one per thread at a time."""

    def __init__(self, manifest: Path, buffer_bytes: int, threads: int) -> None:
        self.files = sorted((manifest.parent / "store/training/acts/c").glob("*/0"))
        self.buffers = [np.zeros(buffer_bytes, dtype=np.uint8) for _ in range(threads)]
        self.threads = ThreadPoolExecutor(threads) if threads > 1 else None

    def __call__(self) -> None:
        """Read every file."""
        shares = [self.files[i :: len(self.buffers)] for i in range(len(self.buffers))]
        apply = map if self.threads is None else self.threads.map
        list(apply(self._read, shares, self.buffers))

    @staticmethod
    def _read(files: list[Path], buffer: np.ndarray) -> None:
        at = 0
        for path in files:
            with open(path, "rb", buffering=0) as file:
                # A chunk at a time.
                while read := file.readinto(buffer[at : at + CHUNK_BYTES].data):
                    at = (at + read) % (len(buffer) - CHUNK_BYTES + 1)


def saelens_cache(folder: Path, d_in: int) -> tuple[Callable[[], object], int]:
    """Write SAELens' cache of as many rows; return what serves a batch of it, and the batches."""
    import torch
    from datasets import Array2D, Dataset, Features, Sequence, Value, concatenate_datasets
    from sae_lens.training.activations_store import ActivationsStore

    shard_rows = SIZES[d_in][1]
    contexts = batches(d_in) * BATCH // CONTEXT
    # As SAELens' CacheActivationsRunner describes and writes it.
    features = Features(
        {
            HOOK: Array2D(shape=(CONTEXT, d_in), dtype="float16"),
            "token_ids": Sequence(Value(dtype="int32"), length=CONTEXT),
        }
    )
    rows = gaussian_rows(shard_rows, d_in).half().reshape(-1, CONTEXT, d_in)
    parts = []
    for start in range(0, contexts, len(rows)):
        part = rows[: contexts - start]
        ids = torch.zeros(len(part), CONTEXT, dtype=torch.int32)
        parts.append(Dataset.from_dict({HOOK: part, "token_ids": ids}, features=features))
    concatenate_datasets(parts).save_to_disk(str(folder), num_shards=len(parts))
    store = ActivationsStore(
        model=None,
        dataset=None,
        streaming=False,
        hook_name=HOOK,
        hook_head_index=None,
        context_size=CONTEXT,
        d_in=d_in,
        n_batches_in_buffer=PROMPTS_IN_BUFFER,
        total_training_tokens=contexts * CONTEXT,
        store_batch_size_prompts=PROMPTS_PER_READ,
        train_batch_size_tokens=BATCH,
        prepend_bos=False,
        normalize_activations="none",
        device=torch.device("cpu"),
        dtype="float32",
        cached_activations_path=str(folder),
    )
    return store.next_batch, contexts * CONTEXT // BATCH


def hold(threads: int) -> None:
    """Keep this process, and the threads it starts, on so many cores."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    torch.set_num_threads(threads)


def against_raw(d_in: int, dtype: str, threads: int = 1) -> Sides:
    """Return the sides of the comparison with raw reading."""
    hold(threads)
    manifest = write_store(scratch() / "cache", d_in, dtype)
    ours = OurEpoch(manifest, threads)
    group = ours.stream._order.group_rows * ours.store.layout.row_bytes
    return {
        "ours": ours,
        "rival": Raw(manifest, CHUNK_BYTES, threads),
        "raw_kept": Raw(manifest, group // threads, threads),
    }


def against_saelens(d_in: int, dtype: str) -> Sides:
    """Return the sides of the comparison with SAELens' cache."""
    hold(1)
    folder = scratch()
    ours = OurEpoch(write_store(folder / "cache", d_in, dtype), 1)
    next_batch, batches = saelens_cache(folder / "saelens", d_in)

    def rival() -> None:
        for _ in range(batches):
            next_batch()

    return {"ours": ours, "rival": rival}


def against_zarr(d_in: int) -> Sides:
    """Return the sides of writing a shard, whose files are the same to the byte."""
    import zarr
    from zarr.codecs import Crc32cCodec

    from correct_l0.sources.language_model.layout import chunk_rows
    from correct_l0.sources.language_model.shards import write_shard

    folder, row_bytes = scratch(), 2 * d_in
    chunk = chunk_rows(WRITTEN_ROWS, row_bytes)
    rows = gaussian_rows(WRITTEN_ROWS, d_in).half().numpy()
    array = zarr.create_array(
        store=folder / "zarr",
        shape=rows.shape,
        dtype="float16",
        chunks=(chunk, d_in),
        shards=rows.shape,
        compressors=Crc32cCodec(),
    )
    ours, theirs = folder / "ours", folder / "zarr" / "c" / "0" / "0"

    def rival() -> None:
        array[:] = rows
        with open(theirs, "rb") as file:
            os.fsync(file.fileno())

    def write() -> None:
        write_shard(ours, rows, WRITTEN_ROWS // chunk, chunk, 0.0)

    write()
    rival()
    if ours.read_bytes() != theirs.read_bytes():
        raise RuntimeError("the two have written other bytes")
    return {"ours": write, "rival": rival}


def batches(d_in: int) -> int:
    """Return the batches of an epoch."""
    return CHUNKS * SIZES[d_in][0] // BATCH


STORES = {384: "float16", 2304: "bfloat16"}
COMPARISONS = [
    *(
        Comparison(
            name=f"reader-raw-{d_in}",
            room="activations",
            workload=f"shuffled, verified batches of 4096 x {d_in}, {dtype} on disk, one core",
            rival="the same files read raw into a reused buffer of a chunk",
            prepare=partial(against_raw, d_in, dtype),
            target=0.35,
            unit="ms per batch",
            units=batches(d_in),
        )
        for d_in, dtype in STORES.items()
    ),
    *(
        Comparison(
            name=f"reader-saelens-{d_in}",
            room="activations",
            workload=f"shuffled, verified batches of 4096 x {d_in}, {dtype} on disk, one core",
            rival=f"SAELens {version('sae-lens')}, its cache (datasets {version('datasets')})",
            prepare=partial(against_saelens, d_in, dtype),
            target=4,
            unit="ms per batch",
            units=batches(d_in),
            rounds=5,
        )
        for d_in, dtype in STORES.items()
    ),
    *(
        Comparison(
            name=f"reader-threads-{threads}",
            room="activations",
            workload=f"the same at d_in 384; threads that read, and cores: {threads}",
            rival="the same files read raw, with as many threads",
            prepare=partial(against_raw, 384, "float16", threads),
            unit="ms per batch",
            units=batches(384),
            curve=("read_threads", threads),
            threads=threads,
        )
        for threads in (1, 2, 4)
        if threads <= cores()
    ),
    Comparison(
        name="writer-zarr-2304",
        room="activations",
        workload=f"a shard of {WRITTEN_ROWS:,} x 2304, float16, checksummed and on the disk",
        rival=f"zarr {version('zarr')}, its own writer of shards",
        prepare=partial(against_zarr, 2304),
        target=3,
        unit="s",
        rounds=5,
    ),
]
