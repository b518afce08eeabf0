"""Decoder projections and s_n^dec of one batch."""

import re

import numpy as np
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.projection import (
    check_unit_norm,
    order_statistics,
    project,
)

pytestmark = pytest.mark.numbers


def authors_statistic(projections, n):
    """Flatten, sort descending, index n * batch: what the paper's equation says, word for word."""
    ordered = torch.sort(projections.flatten(), descending=True).values
    return ordered[n * len(projections)]


def unit_rows(d_sae, d_in, seed=0):
    W_dec = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed))
    return W_dec / W_dec.norm(dim=1, keepdim=True)


def test_order_statistic_by_hand():
    projections = torch.tensor([[9.0, 1.0, 5.0, 3.0], [8.0, 2.0, 6.0, 4.0]])
    # Descending: 9 8 6 5 4 3 2 1; indices 2, 4 and 6 for n = 1, 2, 3.
    assert order_statistics(projections, [1, 2, 3]).tolist() == [6.0, 4.0, 2.0]


def test_order_statistics_have_the_bits_of_a_full_sort_in_any_order_of_n():
    x = torch.randn(64, 24, generator=torch.Generator().manual_seed(1))
    projections = project(x, unit_rows(96, 24), torch.zeros(24))
    ns = [48, 1, 95, 7, 24, 7, 60, 12]
    expected = torch.stack([authors_statistic(projections, n) for n in ns])
    assert torch.equal(order_statistics(projections, ns), expected)


def test_ties_are_counted_like_other_values():
    projections = torch.tensor([[2.0, 2.0, 1.0], [2.0, 1.0, 1.0]])
    assert order_statistics(projections, [1, 2]).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("n", [0, -1, 8, 9])
def test_n_out_of_range_names_the_limit(n):
    with pytest.raises(InputError, match=rf"^n {n} is not between 1 and d_sae - 1 = 7; change n$"):
        order_statistics(torch.zeros(2, 8), [3, n])


def test_projection_subtracts_the_bias():
    x = torch.tensor([[3.0, 5.0]])
    W_dec = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    b_dec = torch.tensor([1.0, 1.0])
    # (2, 4) . (0.6, 0.8) = 4.4 and (2, 4) . (1, 0) = 2.
    assert project(x, W_dec, b_dec).tolist() == [[pytest.approx(4.4), 2.0]]


def test_projection_against_float64():
    generator = torch.Generator().manual_seed(3)
    x, b_dec = torch.randn(32, 48, generator=generator), torch.randn(48, generator=generator)
    W_dec = unit_rows(20, 48)
    expected = (x.double().numpy() - b_dec.double().numpy()) @ W_dec.double().numpy().T
    np.testing.assert_allclose(project(x, W_dec, b_dec).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("norm", [0.9, 1.002, 0.0, float("nan")])
def test_rows_of_another_norm_are_refused(norm):
    W_dec = unit_rows(5, 8)
    W_dec[3] *= norm
    message = f"decoder row 3 has norm {norm:.4g}, not 1 within 0.001; normalise"
    with pytest.raises(InputError, match=re.escape(message)):
        check_unit_norm(W_dec)


def test_unit_norm_in_half_precision_passes():
    check_unit_norm(unit_rows(50, 384).half())
