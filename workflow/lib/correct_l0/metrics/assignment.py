"""The best one-to-one matching of two sets of directions, without their whole cosine matrix.

A row of a good matching is matched to one of its nearest columns, so a sparse matching of near
neighbours is tried first. Prices of the columns (the dual of the assignment problem) then bound,
in one blockwise pass over all pairs, what any matching could reach. Pairs that break the bound are
added and the sparse matching is solved again, until the bound is met: the result is the optimum of
the whole matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from correct_l0.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NEIGHBOURS = 32
"""Nearest directions of each row and each column that are tried first."""

ADDED = 8
"""Pairs a row may gain each time the bound is broken."""

TOLERANCE = 1e-6
"""Cosine that a row may miss to the bound; cosines are computed in float32."""

MAX_ROUNDS = 40

GRAINS = (1 / 8, 1 / 64, 1 / 512, 0.0)
"""Costs are rounded to these one after the other, and prices carried over: solved at once, costs
that hardly differ (latents that collapsed onto one direction) take up to fifty times as long."""

BLOCK_ROWS_CPU, BLOCK_ROWS_GPU = 512, 4096


@dataclass(frozen=True)
class Assignment:
    """A one-to-one matching of min(rows, columns) pairs.

    Attributes
    ----------
    rows
        Matched rows of the first set, ascending.
    columns
        Their partners in the second set.
    cosines
        Cosine of each pair, float64; |cosine| where the matching was of absolute values.
    error_bound
        The largest mean cosine of any matching is at most this much above the mean of `cosines`.
    """

    rows: Int[np.ndarray, " pairs"]
    columns: Int[np.ndarray, " pairs"]
    cosines: Float[np.ndarray, " pairs"]
    error_bound: float


class _Candidates(NamedTuple):
    """Pairs a matching may use, each once."""

    rows: Int[np.ndarray, " candidates"]
    columns: Int[np.ndarray, " candidates"]
    cosines: Float[np.ndarray, " candidates"]


def assign(
    first: Float[Tensor, "rows d_in"],
    second: Float[Tensor, "columns d_in"],
    absolute: bool = False,
) -> Assignment:
    """Return the matching of rows to columns with the largest sum of cosines.

    Maximises sum_i cos(first_i, second_pi(i)) over all one-to-one maps pi of the smaller set into
    the larger one. Directions of any length. Memory grows with the number of directions, not with
    the number of pairs.

    Parameters
    ----------
    first, second
        Directions, on the device to compute on.
    absolute
        Match by |cosine|.

    Raises
    ------
    InputError
        If a direction is zero or not finite.

    References
    ----------
    Kuhn (1955), The Hungarian method for the assignment problem; Jonker & Volgenant (1987), A
    shortest augmenting path algorithm for dense and sparse linear assignment problems, whose
    sparse form scipy has.

    Examples
    --------
    The second row is nearest to the first column too, but the first row needs it more.

    >>> found = assign(torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.eye(2))
    >>> found.columns.tolist(), found.cosines.round(6).tolist()
    ([0, 1], [1.0, 0.6])
    """
    a, b = unit_rows(first), unit_rows(second)
    if len(a) > len(b):
        columns, rows, error_bound = _assign(b, a, absolute)
        order = np.argsort(rows)
        rows, columns = rows[order], columns[order]
    else:
        rows, columns, error_bound = _assign(a, b, absolute)
    return Assignment(rows, columns, _pair_cosines(a, b, rows, columns, absolute), error_bound)


def unit_rows(directions: Float[Tensor, "rows d_in"]) -> Float[Tensor, "rows d_in"]:
    """Return directions of norm 1, float32.

    Raises
    ------
    InputError
        If a direction is zero or not finite.

    Examples
    --------
    >>> unit_rows(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    rows = directions.detach().float()
    norms = rows.norm(dim=1, keepdim=True)
    bad = ~(torch.isfinite(norms) & (norms > 0)).flatten()
    if bad.any():
        raise InputError(
            f"direction {int(bad.nonzero()[0])} is zero or not finite, so it has no cosine; "
            "train this SAE again"
        )
    return rows / norms


def cosine_blocks(
    a: Float[Tensor, "rows d_in"], b: Float[Tensor, "columns d_in"], absolute: bool = False
) -> Iterator[tuple[int, Float[Tensor, "block columns"]]]:
    """Yield the cosines of unit rows with unit columns in blocks of rows, each with its start."""
    size = BLOCK_ROWS_GPU if a.is_cuda else BLOCK_ROWS_CPU
    for start in range(0, len(a), size):
        cosines = a[start : start + size] @ b.T
        yield start, cosines.abs_() if absolute else cosines


def _assign(
    a: Float[Tensor, "rows d_in"], b: Float[Tensor, "columns d_in"], absolute: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Match every row; there are no more rows than columns."""
    candidates = _first_candidates(a, b, absolute)
    rows, prices = np.arange(len(a)), np.zeros(len(b))
    for _ in range(MAX_ROUNDS):
        partners, prices = _sparse_matching(candidates, prices)
        cosines = _pair_cosines(a, b, rows, partners, absolute)
        most, broken = _broken_bounds(a, b, absolute, prices, cosines - prices[partners])
        known, candidates = len(candidates.rows), _joined(len(b), candidates, broken)
        if len(candidates.rows) == known:
            break
    gap = float(most + prices.sum() - cosines.sum())
    return rows, partners, max(0.0, gap / len(a))


def _first_candidates(
    a: Float[Tensor, "rows d_in"], b: Float[Tensor, "columns d_in"], absolute: bool
) -> _Candidates:
    rows, columns, cosines = _nearest(a, b, absolute)
    others, their_rows, their_cosines = _nearest(b, a, absolute)
    # With the diagonal there always is a matching of every row.
    diagonal = np.arange(len(a))
    on_it = _pair_cosines(a, b, diagonal, diagonal, absolute)
    return _joined(
        len(b),
        _Candidates(rows, columns, cosines),
        _Candidates(their_rows, others, their_cosines),
        _Candidates(diagonal, diagonal, on_it),
    )


def _nearest(
    a: Float[Tensor, "rows d_in"], b: Float[Tensor, "columns d_in"], absolute: bool
) -> _Candidates:
    count = min(NEIGHBOURS, len(b))
    blocks = (block for _, block in cosine_blocks(a, b, absolute))
    cosines, columns = _largest(blocks, count, in_order=False)
    return _Candidates(np.repeat(np.arange(len(a)), count), columns.ravel(), cosines.ravel())


def _largest(
    blocks: Iterable[Float[Tensor, "block columns"]], count: int, in_order: bool
) -> tuple[Float[np.ndarray, "rows count"], Int[np.ndarray, "rows count"]]:
    """Return the largest values of each row, and their columns; waits for a device once."""
    found = [block.topk(count, sorted=in_order) for block in blocks]
    values = torch.cat([best.values for best in found]).double().cpu().numpy()
    return values, torch.cat([best.indices for best in found]).cpu().numpy()


def _joined(columns: int, *parts: _Candidates) -> _Candidates:
    keys = np.concatenate([part.rows * columns + part.columns for part in parts])
    keys, first = np.unique(keys, return_index=True)
    cosines = np.concatenate([part.cosines for part in parts])[first]
    return _Candidates(keys // columns, keys % columns, cosines)


def _sparse_matching(
    candidates: _Candidates, prices: Float[np.ndarray, " columns"]
) -> tuple[Int[np.ndarray, " rows"], Float[np.ndarray, " columns"]]:
    """Return the best matching among candidates (sorted by row), and prices that explain it."""
    rows, columns, cosines = candidates
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    shape = (len(starts), len(prices))
    # Where some columns stay free a price changes what is best, so nothing is carried over.
    square = shape[0] == shape[1]
    prices = prices if square else np.zeros(shape[1])
    for grain in GRAINS if square else (0.0,):
        net = cosines - prices[columns]
        short = np.maximum.reduceat(net, starts)[rows] - net
        short = np.round(short / grain) * grain if grain else short
        partners = _cheapest(candidates._replace(cosines=-short), shape)
        prices = prices + _prices(candidates._replace(cosines=-short), partners, shape[1])
    return partners, prices - prices.min()


def _cheapest(candidates: _Candidates, shape: tuple[int, int]) -> Int[np.ndarray, " rows"]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    # Costs from 1: an entry of zero would be no pair.
    costs = csr_array((1 - candidates.cosines, (candidates.rows, candidates.columns)), shape=shape)
    return min_weight_full_bipartite_matching(costs)[1].astype(np.int64)


def _prices(
    candidates: _Candidates, partners: Int[np.ndarray, " rows"], columns: int
) -> Float[np.ndarray, " columns"]:
    """Return the lowest prices v >= 0 that explain the best matching among candidates.

    At them no row gains by another candidate: c_ij - v_j <= c_i,pi(i) - v_pi(i). Found by
    raising prices from zero until nobody gains (Bellman & Ford).
    """
    rows, order = candidates.rows, np.argsort(candidates.columns, kind="stable")
    matched = np.empty(len(partners))
    own = candidates.columns == partners[rows]
    matched[rows[own]] = candidates.cosines[own]
    gains = (candidates.cosines - matched[rows])[order]
    payers, paid = partners[rows][order], candidates.columns[order]
    starts = np.flatnonzero(np.diff(paid, prepend=-1))
    priced = paid[starts]
    prices = np.zeros(columns)
    for _ in range(len(partners)):
        raised = np.maximum(prices[priced], np.maximum.reduceat(prices[payers] + gains, starts))
        change = np.max(raised - prices[priced])
        prices[priced] = raised
        if change < TOLERANCE * 1e-3:
            break
    return prices


def _broken_bounds(
    a: Float[Tensor, "rows d_in"],
    b: Float[Tensor, "columns d_in"],
    absolute: bool,
    prices: Float[np.ndarray, " columns"],
    profits: Float[np.ndarray, " rows"],
) -> tuple[float, _Candidates]:
    """Return sum_i max_j (c_ij - v_j), and pairs with more than their row's profit c_ij - v_j.

    By duality no matching has a sum of cosines above that sum and the sum of prices.
    """
    v = torch.from_numpy(prices).to(a)
    blocks = (block.sub_(v) for _, block in cosine_blocks(a, b, absolute))
    values, places = _largest(blocks, min(ADDED, len(b)), in_order=True)
    rows, ranks = np.nonzero(values > profits[:, None] + TOLERANCE)
    columns = places[rows, ranks]
    cosines = values[rows, ranks] + prices[columns]
    return float(values[:, 0].sum()), _Candidates(rows, columns, cosines)


def _pair_cosines(
    a: Float[Tensor, "rows d_in"],
    b: Float[Tensor, "columns d_in"],
    rows: Int[np.ndarray, " pairs"],
    columns: Int[np.ndarray, " pairs"],
    absolute: bool,
) -> Float[np.ndarray, " pairs"]:
    left, right = torch.from_numpy(rows).to(a.device), torch.from_numpy(columns).to(a.device)
    blocks = zip(left.split(BLOCK_ROWS_CPU), right.split(BLOCK_ROWS_CPU), strict=True)
    cosines = torch.cat([(a[i].double() * b[j].double()).sum(1) for i, j in blocks]).cpu().numpy()
    return np.abs(cosines) if absolute else cosines
