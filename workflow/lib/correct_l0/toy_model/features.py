"""The true features: their directions, how often they fire, and how their firings correlate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, owens_t

from correct_l0.toy_model.correlations import pair_correlation, random_correlation, root_of
from correct_l0.toy_model.settings import ToyModel

FRAME_ITERATIONS = 2000
"""Iterations towards directions that overlap little; after these they move by less than 1e-6."""


@dataclass(frozen=True)
class Features:
    """The true features of a toy model.

    Attributes
    ----------
    directions
        Unit vectors, one row each.
    probabilities
        Firing probabilities.
    correlation
        Correlation matrix of the Gaussians that decide what fires.
    root
        L with L L^T = correlation.
    thresholds
        A feature fires where its Gaussian is above its threshold.
    magnitude_mean, magnitude_std
        Of the Gaussian whose positive part is the magnitude of a firing feature.
    """

    directions: Float[np.ndarray, "features d_in"]
    probabilities: Float[np.ndarray, " features"]
    correlation: Float[np.ndarray, "features features"]
    root: Float[np.ndarray, "features features"]
    thresholds: Float[np.ndarray, " features"]
    magnitude_mean: float
    magnitude_std: float

    @property
    def count(self) -> int:
        """Number of features."""
        return len(self.directions)

    @property
    def d_in(self) -> int:
        """Width of a sample."""
        return self.directions.shape[1]

    @property
    def true_l0(self) -> float:
        """Expected number of features that fire: the sum of their probabilities."""
        return float(self.probabilities.sum())


@lru_cache(maxsize=32)
def build_features(model: ToyModel) -> Features:
    """Return the true features of a toy model, a function of its settings alone."""
    count = model.features
    if model.correlation is None:
        correlation = np.eye(count)
    elif model.correlation.pairs is not None:
        correlation = pair_correlation(model.correlation.pairs, count)
    else:
        correlation = random_correlation(count, **model.correlation.model_dump(exclude={"pairs"}))
    probabilities = np.array(model.probabilities())
    directions = orthonormal_rows if model.orthogonal else spread_rows
    return Features(
        directions=directions(count, model.d_in, model.seed),
        probabilities=probabilities,
        correlation=correlation,
        root=root_of(correlation),
        thresholds=ndtri(1 - probabilities),
        magnitude_mean=model.magnitude_mean,
        magnitude_std=model.magnitude_std,
    )


def orthonormal_rows(count: int, d_in: int, seed: int) -> Float[np.ndarray, "count d_in"]:
    """Return random orthonormal rows.

    Examples
    --------
    >>> rows = orthonormal_rows(3, 5, seed=0)
    >>> bool(np.allclose(rows @ rows.T, np.eye(3)))
    True
    """
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d_in, count)))
    return np.ascontiguousarray(q.T)


def spread_rows(count: int, d_in: int, seed: int) -> Float[np.ndarray, "count d_in"]:
    """Return unit rows that overlap as little as so many can, in the mean of squared cosines.

    Random directions, made by turns a tight frame and of unit norm. Orthonormal where they fit.

    References
    ----------
    Benedetto & Fickus (2003), Finite normalized tight frames: the mean squared cosine of unit
    vectors is least, (count / d_in - 1) / (count - 1), for a tight frame.

    Examples
    --------
    >>> rows = spread_rows(50, 40, seed=0)
    >>> squared = np.square(rows @ rows.T)[np.triu_indices(50, 1)].mean()
    >>> round(float(squared), 5), round((50 / 40 - 1) / 49, 5)
    (0.0051, 0.0051)
    """
    rows = np.random.default_rng(seed).standard_normal((count, d_in))
    for _ in range(FRAME_ITERATIONS):
        left, _, right = np.linalg.svd(rows, full_matrices=False)
        tight = left @ right
        tight /= np.linalg.norm(tight, axis=1, keepdims=True)
        moved = np.abs(tight - rows).max()
        rows = tight
        if moved < 1e-9:
            break
    return rows


def firing_correlation(features: Features) -> Float[np.ndarray, "features features"]:
    """Return the expected correlation of the firings, smaller than that of the Gaussians.

    Two features fire together with the probability that both Gaussians are above their thresholds.

    References
    ----------
    Owen (1956), Tables for computing bivariate normal probabilities, equation 2.1.

    Examples
    --------
    Firing half the time, with Gaussians correlated by rho: 2 arcsin(rho) / pi.

    >>> pairs = {"pairs": [(0, 1, 0.5)]}
    >>> model = ToyModel(features=2, d_in=2, firing=(0.5, 0.5), correlation=pairs)
    >>> round(float(firing_correlation(build_features(model))[0, 1]), 6)
    0.333333
    """
    p = features.probabilities
    rows, columns = np.triu_indices(len(p), 1)
    together = _both_below(
        -features.thresholds[rows], -features.thresholds[columns],
        features.correlation[rows, columns],
    )  # fmt: skip
    deviations = np.sqrt(p * (1 - p))
    values = (together - p[rows] * p[columns]) / (deviations[rows] * deviations[columns])
    matrix = np.eye(len(p))
    matrix[rows, columns] = matrix[columns, rows] = values
    return matrix


def _both_below(
    h: Float[np.ndarray, " n"], k: Float[np.ndarray, " n"], rho: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return P(X < h, Y < k) for standard Gaussians with correlation rho."""
    # A threshold of exactly zero would divide by zero; the function is continuous there.
    h, k = np.where(h == 0, 1e-12, h), np.where(k == 0, 1e-12, k)
    rho = np.clip(rho, -1 + 1e-12, 1 - 1e-12)
    width = np.sqrt(1 - rho**2)
    correction = np.where(h * k > 0, 0.0, 0.5)
    return (
        (ndtr(h) + ndtr(k)) / 2
        - owens_t(h, (k - rho * h) / (h * width))
        - owens_t(k, (h - rho * k) / (k * width))
        - correction
    )
