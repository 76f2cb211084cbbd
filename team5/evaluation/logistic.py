"""Ridge-penalised logistic regression by Newton's method, for small control models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError

_MAX_STEPS = 100
_TOLERANCE = 1e-8  # of the largest change of a weight


@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """A fitted model: log odds = features · weights + intercept.

    Attributes
    ----------
    weights : array of shape (D,)
    intercept : float
    """

    weights: NDArray[np.float64]
    intercept: float

    def log_odds(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return the log odds of label 1 for features of shape (N, D)."""
        return np.asarray(features, dtype=np.float64) @ self.weights + self.intercept


def fit_logistic_regression(
    features: ArrayLike, labels: ArrayLike, ridge: float
) -> LogisticRegression:
    """Fit the weights that minimise log loss + ridge / 2 * |weights|²; the intercept is free.

    Parameters
    ----------
    features : array of shape (N, D)
    labels : array of shape (N,)
        0 or 1; both must be there.
    ridge : float
        Above 0, in units of the loss summed over the N rows.

    Raises
    ------
    DataError
        If shapes differ, a value is not finite or only one kind of label is there.

    References
    ----------
    Iteratively reweighted least squares: Hastie, Tibshirani and Friedman, The Elements of
    Statistical Learning (2009), ch. 4.4.1.
    """
    x = np.asarray(features, dtype=np.float64)
    y = np.asarray(labels, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise DataError(f"features of shape {x.shape} and labels of shape {y.shape} do not fit.")
    if not np.isfinite(x).all() or not np.isin(y, (0, 1)).all():
        raise DataError("features must be finite and labels 0 or 1.")
    if y.min(initial=1) == y.max(initial=0):
        raise DataError("a logistic regression needs rows of both labels.")
    if not ridge > 0:
        raise ConfigError(f"ridge={ridge}; give a penalty above 0.")
    x = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.append(np.full(x.shape[1] - 1, ridge), 0.0)
    weights = np.zeros(x.shape[1])
    loss = _loss(x, y, weights, penalty)
    for _ in range(_MAX_STEPS):
        p = sigmoid(x @ weights)
        gradient = x.T @ (p - y) + penalty * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        hessian[np.diag_indices_from(hessian)] += penalty
        step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        # A full step may overshoot far from the minimum; the loss is convex, so half will do.
        while (new_loss := _loss(x, y, weights - step, penalty)) > loss and _is_change(step):
            step /= 2
        if new_loss <= loss:
            weights, loss = weights - step, new_loss
        if not _is_change(step):
            break
    return LogisticRegression(weights[:-1], float(weights[-1]))


def _is_change(step: NDArray[np.float64]) -> bool:
    return bool(np.abs(step).max() > _TOLERANCE)


def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities that log odds stand for."""
    return 0.5 * (1 + np.tanh(log_odds / 2))


def _loss(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> float:
    log_odds = x @ weights
    return float(np.sum(np.logaddexp(0, log_odds) - y * log_odds) + penalty @ weights**2 / 2)
