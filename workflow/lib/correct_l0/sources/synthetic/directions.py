"""The directions of the features: unit vectors that are orthonormal, spread out, or random."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FRAME_ITERATIONS = 2000
"""Iterations towards directions that overlap little; after these they move by less than 1e-6."""


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


def random_rows(count: int, d_in: int, seed: int) -> Float[np.ndarray, "count d_in"]:
    """Return random unit rows: the mean |cosine| of two is about sqrt(2 / (pi d_in)).

    Examples
    --------
    >>> rows = random_rows(500, 100, seed=0)
    >>> cosines = np.abs(rows @ rows.T)[np.triu_indices(500, 1)].mean()
    >>> round(float(cosines), 3), round((2 / np.pi / 100) ** 0.5, 3)
    (0.08, 0.08)
    """
    rows = np.random.default_rng(seed).standard_normal((count, d_in))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


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
