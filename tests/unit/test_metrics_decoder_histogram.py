"""The fine histogram: exact counts, and values read from it within the stated bound."""

import numpy as np
import torch

from correct_l0.metrics.decoder.histogram import (
    BINS,
    BINS_PER_UNIT,
    HIGH,
    LOW,
    RESOLUTION_BOUND,
    Ranks,
    add_to_bins,
    coarse_histogram,
    density_at,
    fine_bins,
    value_of_bin,
)


def projections(rows=200, columns=40, spread=9.0):
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    return values * spread


def count_bins(values):
    counts = torch.zeros(BINS, dtype=torch.int64)
    add_to_bins(counts, fine_bins(values.flatten()))
    return counts


def test_counts_equal_numpys():
    values = projections()
    edges = np.linspace(LOW, HIGH, (HIGH - LOW) * BINS_PER_UNIT + 1)
    below_top = np.nextafter(HIGH, 0)
    expected, _ = np.histogram(values.double().numpy().clip(LOW, below_top), bins=edges)
    assert np.array_equal(count_bins(values).numpy(), expected)


def test_values_on_an_edge_belong_to_the_bin_above():
    coarse, edges = coarse_histogram(count_bins(torch.tensor([[-0.0625, -1e-6, 0.0, 0.0625]])))
    zero = int(np.flatnonzero(edges == 0.0)[0])
    assert coarse[zero - 2 : zero + 2].tolist() == [0, 2, 1, 1]


def test_values_beyond_the_range_are_in_the_end_bins():
    coarse, edges = coarse_histogram(count_bins(torch.tensor([[-99.0, -20.0, 40.0, 1e9]])))
    assert (coarse[0], coarse[-1], coarse.sum()) == (2, 2, 4)
    assert (edges[0], edges[-1], len(edges)) == (-20.0, 40.0, len(coarse) + 1)


def test_bin_of_rank_by_hand():
    counts = torch.tensor([3, 0, 2, 1])
    # Descending: the value in bin 3, two in bin 2, three in bin 0.
    assert [Ranks(counts).bin_of(rank) for rank in range(6)] == [3, 2, 2, 0, 0, 0]


def test_values_at_ranks_are_within_the_bound():
    values = projections(spread=2.0)
    ranks = Ranks(count_bins(values))
    ordered = values.flatten().sort(descending=True).values.double()
    found = [value_of_bin(ranks.bin_of(rank)) for rank in range(0, len(ordered), 97)]
    distance = np.abs(np.array(found) - ordered[::97].numpy())
    assert distance.max() <= RESOLUTION_BOUND
    assert distance.max() > 0  # a centre, not the value itself


def test_density_of_a_uniform_spread():
    values = torch.linspace(0.0, 1.0, 100_001)[None]
    middle = (-LOW) * BINS_PER_UNIT + BINS_PER_UNIT // 2
    assert abs(density_at(count_bins(values), middle) / 100_000 - 1) < 0.01
