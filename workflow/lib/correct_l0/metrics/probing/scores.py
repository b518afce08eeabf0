"""Scores of binary predictions: scikit-learn's numbers to the last bit, without its checks.

A probe is scored a dozen times, on a hundred rows each: scikit-learn then spends all but a few
microseconds of each millisecond on finding out what it was given.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def auc(y: Int[np.ndarray, " rows"], scores: Float[np.ndarray, " rows"]) -> float:
    """Return the area under the ROC curve, as `roc_auc_score` does.

    Parameters
    ----------
    y
        0 or 1, both present.
    scores
        Finite; the larger, the more class 1.

    Examples
    --------
    Of the four pairs, three are in order:

    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ranked)), len(y) - 1)
    true = np.cumsum(y[order], dtype=np.float64)[last_of_ties]
    false = 1 + last_of_ties - true
    if len(true) > 2:
        # scikit-learn leaves out points on straight lines: the sum below then rounds like its.
        corner = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
        kept = np.concatenate(([True], corner, [True]))
        true, false = true[kept], false[kept]
    true_rate = np.concatenate(([0.0], true)) / true[-1]
    false_rate = np.concatenate(([0.0], false)) / false[-1]
    return float((np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2.0).sum())


def weighted_f1(y: Int[np.ndarray, " rows"], predictions: Int[np.ndarray, " rows"]) -> float:
    """Return the mean of the two classes' F1, weighted by their rows.

    As `f1_score(..., average="weighted")` does; a class that is neither there nor predicted has
    no weight.

    Examples
    --------
    Class 0 has F1 2/3, class 1 has 4/5:

    >>> round(weighted_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])), 4)
    0.7333
    """
    rows = np.bincount(y, minlength=2)
    hits = np.bincount(y[y == predictions], minlength=2)
    either = rows + np.bincount(predictions, minlength=2)
    f1 = 2.0 * hits / np.where(either == 0, 1, either)
    return float(np.average(f1, weights=rows))


def accuracy(y: Int[np.ndarray, " rows"], predictions: Int[np.ndarray, " rows"]) -> float:
    """Return the share of rows predicted right."""
    return float((y == predictions).mean())
