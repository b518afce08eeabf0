"""Correlations of the features' Gaussians: random, named, of common causes; what is feasible."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

MIN_EIGENVALUE = 1e-6
"""Smallest eigenvalue of a random correlation matrix before it is rescaled to a unit diagonal."""

MIN_OWN_VARIANCE = 0.01
"""Least share of a Gaussian's variance that is not due to common causes."""

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


def low_rank_weights(
    features: int, rank: int, scale: float, seed: int
) -> Float[np.ndarray, "features rank"]:
    """Return each feature's weights on the common causes: the correlations are their products.

    Normal, with standard deviation `scale`. Where a feature's squared weights leave less than 0.01
    of the variance to itself, they are scaled down to that.

    References
    ----------
    Chanin & Garriga-Alonso, arXiv 2602.14687; `generate_random_low_rank_correlation_matrix` of
    `sae_lens.synthetic`.

    Examples
    --------
    >>> weights = low_rank_weights(1000, rank=25, scale=0.1, seed=0)
    >>> round(float(np.square(weights).sum(axis=1).mean()), 2)
    0.25
    """
    weights = scale * np.random.default_rng(seed).standard_normal((features, rank))
    squares = np.square(weights).sum(axis=1, keepdims=True)
    return weights * np.sqrt(np.minimum(1, (1 - MIN_OWN_VARIANCE) / squares))


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
    places = {
        feature: place for place, feature in enumerate({f for i, j, _ in pairs for f in (i, j)})
    }
    named = [(places[i], places[j], value) for i, j, value in pairs]
    smallest = float(np.linalg.eigvalsh(pair_correlation(named, len(places))).min(initial=1.0))
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
