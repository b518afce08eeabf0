"""Rows of massive norm: which they are, how much they weigh, and how the others are numbered.

At a few tokens, mostly the first of a context, Llama, Qwen and Gemma have activations of 100 to
1000 times the usual norm. One such row in a thousand doubles the mean norm and is nearly all of
the squared error: an SAE learns it first, and FVU says nothing of the other rows.

References
----------
Sun et al. (2024), Massive Activations in Large Language Models, arXiv 2402.17762.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from correct_l0.provenance.manifest import replacing

if TYPE_CHECKING:
    from correct_l0.sources.settings import Outlying

QUANTILES = (0.0, 0.01, 0.5, 0.99, 0.999, 1.0)
"""Of the norms, as a source's manifest and the report tell them."""

FILE = "outlying.npz"
"""The numbers of outlying rows, beside the manifest of a source that has any."""

SPLITS = ("training", "held_out")


def limit_of(norms: Float[np.ndarray, " rows"], wanted: Outlying) -> float:
    """Return the norm above which a row is outlying; infinite where the median norm is zero.

    Examples
    --------
    >>> from correct_l0.sources.settings import Outlying
    >>> limit_of(np.array([1.0, 2.0, 3.0, 900.0]), Outlying(norm=10))
    25.0
    """
    median = float(np.median(norms))
    return wanted.norm * median if median > 0 else float("inf")


def norm_facts(
    training: Float[np.ndarray, " rows"],
    held_out: Float[np.ndarray, " rows"],
    wanted: Outlying,
) -> dict[str, Any]:
    """Return what a source's manifest says of its norms; JSON values.

    Parameters
    ----------
    training, held_out
        Norms of the raw rows.
    wanted
        What is outlying, and what becomes of it.

    Returns
    -------
    dict
        `quantiles` of the training rows' norms by level; `limit`, above which a row is outlying
        (none where the median is zero), and `times`, the limit in medians; `rows`, what becomes of
        those; `training`, `held_out` (how many rows there are), `outlying_training`,
        `outlying_held_out` (how many of them are outlying); `weight`, the share of the squared
        norm of all training rows that is that of outlying ones.

    Examples
    --------
    Nine rows of norm 1 and one of 9, whose square is 81 of 90:

    >>> from correct_l0.sources.settings import Outlying
    >>> norms = np.array([1.0] * 9 + [9.0])
    >>> facts = norm_facts(norms, norms[:4], Outlying(norm=4))
    >>> facts["limit"], facts["outlying_training"], facts["outlying_held_out"], facts["weight"]
    (4.0, 1, 0, 0.9)
    """
    limit = limit_of(training, wanted)
    far = training > limit
    found = np.quantile(training, QUANTILES)
    return {
        "quantiles": {f"{x:g}": float(value) for x, value in zip(QUANTILES, found, strict=True)},
        "times": wanted.norm,
        "limit": limit if np.isfinite(limit) else None,
        "rows": wanted.rows,
        "training": len(training),
        "held_out": len(held_out),
        "outlying_training": int(far.sum()),
        "outlying_held_out": int((held_out > limit).sum()),
        "weight": _square_sum(training[far]) / _square_sum(training) if far.any() else 0.0,
    }


def _square_sum(norms: Float[np.ndarray, " rows"], block: int = 2**20) -> float:
    """Return the sum of squares in float64, of as many rows at a time as memory does not notice."""
    parts = np.array_split(norms, 1 + len(norms) // block)
    return sum(float(np.square(part, dtype=np.float64).sum()) for part in parts)


def any_outlying(facts: Mapping[str, Any] | None) -> bool:
    """Tell whether a source has outlying rows, as far as its manifest says."""
    if facts is None:
        return False
    return bool(facts["outlying_training"] or facts["outlying_held_out"])


def save_outlying(folder: Path, far: Mapping[str, Bool[np.ndarray, " rows"]]) -> list[Path]:
    """Write the numbers of outlying rows; return the file, none where there are none."""
    path = folder / FILE
    if not any(rows.any() for rows in far.values()):
        path.unlink(missing_ok=True)
        return []
    numbers: dict[str, Any] = {split: np.flatnonzero(rows) for split, rows in far.items()}
    with replacing(path) as temporary:
        np.savez(temporary, **numbers)
    return [path]


def load_outlying(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Int[np.ndarray, " n"]]:
    """Return the numbers of a source's outlying rows by split."""
    if FILE not in manifest["outputs"]:
        return {split: np.empty(0, dtype=np.int64) for split in SPLITS}
    with np.load(folder / FILE) as file:
        return {split: file[split] for split in SPLITS}


class Kept:
    """The rows of a split without some that are left out, numbered from 0.

    Parameters
    ----------
    rows
        All rows of the split.
    dropped
        The numbers of those that are left out, in order.

    Examples
    --------
    >>> kept = Kept(6, np.array([0, 3]))
    >>> len(kept), kept.numbers(0, 4).tolist(), kept.between(2, 6).tolist()
    (4, [1, 2, 4, 5], [2, 4, 5])
    """

    def __init__(self, rows: int, dropped: Int[np.ndarray, " n"]) -> None:
        self._rows = rows
        self._dropped = dropped
        # How many rows are kept before each that is left out.
        self._before = dropped - np.arange(len(dropped))

    def __len__(self) -> int:
        return self._rows - len(self._dropped)

    def numbers(self, start: int, stop: int) -> Int[np.ndarray, " kept"]:
        """Return which rows of the split the kept ones [start, stop) are."""
        places = np.arange(start, stop)
        return places + np.searchsorted(self._before, places, side="right")

    def between(self, start: int, stop: int) -> Int[np.ndarray, " kept"]:
        """Return which of the split's rows [start, stop) are kept."""
        return self.numbers(self._place(start), self._place(stop))

    def count(self, start: int, stop: int) -> int:
        """Return how many of the split's rows [start, stop) are kept."""
        return self._place(stop) - self._place(start)

    def _place(self, row: int) -> int:
        return row - int(np.searchsorted(self._dropped, row))
