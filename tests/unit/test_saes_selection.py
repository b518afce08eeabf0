"""The selection keeps exactly the largest positive values, whatever it starts from."""

import numpy as np
import pytest
import torch

from correct_l0.saes import selection
from correct_l0.saes.selection import keep_largest_


def sorted_reference(values, count):
    """Keep the `count` first of a stable sort, then what is positive: another algorithm."""
    flat = values.numpy().reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    kept = np.zeros_like(flat)
    kept[order] = np.maximum(flat[order], 0)
    return torch.from_numpy(kept.reshape(values.shape))


@pytest.mark.parametrize("count", [0, 1, 7, 200, 450, 1000])
@pytest.mark.parametrize("guess", [None, 0.5, 0.98, 1.0, 1.01, 3.0])
def test_keeps_the_largest_positive_values(count, guess):
    values = torch.randn(20, 50, generator=torch.Generator().manual_seed(count))
    expected = sorted_reference(values, count)
    true_smallest = expected[expected > 0].min().item() if count else 1.0
    smallest, kept = keep_largest_(values, count, guess and guess * true_smallest)
    assert torch.equal(values, expected)
    assert kept == int((expected > 0).sum())
    # 450 of 1000 are below the median: all positive values, about 500, are more than that.
    assert smallest == (true_smallest if 0 < count <= 450 else 0.0)


@pytest.mark.parametrize("guess", [None, 2.0, 1.99])
def test_ties_go_to_the_lowest_index(guess):
    values = torch.tensor([[2.0, 1.0, 2.0], [5.0, 2.0, -7.0]])
    assert keep_largest_(values, 3, guess) == (2.0, 3)
    assert values.tolist() == [[2.0, 0.0, 2.0], [5.0, 0.0, 0.0]]


def test_fewer_positive_values_than_asked_for_all_stay():
    values = torch.tensor([[1.0, -1.0], [0.0, 3.0]])
    assert keep_largest_(values, 3) == (0.0, 2)
    assert values.tolist() == [[1.0, 0.0], [0.0, 3.0]]


def test_zeros_and_nan_end_without_an_error():
    zeros = torch.zeros(3, 4)
    assert keep_largest_(zeros, 5, 1.0) == (0.0, 0)
    values = torch.full((3, 4), torch.nan)
    assert keep_largest_(values, 5, 1.0)[0] == 0.0


@pytest.mark.parametrize("guess", [None, 0.9, 1.0, 1.4])
def test_the_form_for_other_devices_finds_the_same(guess):
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    values[::7] = 1.25
    for count in (1, 40, 170, 300):
        expected = selection._smallest_kept_numpy(values, count, None)
        assert selection._smallest_kept_torch(values, count, guess) == expected
        assert selection._smallest_kept_numpy(values, count, guess) == expected
