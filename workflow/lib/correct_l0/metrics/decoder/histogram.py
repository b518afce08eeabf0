"""A fine histogram of the projections: pooled order statistics and the figure's histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

LOW, HIGH = -20, 40
"""Range in training units, after figure 9 of the paper; values beyond it count in the end bins."""

BINS_PER_UNIT = 2**14
"""Powers of two: scaling by one is exact in floating point, so every value is in its true bin."""

COARSE_BINS_PER_UNIT = 2**4

RESOLUTION_BOUND = 0.5 / BINS_PER_UNIT
"""Largest distance, in training units, between a pooled value read here and the exact one."""

BINS = (HIGH - LOW) * BINS_PER_UNIT
_STEP = 1024


def fine_bins(
    values: Float[Tensor, " values"],
    scaled: Float[Tensor, " values"] | None = None,
    bins: Int[Tensor, " values"] | None = None,
) -> Int[Tensor, " values"]:
    """Return the fine bin of each value; bin i is [LOW + i/2^14, LOW + (i+1)/2^14).

    Parameters
    ----------
    values
        In training units; NaN has no bin.
    scaled, bins
        Memory to work in and for the result (int32), to save its allocation.

    Examples
    --------
    >>> (fine_bins(torch.tensor([-99.0, 0.0, 1.0, 99.0])) + LOW * BINS_PER_UNIT).tolist()
    [-327680, 0, 16384, 655359]
    """
    scaled = torch.mul(values, BINS_PER_UNIT, out=scaled).floor_()
    scaled.clamp_(LOW * BINS_PER_UNIT, HIGH * BINS_PER_UNIT - 1).sub_(LOW * BINS_PER_UNIT)
    return scaled.to(torch.int32) if bins is None else bins.copy_(scaled)


def add_to_bins(counts: Int[Tensor, " bins"], bins: Int[Tensor, " values"]) -> None:
    """Count each of the bins once more, in place."""
    # Twice as fast as bincount, which looks for the extremes and fills a histogram of its own.
    counts.index_add_(0, bins, counts.new_ones(1).expand(len(bins)))


class Ranks:
    """Where the values of one histogram stand in their order.

    Sums over runs of bins are kept, so that a look-up touches two short arrays.

    Examples
    --------
    Descending: the value in bin 3, two in bin 2, three in bin 0.

    >>> ranks = Ranks(torch.tensor([3, 0, 2, 1]))
    >>> [ranks.bin_of(rank) for rank in range(6)], ranks.below(3), ranks.total
    ([3, 2, 2, 0, 0, 0], 5, 6)
    """

    def __init__(self, counts: Int[Tensor, " bins"]) -> None:
        self.counts = counts.cpu().numpy()
        runs = np.add.reduceat(self.counts, np.arange(0, len(self.counts), _STEP), dtype=np.int64)
        self._before = np.concatenate([[0], np.cumsum(runs)])
        self.total = int(self._before[-1])

    def bin_of(self, rank: int) -> int:
        """Return the bin that holds the value at a 0-based rank in descending order."""
        ascending = self.total - 1 - rank
        run = int(np.searchsorted(self._before[1:], ascending, side="right"))
        inside = np.cumsum(self.counts[run * _STEP : (run + 1) * _STEP], dtype=np.int64)
        offset = np.searchsorted(inside, ascending - self._before[run], side="right")
        return run * _STEP + int(offset)

    def below(self, index: int) -> int:
        """Return the number of values in the bins before this one."""
        run = index // _STEP
        return int(self._before[run]) + int(self.counts[run * _STEP : index].sum(dtype=np.int64))


def value_of_bin(index: int) -> float:
    """Return a bin's centre, in training units.

    Examples
    --------
    >>> value_of_bin(-LOW * BINS_PER_UNIT) == RESOLUTION_BOUND
    True
    """
    return LOW + (index + 0.5) / BINS_PER_UNIT


def density_at(counts: Int[Tensor, " bins"], index: int, half_width: int = 256) -> float:
    """Return the number of projections per unit around a bin, over a window of 1/32 unit."""
    window = counts[max(0, index - half_width) : index + half_width + 1]
    return float(window.sum()) / len(window) * BINS_PER_UNIT


def coarse_histogram(
    counts: Int[Tensor, " bins"],
) -> tuple[Int[np.ndarray, " coarse"], Float[np.ndarray, " coarse+1"]]:
    """Return counts in bins of 1/16 unit and their edges, for figures."""
    merged = counts.reshape(-1, BINS_PER_UNIT // COARSE_BINS_PER_UNIT).sum(dim=1).cpu().numpy()
    return merged, np.linspace(LOW, HIGH, len(merged) + 1)
