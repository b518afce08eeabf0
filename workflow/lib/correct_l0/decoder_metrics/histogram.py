"""A fine histogram of the projections: pooled order statistics and the figure's histogram."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

LOW, HIGH = -20, 40
"""Range in training units, after figure 9 of the paper; values beyond it count in the end bins."""

BINS_PER_UNIT = 2**14
"""Powers of two: scaling by one is exact in floating point, so every value is in its true bin."""

COARSE_BINS_PER_UNIT = 2**4

RESOLUTION_BOUND = 0.5 / BINS_PER_UNIT
"""Largest distance, in training units, between a pooled value read here and the exact one."""

_BINS = (HIGH - LOW) * BINS_PER_UNIT
_CHUNK = 2**24


def count_bins(projections: Float[Tensor, "batch d_sae"]) -> Int[Tensor, " bins"]:
    """Return how many projections lie in each fine bin; bin i is [LOW + i/2^14, LOW + (i+1)/2^14).

    Examples
    --------
    >>> counts = count_bins(torch.tensor([[0.0, 1.0, 1.00001, 99.0]]))
    >>> zero = -LOW * BINS_PER_UNIT
    >>> int(counts[zero]), int(counts[zero + BINS_PER_UNIT]), int(counts[-1]), int(counts.sum())
    (1, 2, 1, 4)
    """
    flat = projections.reshape(-1)
    counts = torch.zeros(_BINS, dtype=torch.int64, device=flat.device)
    for chunk in flat.split(_CHUNK):
        bins = chunk.mul(BINS_PER_UNIT).floor_()
        bins = bins.clamp_(LOW * BINS_PER_UNIT, HIGH * BINS_PER_UNIT - 1).to(torch.int32)
        counts += torch.bincount(bins - LOW * BINS_PER_UNIT, minlength=_BINS)
    return counts


def bin_of_rank(counts: Int[Tensor, " bins"], rank: int) -> int:
    """Return the bin that holds the value at a 0-based rank in descending order."""
    at_or_above = counts.flip(0).cumsum(0)
    return len(counts) - 1 - int(torch.searchsorted(at_or_above, rank, right=True))


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
