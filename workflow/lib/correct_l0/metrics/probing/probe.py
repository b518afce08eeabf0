"""One probe: which latents it reads, and a logistic regression fitted to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.metrics.probing.saga import MAX_ITERATIONS, LinearProbe, SagaRows
from correct_l0.metrics.probing.scores import accuracy, auc, weighted_f1

INVERSE_PENALTIES = np.logspace(5, -5, 10)
MIN_TRAIN_ROWS = 128
VALIDATION_ROWS = 100
VALIDATION_FRACTION = 0.2

Penalty = Literal["l1", "l2"]


@dataclass(frozen=True)
class ProbeResult:
    """A probe's scores on the test rows, its best validation AUC, and what it predicted."""

    f1: float
    accuracy: float
    auc: float
    validation_auc: float
    predictions: Int[np.ndarray, " test"]


def rank_latents(
    latent_acts: Float[Tensor, "train d_sae"], labels: Int[Tensor, " train"]
) -> Int[Tensor, " d_sae"]:
    """Return the latents by how far apart their two class means are, furthest first.

    Each latent is first divided by its mean over the rows where it is not zero.

    References
    ----------
    Kantamneni et al., arXiv 2502.16681, section 3; the normalisation is sae-probes' default.

    Examples
    --------
    Divided by their means 1 and 6, the latents differ by 1 and by 1/3 between the classes:

    >>> import torch
    >>> latent_acts = torch.tensor([[1.0, 7.0], [0.0, 5.0]])
    >>> rank_latents(latent_acts, torch.tensor([1, 0])).tolist()
    [0, 1]
    """
    active = (latent_acts != 0).sum(dim=0)
    means = latent_acts.abs().sum(dim=0) / (active + 1e-6)
    scaled = latent_acts / (means + 1e-6)
    difference = scaled[labels == 1].mean(dim=0) - scaled[labels == 0].mean(dim=0)
    return difference.abs().argsort(descending=True)


def fit_probe(
    x_train: Float[np.ndarray, "train features"],
    y_train: Int[np.ndarray, " train"],
    x_test: Float[np.ndarray, "test features"],
    y_test: Int[np.ndarray, " test"],
    penalty: Penalty = "l1",
    seed: int = 42,
) -> ProbeResult:
    """Fit a logistic regression, its penalty chosen on the last train rows, and score it.

    The penalty is the first of ten, weakest first, with the highest AUC on the last
    min(20%, 100) train rows; the probe is then fitted to all train rows, shuffled.

    Parameters
    ----------
    x_train, x_test
        float64, not rescaled.
    y_train, y_test
        0 or 1.
    penalty
        `l1` with the saga solver (SAE probes) or `l2` with lbfgs (the baseline).

    Raises
    ------
    InputError
        If there are fewer than 128 train rows: the protocol's cross-validation of small samples
        does not occur in its normal setting and is not built.

    References
    ----------
    Kantamneni et al., arXiv 2502.16681, section 3, as coded in sae-probes 0.4.2.
    """
    rows = len(x_train)
    if rows < MIN_TRAIN_ROWS:
        raise InputError(f"{rows} train rows, {MIN_TRAIN_ROWS} needed; take a task with more rows")
    fitted = rows - min(int(VALIDATION_FRACTION * rows), VALIDATION_ROWS)
    x_validation, y_validation = x_train[fitted:], y_train[fitted:]
    fit = _fitter(x_train[:fitted], y_train[:fitted], penalty, seed)
    best, best_auc = INVERSE_PENALTIES[0], -np.inf
    enough = _attainable_auc(x_validation, y_validation)
    for inverse_penalty in INVERSE_PENALTIES:
        probability = fit(inverse_penalty).probability(x_validation)
        found = auc(y_validation, probability)
        if found > best_auc:
            best, best_auc = inverse_penalty, found
        if found >= enough and _same_ties(x_validation, probability):
            break
    shuffled = np.random.RandomState(seed).permutation(rows)
    decision = _fitter(x_train[shuffled], y_train[shuffled], penalty, seed)(best).decide(x_test)
    predictions = (decision > 0).astype(np.int64)
    return ProbeResult(
        f1=weighted_f1(y_test, predictions),
        accuracy=accuracy(y_test, predictions),
        auc=auc(y_test, expit(decision)),
        validation_auc=best_auc,
        predictions=predictions,
    )


def deduplicated_f1(
    y_test: Int[np.ndarray, " test"], predictions: Int[np.ndarray, " test"], new: np.ndarray
) -> float | None:
    """Return the weighted F1 over test rows whose prompt is not in train; None if there is none.

    Examples
    --------
    The third row, the only wrong one, is a repetition:

    >>> deduplicated_f1(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([True, True, False]))
    1.0
    """
    if not new.any():
        return None
    return weighted_f1(y_test[new], predictions[new])


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what the protocol brings with it: unconverged fits, and sklearn's renamed option.

    Warning filters belong to the whole process: enter this before starting threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(lbfgs|The max_iter was reached)", module="sklearn")
        warnings.filterwarnings("ignore", "'penalty' was deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "Inconsistent values: penalty", UserWarning)
        yield


def _fitter(
    x: Float[np.ndarray, "rows features"], y: Int[np.ndarray, " rows"], penalty: Penalty, seed: int
) -> Callable[[float], LinearProbe]:
    """Return what fits a probe to rows, given the inverse of the penalty."""
    if penalty == "l1":
        return SagaRows(x, y, seed).fit
    # Only the baseline needs it, and it takes most of a second to import.
    from sklearn.linear_model import LogisticRegression

    def fit(inverse_penalty: float) -> LinearProbe:
        model = LogisticRegression(
            C=inverse_penalty, random_state=seed, max_iter=MAX_ITERATIONS
        ).fit(x, y)
        return LinearProbe(model.coef_[0], model.intercept_[0])

    return fit


def _attainable_auc(x: Float[np.ndarray, "rows features"], y: Int[np.ndarray, " rows"]) -> float:
    """Return an AUC that no penalty can exceed: later fits are not needed once it is reached.

    A probe on one latent orders rows by that latent, forwards or backwards, so it can only have
    that order's AUC. With more latents nothing is known but that an AUC is at most 1.
    """
    if x.shape[1] > 1:
        return 1.0
    return max(auc(y, sign * x[:, 0]) for sign in (1, -1))


def _same_ties(x: Float[np.ndarray, "rows features"], scores: np.ndarray) -> bool:
    """Tell whether a probe on one latent keeps distinct values distinct.

    Where probabilities saturate at 1 values merge, and the argument of `_attainable_auc` fails.
    """
    return x.shape[1] > 1 or len(np.unique(scores)) == len(np.unique(x))
