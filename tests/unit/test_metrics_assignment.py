"""The matching, against all permutations and against scipy's dense solver."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from correct_l0.errors import InputError
from correct_l0.metrics import assignment
from correct_l0.metrics.assignment import assign


def normal(rows, d_in, seed=0):
    return torch.randn(rows, d_in, generator=torch.Generator().manual_seed(seed))


def cosines_of(first, second):
    a, b = first.double().numpy(), second.double().numpy()
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


def common(first, second):
    shift = 2 * normal(1, first.shape[1], seed=9)
    return first + shift, second + shift


def collapsed(first, second):
    """Twenty latents on each of a few directions, which the other set shares unevenly."""
    few = first[: len(first) // 20]
    drawn = torch.randint(len(few), (len(second),), generator=torch.Generator().manual_seed(3))
    return few.repeat(20, 1) + 0.05 * first[: 20 * len(few)], few[drawn] + 0.05 * second


def hub(first, second):
    """Half of the second set is one direction."""
    second[: len(second) // 2] = second[0] + 0.01 * second[: len(second) // 2]
    return first, second


def half_found(first, second):
    half = min(len(first), len(second)) // 2
    second[:half] = first[:half] + 0.3 * second[:half]
    return first, second


def low_rank(first, second):
    return normal(len(first), 8, 4) @ first[:8], normal(len(second), 8, 5) @ first[:8]


KINDS = [lambda a, b: (a, b), common, collapsed, hub, half_found, low_rank]


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("rows", range(1, 6))
@pytest.mark.parametrize("columns", [3, 5])
def test_against_all_permutations(rows, columns, absolute):
    first, second = normal(rows, 3, rows), normal(columns, 3, 17)
    cosines = cosines_of(first, second)
    cosines = np.abs(cosines) if absolute else cosines
    few, many = sorted((rows, columns))
    table = cosines if rows <= columns else cosines.T
    best = max(table[range(few), list(order)].sum() for order in permutations(range(many), few))
    found = assign(first, second, absolute)
    assert found.cosines.sum() == pytest.approx(best, abs=1e-6)
    assert len(set(found.rows)) == len(set(found.columns)) == few


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("shape", [(400, 400), (400, 150), (150, 400)])
def test_against_scipys_dense_solver(shape, absolute, kind):
    first, second = kind(normal(shape[0], 48), normal(shape[1], 48, seed=1))
    cosines = cosines_of(first, second)
    cosines = np.abs(cosines) if absolute else cosines
    expected = cosines[linear_sum_assignment(cosines, maximize=True)]
    found = assign(first, second, absolute)
    assert found.cosines.mean() == pytest.approx(expected.mean(), abs=1e-7)
    assert found.error_bound < 1e-6
    assert found.cosines == pytest.approx(cosines[found.rows, found.columns], abs=1e-6)
    assert (np.diff(found.rows) > 0).all()


def test_a_stopped_search_says_how_far_the_optimum_may_be(monkeypatch):
    monkeypatch.setattr(assignment, "NEIGHBOURS", 1)
    monkeypatch.setattr(assignment, "ADDED", 1)
    monkeypatch.setattr(assignment, "MAX_ROUNDS", 1)
    first, second = common(normal(300, 48), normal(300, 48, seed=1))
    cosines = cosines_of(first, second)
    best = cosines[linear_sum_assignment(cosines, maximize=True)].mean()
    found = assign(first, second)
    assert found.cosines.mean() < best - 1e-3
    assert best <= found.cosines.mean() + found.error_bound


def test_few_neighbours_reach_the_optimum_too(monkeypatch):
    first, second = common(normal(300, 48), normal(300, 48, seed=1))
    expected = assign(first, second).cosines.mean()
    monkeypatch.setattr(assignment, "NEIGHBOURS", 1)
    assert assign(first, second).cosines.mean() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("rows", [1, 7, 50, 4096])
def test_blocks_of_any_size(rows, monkeypatch):
    expected = assign(normal(50, 9), normal(70, 9, seed=1))
    monkeypatch.setattr(assignment, "BLOCK_ROWS_CPU", rows)
    found = assign(normal(50, 9), normal(70, 9, seed=1))
    assert found.columns.tolist() == expected.columns.tolist()
    assert found.cosines == pytest.approx(expected.cosines, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_row_without_direction(value):
    rows = normal(4, 3)
    rows[2] = value
    with pytest.raises(InputError, match=r"direction 2 is zero or not finite, .* train this SAE"):
        assign(normal(4, 3), rows)
