"""A metric over the L0 grid and its noise.

*Variance of a paired difference.* Two or three seeds estimate a variance badly (two that agree by
chance give zero), so a pair's own variance over seeds, with weight (seeds - 1), is blended with
the curve's typical one, with weight `PRIOR_WEIGHT`. The typical one is robust, so that one SAE
stuck in a poor local minimum does not blur the whole curve, and widened for how few values it
comes from. Of made-up flat curves of 8 to 25 points and 1 to 5 seeds, 4 to 7% are not read as
flat.

*One seed.* The spread over seeds is unknown, and the reading says so. So that a jagged flat line is
not read as a minimum, the curve's roughness (its distance from the chord between the neighbours of
each point) stands in for the noise. Curvature adds to it, so it errs towards "cannot tell".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from jaxtyping import Float

PRIOR_WEIGHT = 8.0
FEWEST_POINTS_FOR_ROUGHNESS = 5
CUT = 3.0


@dataclass(frozen=True)
class Curve:
    """A metric over the L0 grid, lower is better.

    Attributes
    ----------
    metric
        Name, such as `c_dec` or `s_n_dec n=48`.
    l0, l0_measured
        Target and measured L0 of each point, lowest first, shape (points,).
    values
        Metric of each point and seed, shape (points, seeds), NaN where a seed is missing.
    batch_error
        Standard error over batches of tokens, shape (points,); zero where there is none.
    """

    metric: str
    l0: Float[np.ndarray, " points"]
    l0_measured: Float[np.ndarray, " points"]
    values: Float[np.ndarray, "points seeds"]
    batch_error: Float[np.ndarray, " points"]

    @property
    def means(self) -> Float[np.ndarray, " points"]:
        """Mean over seeds."""
        return np.nanmean(self.values, axis=1)

    @property
    def seeds(self) -> int:
        """Number of seeds that some point has."""
        return int(np.isfinite(self.values).any(axis=0).sum())


def curve_of(table: pd.DataFrame, metric: str) -> Curve:
    """Build a curve from a tidy table.

    Parameters
    ----------
    table
        One row per L0 and seed, columns `l0`, `l0_measured`, `seed`, `value` and, where the metric
        is a mean over batches, `standard_error`.
    metric
        Name of the curve.
    """
    # By numpy: pandas' pivot and groups would take most of the time of reading many curves.
    found = np.isfinite(table["value"].to_numpy(dtype=float))
    target, seed, measured, value = (
        table[name].to_numpy(dtype=float)[found] for name in ("l0", "seed", "l0_measured", "value")
    )
    l0, at = np.unique(target, return_inverse=True)
    seeds, of = np.unique(seed, return_inverse=True)
    values = np.full((len(l0), len(seeds)), np.nan)
    values[at, of] = value
    if np.isfinite(values).sum() < len(value):
        raise ValueError(f"{metric}: two values of one L0 and seed")
    l0_measured = np.array([np.nanmedian(measured[at == point]) for point in range(len(l0))])
    error = np.zeros(len(l0))
    if "standard_error" in table:
        means = table[found].groupby("l0")["standard_error"].mean()
        error = means.fillna(0.0).to_numpy(dtype=float)
    order = np.argsort(l0_measured, kind="stable")
    return Curve(metric, l0[order], l0_measured[order], values[order], error[order])


def robust_mean_square(deviations: Float[np.ndarray, "..."], freedom: float) -> float:
    """Return the mean square of deviations, large ones cut, for use with few of them.

    Deviations beyond `CUT` robust standard deviations (1.4826 medians) count as much as that, so
    that one outlier does not set the noise. The mean is multiplied by f / (f - 2), f the degrees of
    freedom, as in the variance of Student's t: a variance known from few values may be larger.

    Examples
    --------
    >>> import numpy as np
    >>> robust_mean_square(np.array([1.0, -1, 1, -1]), freedom=4)
    2.0
    """
    cut = CUT * 1.4826 * np.median(np.abs(deviations))
    mean_square = float(np.mean(np.clip(deviations, -cut, cut) ** 2))
    return mean_square * freedom / (freedom - 2) if freedom > 2 else 3 * mean_square


def roughness(
    log_l0: Float[np.ndarray, " points"], means: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " inner"]:
    """Return how far each inner point lies from the chord between its neighbours.

    Scaled so that independent noise of standard deviation 1 gives standard deviation 1.

    Examples
    --------
    A straight line with one point out of line by sqrt(1.5):

    >>> import numpy as np
    >>> roughness(np.arange(4.0), np.array([3.0, 2 + 1.5**0.5, 1, 0])).round(3)
    array([ 1. , -0.5])
    """
    weight = (log_l0[1:-1] - log_l0[:-2]) / (log_l0[2:] - log_l0[:-2])
    distance = means[1:-1] - (1 - weight) * means[:-2] - weight * means[2:]
    return distance / np.sqrt(1 + weight**2 + (1 - weight) ** 2)


def typical_variance(curve: Curve) -> float:
    """Return the variance of one value around its point's mean, as the whole curve suggests it.

    Over seeds: from the residuals of each point, once what a seed adds to all points is taken off.
    With one seed: from the roughness. NaN where neither can be had.
    """
    points = len(curve.l0)
    if curve.seeds > 1:
        residuals = curve.values - curve.means[:, None]
        residuals = residuals - np.nanmedian(residuals, axis=0)
        counts = np.isfinite(residuals).sum(axis=1, keepdims=True)
        shared = counts[:, 0] > 1
        if shared.any():
            scaled = (residuals * np.sqrt(counts / np.maximum(counts - 1, 1)))[shared]
            freedom = (points - 1) * (int(np.median(counts[shared])) - 1)
            return robust_mean_square(scaled[np.isfinite(scaled)], freedom)
    if points < FEWEST_POINTS_FOR_ROUGHNESS:
        return float("nan")
    return robust_mean_square(roughness(np.log(curve.l0_measured), curve.means), points - 2)


def pair_error(curve: Curve, i: int, j: int, typical: float) -> float:
    """Return the standard error of the difference between two points, paired over seeds.

    The variance over seeds of the paired differences, blended with `2 * typical`, divided by the
    number of shared seeds; the standard errors over batches are added in quadrature.

    Examples
    --------
    Differences 1 and 3 over two seeds have variance 2 (weight 1); the curve's typical variance is
    0.5, so 1 for a difference (weight 8); (2 + 8) / 9 over 2 seeds is 5 / 9:

    >>> import numpy as np
    >>> curve = Curve("m", np.array([4.0, 8]), np.array([4.0, 8]),
    ...               np.array([[2.0, 5], [1.0, 2]]), np.zeros(2))
    >>> round(pair_error(curve, 0, 1, 0.5) ** 2, 6)
    0.555556
    """
    if i == j:
        return 0.0
    differences = curve.values[i] - curve.values[j]
    differences = differences[np.isfinite(differences)]
    shared = len(differences)
    weights, variances = [PRIOR_WEIGHT], [2 * typical]
    if shared > 1:
        weights.append(shared - 1)
        variances.append(float(np.var(differences, ddof=1)))
    known = np.isfinite(variances)
    over_seeds = np.average(np.array(variances)[known], weights=np.array(weights)[known]) / max(
        shared, 1
    ) if known.any() else 0.0  # fmt: skip
    return float(np.sqrt(over_seeds + curve.batch_error[i] ** 2 + curve.batch_error[j] ** 2))
