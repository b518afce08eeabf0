"""The selection keeps exactly the largest positive values, whatever it starts from."""

import numpy as np
import pytest
import torch

from correct_l0.saes.engine import selection
from correct_l0.saes.engine.selection import keep_largest_


def sorted_reference(values, count):
    """Keep the `count` first of a stable sort, then what is positive: another algorithm."""
    flat = values.numpy().reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    kept = np.zeros_like(flat)
    kept[order] = np.maximum(flat[order], 0)
    return torch.from_numpy(kept.reshape(values.shape))


def places(found, d_sae):
    """Return where in the flattened batch the kept values are."""
    tokens = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    return tokens * d_sae + found.latents


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


@pytest.mark.parametrize("rows", [1, 7, 20, 64])
@pytest.mark.parametrize("count", [0, 1, 7, 200, 450, 1000])
@pytest.mark.parametrize("guess", [None, 0.5, 0.96, 1.0, 1.04, 3.0])
def test_blocks_keep_what_the_whole_batch_does(rows, count, guess):
    generator = torch.Generator().manual_seed(count)
    raw, norms = torch.randn(20, 50, generator=generator), torch.rand(50, generator=generator)
    raw[3], norms[4] = raw[2], 0.0
    expected = raw * norms
    smallest, kept = keep_largest_(expected, count)
    buffer = torch.empty(20, 50)

    def encode(start, stop):
        return buffer[: stop - start].copy_(raw[start:stop])

    found = selection.select_largest(encode, norms, 20, rows, count, guess and guess * smallest)
    assert (found.smallest, len(found.values)) == (smallest, kept)
    assert places(found, 50).tolist() == expected.view(-1).nonzero().view(-1).tolist()
    assert torch.equal(torch.from_numpy(found.values), expected.view(-1)[places(found, 50)])


@pytest.mark.parametrize("guess", [None, 0.5, 2.0])
def test_blocks_end_without_an_error_where_nothing_can_be_kept(guess):
    for raw in (torch.zeros(6, 4), torch.full((6, 4), torch.nan)):
        found = selection.select_largest(
            lambda start, stop, raw=raw: raw[start:stop], torch.ones(4), 6, 2, 5, guess
        )
        assert (found.smallest, len(found.values)) == (0.0, 0)


def test_a_first_block_below_the_others_does_not_decide():
    """The guess of 1 is far too high for the first block and far too low for the rest."""
    raw = torch.cat((torch.linspace(0.01, 0.1, 8), torch.linspace(5, 9, 24))).view(8, 4)
    for count in (3, 20, 24, 27, 32):
        found = selection.select_largest(
            lambda start, stop: raw[start:stop], torch.ones(4), 8, 2, count, 1.0
        )
        assert places(found, 4).tolist() == list(range(32 - count, 32))


@pytest.mark.parametrize("d_sae", [1, 7, 8, 50])
def test_kept_values_are_sorted_by_token_and_latent(d_sae):
    raw = torch.randn(6, d_sae, generator=torch.Generator().manual_seed(d_sae))
    found = selection.select_largest(
        lambda start, stop: raw[start:stop], torch.ones(d_sae), 6, 4, 2 * d_sae
    )
    expected = sorted_reference(raw, 2 * d_sae)
    assert found.starts.tolist() == [0, *np.cumsum((expected > 0).sum(1)).tolist()]
    assert found.latents.tolist() == (expected > 0).nonzero()[:, 1].tolist()
    assert places(found, d_sae).tolist() == expected.view(-1).nonzero().view(-1).tolist()
