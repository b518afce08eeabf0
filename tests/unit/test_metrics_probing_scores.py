"""Scores and fits against scikit-learn's public functions, to the last bit."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from correct_l0.errors import InputError
from correct_l0.metrics.probing.probe import INVERSE_PENALTIES, quiet
from correct_l0.metrics.probing.saga import SagaRows
from correct_l0.metrics.probing.scores import accuracy, auc, weighted_f1


@pytest.mark.parametrize("rows", [2, 3, 99, 100, 1000])
@pytest.mark.parametrize("distinct", [1, 2, 5, 10**6])
def test_auc_with_ties_is_scikit_learns(rows, distinct):
    draw = np.random.default_rng(rows + distinct)
    for _ in range(30):
        y = draw.permutation(np.arange(rows) % 2)
        scores = draw.integers(distinct, size=rows) / 7 + y * draw.choice([0, 0.1, 3])
        assert auc(y, scores) == roc_auc_score(y, scores)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_f1_and_accuracy_are_scikit_learns(share):
    draw = np.random.default_rng(0)
    for rows in (1, 2, 7, 99, 3975):
        for y in (draw.integers(2, size=rows), np.zeros(rows, int), np.ones(rows, int)):
            predictions = (draw.random(rows) < share).astype(np.int64)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = f1_score(y, predictions, average="weighted")
            assert weighted_f1(y, predictions) == expected
            assert accuracy(y, predictions) == accuracy_score(y, predictions)


# A latent that fires often, seldom, or never; weak and strong ones; all of them dead.
FIRING = {"sparse": 0.1, "dense": 0.9, "dead": 0.0}


@pytest.mark.parametrize("columns", [1, 16])
@pytest.mark.parametrize("firing", FIRING)
@pytest.mark.parametrize("size", [0.05, 30.0])
def test_a_fit_is_scikit_learns(columns, firing, size):
    draw = np.random.default_rng(columns)
    y = draw.permutation(np.arange(260) % 2)
    x = size * np.abs(draw.normal(size=(260, columns)) + 0.3 * y[:, None])
    x *= draw.random(x.shape) < FIRING[firing] * draw.random(columns)
    if columns > 1:
        x[:200, 3] = 0  # Fires on rows that the fit does not see.
    rows = SagaRows(x[:200], y[:200], 42)
    for inverse_penalty in INVERSE_PENALTIES:
        with quiet():
            theirs = LogisticRegression(
                C=inverse_penalty, penalty="l1", solver="saga", random_state=42, max_iter=1000
            ).fit(x[:200], y[:200])
            ours = rows.fit(inverse_penalty)
        assert np.array_equal(ours.probability(x), theirs.predict_proba(x)[:, 1])
        assert np.array_equal(ours.decide(x) > 0, theirs.predict(x) == 1)


def test_a_fit_that_does_not_stay_finite_is_refused():
    x = np.ones((130, 2))
    x[:, 1] = np.inf
    with pytest.raises(InputError, match=r"not finite on latents of up to inf.*train it again"):
        SagaRows(x, np.arange(130) % 2, 42).fit(1.0)
