"""Correlations of the features' Gaussians: random ones, named ones, and what is feasible."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

MIN_EIGENVALUE = 1e-6
"""Smallest eigenvalue of a random correlation matrix before it is rescaled to a unit diagonal."""

FEASIBLE = -1e-9
"""Smallest eigenvalue, up to rounding, of a matrix that is a correlation matrix."""


def random_correlation(
    features: int, sparsity: float, low: float, high: float, seed: int
) -> Float[np.ndarray, "features features"]:
    """Return the paper's random correlation matrix.

    A share `sparsity` of the pairs has no correlation; the others have a magnitude uniform between
    `low` and `high`, half of them negative. Such a matrix is rarely feasible: its eigenvalues are
    clipped at 1e-6 and it is rescaled to a unit diagonal, which makes most correlations smaller.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2508.16560, section 3 and appendix A.1.

    Examples
    --------
    >>> matrix = random_correlation(50, 0.3, 0.3, 0.9, seed=42)
    >>> bool(np.allclose(matrix, matrix.T)), bool(np.allclose(np.diag(matrix), 1))
    (True, True)
    >>> bool(np.linalg.eigvalsh(matrix).min() > 0)
    True
    """
    generator = np.random.default_rng(seed)
    rows, columns = np.triu_indices(features, 1)
    pairs = len(rows)
    zeros = round(sparsity * pairs)
    negative = (pairs - zeros) // 2
    signs = np.repeat([0.0, -1.0, 1.0], [zeros, negative, pairs - zeros - negative])
    values = generator.permutation(signs) * generator.uniform(low, high, pairs)
    matrix = np.eye(features)
    matrix[rows, columns] = matrix[columns, rows] = values
    eigenvalues, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * eigenvalues.clip(MIN_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(matrix))
    return matrix / np.outer(scale, scale)


def pair_correlation(
    pairs: Iterable[tuple[int, int, float]], features: int
) -> Float[np.ndarray, "features features"]:
    """Return the correlation matrix with the named pairs, zero elsewhere.

    Examples
    --------
    >>> pair_correlation([(0, 1, -0.4)], 2)
    array([[ 1. , -0.4],
           [-0.4,  1. ]])
    """
    matrix = np.eye(features)
    for i, j, value in pairs:
        matrix[i, j] = matrix[j, i] = value
    return matrix


def star(features: int, correlation: float) -> list[tuple[int, int, float]]:
    """Return the pairs of the small model: feature 0 with every other, the others independent."""
    return [(0, other, correlation) for other in range(1, features)]


def check_pairs(pairs: Iterable[tuple[int, int, float]], features: int) -> None:
    """Refuse pairs that are no correlations of so many features.

    Raises
    ------
    ValueError
        If a pair names a feature that is not there, the same feature twice, a pair again, or if no
        Gaussians have all these correlations at once.
    """
    pairs = list(pairs)
    seen = set()
    for i, j, value in pairs:
        if max(i, j) >= features:
            raise ValueError(
                f"correlation of features {i} and {j}, but the last feature is {features - 1}; "
                "name features that are there"
            )
        if i == j:
            raise ValueError(f"correlation {value:g} of feature {i} with itself; remove it")
        if frozenset((i, j)) in seen:
            raise ValueError(f"the correlation of features {i} and {j} is set twice; keep one")
        seen.add(frozenset((i, j)))
    smallest = float(np.linalg.eigvalsh(pair_correlation(pairs, features)).min())
    if smallest < FEASIBLE:
        raise ValueError(
            f"correlations are infeasible: their matrix has the eigenvalue {smallest:.3g}, none "
            "may be negative; bring them closer to zero"
        )


def root_of(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return L with L L^T = matrix, lower triangular where the matrix is positive definite.

    Examples
    --------
    >>> root_of(np.array([[1.0, 1.0], [1.0, 1.0]])).round(6) @ np.array([1.0, 0.0])
    array([0., 0.])
    """
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(matrix)
        return vectors * np.sqrt(eigenvalues.clip(0))
