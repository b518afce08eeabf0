"""How a cache's rows fall into chunks, shards, shuffle windows and jobs. Arithmetic only."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from correct_l0.settings.canonical import canonical
from correct_l0.sources.language_model.settings import Activations

SPLITS = ("training", "held_out")
COLUMNS = ("acts", "token_id", "document_id", "position")
NOT_OF_ROWS = ("cache", "shards_per_job", "forward_batch_tokens")
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

# Reads of at least a mebibyte cost the same in any order; zarr's own overhead asks for a few.
CHUNK_BYTES = 4 * 2**20


def identity_settings(activations: Activations) -> str:
    """Return the canonical settings that the rows of a cache depend on.

    The cache's name, what only divides the work among jobs, and which rows are used are left out.
    """
    return canonical(activations, *NOT_OF_ROWS, "outlying")


def sealed_settings(activations: Activations) -> str:
    """Return the canonical settings that the numbers of a sealed cache depend on."""
    return canonical(activations, *NOT_OF_ROWS)


def parse_settings(
    settings: str, cache_folder: Path | str, shards_per_job: int | None = None
) -> Activations:
    """Return the settings of a cache from one of the two above, and its folder's name."""
    rest = {} if shards_per_job is None else {"shards_per_job": shards_per_job}
    return Activations.model_validate(
        {**json.loads(settings), "cache": Path(cache_folder).name, **rest}
    )


@dataclass(frozen=True)
class Window:
    """Rows that are shuffled together: a range of whole shards of one split."""

    split: str
    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """Sizes of a cache's two arrays.

    Examples
    --------
    >>> layout = Layout(d_in=2, dtype="float32", training=1000, held_out=300,
    ...                 shard_rows=256, chunk_rows=64, window_shards=2)
    >>> layout.shards("training"), layout.shards("held_out"), layout.chunks_per_shard
    (4, 2, 4)
    >>> [(w.split, w.start, w.stop) for w in layout.windows()]
    [('training', 0, 512), ('training', 512, 1000), ('held_out', 0, 300)]
    """

    d_in: int
    dtype: str
    training: int
    held_out: int
    shard_rows: int
    chunk_rows: int
    window_shards: int

    @classmethod
    def of(cls, activations: Activations) -> Layout:
        """Return the layout of a configured cache."""
        a = activations
        row_bytes = a.d_in * ITEM_BYTES[a.dtype]
        return cls(
            d_in=a.d_in,
            dtype=a.dtype,
            training=a.training_tokens,
            held_out=a.held_out_tokens,
            shard_rows=a.shard_tokens,
            chunk_rows=chunk_rows(a.shard_tokens, row_bytes),
            window_shards=math.ceil(a.shuffle_tokens / a.shard_tokens),
        )

    def rows(self, split: str) -> int:
        """Return the rows of a split."""
        return self.training if split == "training" else self.held_out

    def shards(self, split: str) -> int:
        """Return the number of shard files of each array of a split."""
        return math.ceil(self.rows(split) / self.shard_rows)

    def chunks(self, split: str) -> int:
        """Return the number of inner chunks that hold rows of a split."""
        return math.ceil(self.rows(split) / self.chunk_rows)

    @property
    def chunks_per_shard(self) -> int:
        """Inner chunks in one shard file."""
        return self.shard_rows // self.chunk_rows

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of activations."""
        return self.d_in * ITEM_BYTES[self.dtype]

    def shard_range(self, split: str, shard: int) -> tuple[int, int]:
        """Return the rows [start, stop) of a shard."""
        start = shard * self.shard_rows
        return start, min(start + self.shard_rows, self.rows(split))

    def windows(self) -> list[Window]:
        """Return every shuffle window, training first."""
        width = self.window_shards * self.shard_rows
        return [
            Window(split, index, start, min(start + width, self.rows(split)))
            for split in SPLITS
            for index, start in enumerate(range(0, self.rows(split), width))
        ]

    def window_shard_range(self, window: Window) -> range:
        """Return the numbers of the shards in a window."""
        return range(window.start // self.shard_rows, math.ceil(window.stop / self.shard_rows))


def chunk_rows(shard_rows: int, row_bytes: int) -> int:
    """Return the divisor of `shard_rows` whose chunk comes nearest to 4 MiB in proportion.

    Examples
    --------
    >>> chunk_rows(262_144, 2304 * 2), chunk_rows(262_144, 384 * 2), chunk_rows(256, 384 * 2)
    (1024, 4096, 256)
    """
    small = [n for n in range(1, math.isqrt(shard_rows) + 1) if shard_rows % n == 0]
    divisors = {*small, *(shard_rows // n for n in small)}
    return min(divisors, key=lambda n: (abs(math.log(n * row_bytes / CHUNK_BYTES)), n))


def job_windows(layout: Layout, shards_per_job: int) -> list[list[Window]]:
    """Return the windows of each caching job.

    Examples
    --------
    >>> layout = Layout(2, "float32", 1000, 300, 256, 64, 2)
    >>> [len(windows) for windows in job_windows(layout, 3)]
    [2, 1]
    """
    windows = layout.windows()
    per_job = math.ceil(shards_per_job / layout.window_shards)
    return [windows[i : i + per_job] for i in range(0, len(windows), per_job)]


def count_jobs(cache_folder: Path | str, activations: Activations) -> int:
    """Return the number of caching jobs.

    How the work is divided is settled when a cache is first staged: a later change of
    `shards_per_job`, or another study's, leaves the existing parts as they are.
    """
    path = Path(cache_folder) / "cache.json"
    per_job = activations.shards_per_job
    if path.exists():
        per_job = int(json.loads(path.read_text())["shards_per_job"])
    return len(job_windows(Layout.of(activations), per_job))
