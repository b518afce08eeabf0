"""The norms of a cache's rows, and where in their contexts the outlying ones stand."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from jaxtyping import Float, Int

from correct_l0.sources.language_model.layout import Layout
from correct_l0.sources.language_model.store import norms_path
from correct_l0.sources.language_model.window import BLOCK, row_norms

MOST_POSITIONS = 3
"""Positions in the context that a manifest names, those with the most outlying rows."""


def split_norms(
    cache: Path, layout: Layout, split: str, records: Sequence[dict[str, Any]]
) -> list[Float[np.ndarray, " rows"]]:
    """Return the norms of the rows of each shard of a split, float32.

    They were written beside each shard's record; where they are not there as written, as in a
    cache of an earlier version, the shard is read.
    """
    found = []
    for shard, record in enumerate(records):
        path = norms_path(cache / "records", split, shard)
        data = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(data).hexdigest() == record.get("norms"):
            found.append(np.load(io.BytesIO(data)))
        else:
            found.append(_read_norms(cache, layout, split, shard))
    return found


def _read_norms(cache: Path, layout: Layout, split: str, shard: int) -> Float[np.ndarray, " rows"]:
    array = zarr.open_array(cache / "store" / split / "acts", mode="r")
    start, stop = layout.shard_range(split, shard)
    norms = []
    for first in range(start, stop, BLOCK):
        rows = torch.from_numpy(array[first : min(first + BLOCK, stop)])
        acts = rows.view(torch.bfloat16) if layout.dtype == "bfloat16" else rows
        norms.append(row_norms(acts).float().numpy())
    return np.concatenate(norms)


def most_positions(cache: Path, rows: Int[np.ndarray, " n"]) -> dict[str, int]:
    """Return how many of some training rows stand at each position, of the most frequent ones."""
    if not len(rows):
        return {}
    array = zarr.open_array(cache / "store" / "training" / "position", mode="r")
    counts = Counter(np.asarray(array.get_orthogonal_selection((rows,))).tolist())
    return {str(position): count for position, count in counts.most_common(MOST_POSITIONS)}
