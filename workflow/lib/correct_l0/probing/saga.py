"""L1 logistic regression by scikit-learn's saga solver, without what surrounds it.

`LogisticRegression.fit` checks its input, its settings and its environment in every call, which
takes longer than the solver where that converges in a few epochs. The ten penalties of a search
share the rows, so they are prepared once here.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from sklearn.linear_model._sag import sag_solver

MAX_ITERATIONS = 1000
TOLERANCE = 1e-4


class SagaRows:
    """Rows to which probes of several penalties are fitted.

    Parameters
    ----------
    x
        float64, not rescaled.
    y
        0 or 1.
    seed
        Seed of the order in which the solver draws rows.
    """

    def __init__(
        self, x: Float[np.ndarray, "rows features"], y: Int[np.ndarray, " rows"], seed: int
    ) -> None:
        self._features = x.shape[1]
        self._seed = seed
        self._y = y.astype(np.float64)
        # As scikit-learn sums them: the step size depends on the last bit.
        self._max_squared_sum = np.einsum("ij,ij->i", x, x).max()
        # The coefficient of a column of zeros stays exactly 0: leave the column out.
        self._columns = np.flatnonzero(x.any(axis=0))
        if len(self._columns) == 0:
            self._columns = np.arange(1)
        self._x = np.ascontiguousarray(x[:, self._columns])

    def fit(self, inverse_penalty: float) -> LinearProbe:
        """Return the probe that `LogisticRegression(C=inverse_penalty)` would give, bit by bit.

        References
        ----------
        Defazio et al., arXiv 1407.0202; scikit-learn 1.9, `LogisticRegression`, penalty `l1`,
        solver `saga`, 1000 epochs, tolerance 1e-4.
        """
        start = np.zeros((len(self._columns) + 1, 1))
        fitted, _, _ = sag_solver(
            self._x,
            self._y,
            loss="log",
            alpha=0.0,
            beta=1.0 / inverse_penalty,
            max_iter=MAX_ITERATIONS,
            tol=TOLERANCE,
            random_state=self._seed,
            check_input=False,
            max_squared_sum=self._max_squared_sum,
            warm_start_mem={"coef": start},
            is_saga=True,
        )
        coefficients = np.zeros(self._features)
        coefficients[self._columns] = fitted[:-1]
        return LinearProbe(coefficients, fitted[-1])


class LinearProbe:
    """A logistic regression that was fitted."""

    def __init__(self, coefficients: Float[np.ndarray, " features"], intercept: float) -> None:
        self._coefficients = coefficients
        self._intercept = intercept

    def decide(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, " rows"]:
        """Return the log-odds of class 1."""
        return (x @ self._coefficients[:, None] + self._intercept).reshape(-1)

    def probability(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, " rows"]:
        """Return the probability of class 1."""
        return expit(self.decide(x))
