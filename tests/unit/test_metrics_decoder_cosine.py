"""c_dec and its random baseline."""

import numpy as np
import pytest
import scipy.stats
import torch

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.cosine import (
    cosine_matrix,
    mean_absolute_cosine,
    random_baseline,
)

pytestmark = pytest.mark.numbers


def rows(d_sae, d_in):
    return torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    assert mean_absolute_cosine(torch.eye(4)) == 0
    assert mean_absolute_cosine(torch.tensor([[1.0, 1.0], [-2.0, -2.0]])) == pytest.approx(
        1, abs=1e-6
    )
    # Pairs: cos 60, cos 120, cos 60 degrees, all 0.5 in absolute value.
    angles = torch.deg2rad(torch.tensor([0.0, 60.0, 120.0]))
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    assert mean_absolute_cosine(directions) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("block_rows", [1, 7, 32, 50, 1024])
def test_blocks_of_any_size_against_the_whole_matrix(block_rows):
    W_dec = rows(50, 9)
    unit = W_dec.double().numpy() / np.linalg.norm(W_dec.double().numpy(), axis=1, keepdims=True)
    expected = np.abs(unit @ unit.T)[np.triu_indices(50, 1)].mean()
    assert mean_absolute_cosine(W_dec, block_rows) == pytest.approx(expected, abs=1e-6)


def test_random_directions_have_the_baseline():
    assert mean_absolute_cosine(rows(600, 384)) == pytest.approx(random_baseline(384), rel=0.01)


@pytest.mark.parametrize("d_in", [2, 7, 384])
def test_chance_is_the_mean_root_of_the_distribution_of_squared_cosines(d_in):
    squared = scipy.stats.beta(0.5, (d_in - 1) / 2)
    assert random_baseline(d_in) == pytest.approx(squared.expect(np.sqrt), rel=1e-6)


def test_matrix():
    W_dec = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    expected = torch.tensor([[1.0, 0.6], [0.6, 1.0]]).half()
    assert torch.equal(cosine_matrix(W_dec), expected)


def test_one_row_has_no_pairs():
    with pytest.raises(InputError, match="the decoder has 1 row; c_dec needs at least 2"):
        mean_absolute_cosine(torch.ones(1, 3))


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_row_without_direction(value):
    W_dec = rows(4, 3)
    W_dec[2] = value
    with pytest.raises(InputError, match="decoder row 2 is zero or not finite; train"):
        mean_absolute_cosine(W_dec)
