"""A synthetic world: the true features, how often they fire, and how their firings correlate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, owens_t

from correct_l0.sources.synthetic import correlations, directions, hierarchy
from correct_l0.sources.synthetic.settings import Correlation, Sinks, Synthetic


@dataclass(frozen=True)
class World:
    """The true features of a synthetic world, and what decides which of them fire.

    A feature's Gaussian is the sum of the common causes times its weights and of a part of its own;
    the feature fires where that is above its threshold and, in a tree, where its parent fires and
    no sibling that excludes it is drawn.

    Attributes
    ----------
    directions
        Unit vectors, one row each, in the precision of the samples.
    thresholds
        A feature fires where its Gaussian is above its threshold.
    weights
        Of each feature on the common causes; of no columns where the Gaussians are independent.
    own
        Standard deviation of the part of each Gaussian that is its own; zero where the Gaussians
        have a whole correlation matrix, whose root is `weights`.
    magnitude_mean, magnitude_std
        Of the normal variable whose positive part is the magnitude of a firing feature.
    bias
        Part of every sample.
    tree
        Which feature is below which.
    scaled
        Whether a child's magnitude is multiplied by that of its parent relative to its mean.
    sink, sink_share
        A vector of massive norm, and the share of samples that are it alone.
    """

    directions: Float[np.ndarray, "features d_in"]
    thresholds: Float[np.ndarray, " features"]
    weights: Float[np.ndarray, "features causes"]
    own: Float[np.ndarray, " features"]
    magnitude_mean: Float[np.ndarray, " features"]
    magnitude_std: Float[np.ndarray, " features"]
    bias: Float[np.ndarray, " d_in"]
    tree: hierarchy.Tree | None = None
    scaled: bool = False
    sink: Float[np.ndarray, " d_in"] | None = None
    sink_share: float = 0.0

    @property
    def count(self) -> int:
        """Number of features."""
        return len(self.directions)

    @property
    def d_in(self) -> int:
        """Width of a sample."""
        return self.directions.shape[1]

    @property
    def probabilities(self) -> Float[np.ndarray, " features"]:
        """Probability that each Gaussian is above its threshold."""
        return ndtr(-self.thresholds)

    @property
    def correlation(self) -> Float[np.ndarray, "features features"]:
        """Correlation matrix of the Gaussians."""
        return self.weights @ self.weights.T + np.diag(np.square(self.own))


def build_world(settings: Synthetic) -> World:
    """Return the world of some settings, a function of these alone."""
    count, d_in, seed = settings.features, settings.d_in, settings.seed
    draw = {
        "orthonormal": directions.orthonormal_rows,
        "spread": directions.spread_rows,
        "random": directions.random_rows,
    }
    tree = settings.tree()
    weights, own = _weights(settings.correlation, count)
    varied = np.random.default_rng((seed, 2))
    toward = np.random.default_rng((seed, 3)).standard_normal(d_in)
    return World(
        directions=draw[settings.directions](count, d_in, seed).astype(np.float32),
        thresholds=ndtri(1 - settings.own_probabilities(tree)),
        weights=weights,
        own=own,
        magnitude_mean=settings.magnitude.mean.values(count, varied),
        magnitude_std=settings.magnitude.std.values(count, varied),
        bias=(settings.bias * toward / np.linalg.norm(toward)).astype(np.float32),
        tree=tree,
        scaled=settings.hierarchy is not None and settings.hierarchy.scaled,
    )


def with_sinks(world: World, wanted: Sinks, mean_norm: float, seed: int) -> World:
    """Return a world in which some samples are one vector of random direction.

    Parameters
    ----------
    world
        Without sinks.
    wanted
        How many, and of which norm.
    mean_norm
        Of the other samples.
    seed
        Seed of the direction.
    """
    toward = np.random.default_rng((seed, 4)).standard_normal(world.d_in)
    sink = (wanted.norm * mean_norm / np.linalg.norm(toward) * toward).astype(np.float32)
    return replace(world, sink=sink, sink_share=wanted.share)


def _weights(
    wanted: Correlation | None, count: int
) -> tuple[Float[np.ndarray, "features causes"], Float[np.ndarray, " features"]]:
    """Return the weights on the common causes, and the standard deviation of what is left."""
    if wanted is None:
        return np.zeros((count, 0)), np.ones(count)
    if wanted.rank is not None and wanted.scale is not None:
        weights = correlations.low_rank_weights(count, wanted.rank, wanted.scale, wanted.seed)
        return weights, np.sqrt(1 - np.square(weights).sum(axis=1))
    if wanted.pairs is not None:
        matrix = correlations.pair_correlation(wanted.pairs, count)
    else:
        matrix = correlations.random_correlation(
            count, wanted.sparsity, wanted.low, wanted.high, wanted.seed
        )
    return correlations.root_of(matrix), np.zeros(count)


def firing_rates(world: World) -> Float[np.ndarray, " features"] | None:
    """Return how often each feature fires; None where there is no closed form.

    There is none for a tree of correlated features. A feature whose magnitude is cut to zero does
    not fire.

    Examples
    --------
    >>> rates = firing_rates(build_world(Synthetic()))
    >>> round(float(rates.sum()), 4)
    10.9525
    """
    with np.errstate(divide="ignore"):
        positive = ndtr(world.magnitude_mean / world.magnitude_std)
    own = world.probabilities * positive
    if world.tree is None:
        return own
    return None if world.weights.shape[1] else hierarchy.rates(own, world.tree)


def firing_correlation(world: World) -> Float[np.ndarray, "features features"]:
    """Return the expected correlation of the firings, smaller than that of the Gaussians.

    Two features fire together with the probability that both Gaussians are above their thresholds.
    Of a world without a hierarchy, and without the magnitudes that are cut to zero.

    Raises
    ------
    ValueError
        If the world has a hierarchy.

    References
    ----------
    Owen (1956), Tables for computing bivariate normal probabilities, equation 2.1.

    Examples
    --------
    Firing half the time, with Gaussians correlated by rho: 2 arcsin(rho) / pi.

    >>> pairs = {"kind": "pairs", "pairs": [(0, 1, 0.5)]}
    >>> settings = Synthetic(features=2, d_in=2, firing=(0.5, 0.5), correlation=pairs)
    >>> round(float(firing_correlation(build_world(settings))[0, 1]), 6)
    0.333333
    """
    if world.tree is not None:
        raise ValueError("the firings of a hierarchy have no correlation in closed form")
    p = world.probabilities
    rows, columns = np.triu_indices(len(p), 1)
    together = _both_below(
        -world.thresholds[rows], -world.thresholds[columns], world.correlation[rows, columns]
    )
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
