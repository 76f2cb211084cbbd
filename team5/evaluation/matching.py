"""How well match probabilities tell true pairs of spectrum and structure from false ones."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class ReliabilityBin:
    """Pairs whose probabilities lie from ``low`` to ``high``.

    Attributes
    ----------
    mean_probability, share_true : float
        What the pairs' probabilities say, and the share that is true.
    members : array of shape (N,)
        Which of the pairs.
    """

    low: float
    high: float
    mean_probability: float
    share_true: float
    members: NDArray[np.intp]


def _checked(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return both as arrays of one length, or say what is wrong with them."""
    values = np.asarray(probabilities, dtype=np.float64)
    truths = np.asarray(labels)
    if values.ndim != 1 or values.shape != truths.shape:
        raise DataError(
            f"probabilities of shape {values.shape} and labels of shape {truths.shape}; "
            "give two sequences of one length."
        )
    if not values.size:
        raise DataError("no pairs to evaluate; give at least one probability and its label.")
    outside = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if outside.size:
        raise DataError(
            f"probability {values[outside[0]]} at position {outside[0]} "
            f"({outside.size} such in all) is not between 0 and 1."
        )
    if not np.isin(truths, (0, 1)).all():
        raise DataError("labels must be 0 or 1, False or True.")
    return values, truths.astype(bool)


def accuracy(probabilities: ArrayLike, labels: ArrayLike, threshold: float = 0.5) -> float:
    """Return the share of pairs whose label is told rightly.

    Parameters
    ----------
    probabilities : array of shape (N,)
        Match probabilities, 0 to 1.
    labels : array of shape (N,)
        1 or True where the structure is the spectrum's own.
    threshold : float, default 0.5
        A pair at or above it is called a match.

    Raises
    ------
    DataError
        If there are no pairs, lengths differ, or a value is NaN or out of range.
    """
    values, truths = _checked(probabilities, labels)
    return float(np.mean((values >= threshold) == truths))


def f1_score(probabilities: ArrayLike, labels: ArrayLike, threshold: float = 0.5) -> float:
    """Return the harmonic mean of precision and recall of the matches; 0 where there are none.

    Parameters and errors are those of `accuracy`.
    """
    values, truths = _checked(probabilities, labels)
    called = values >= threshold
    n_right = np.count_nonzero(called & truths)
    n_called_or_true = np.count_nonzero(called) + np.count_nonzero(truths)
    return float(2 * n_right / n_called_or_true) if n_called_or_true else 0.0


def auroc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the chance that a true pair scores above a false one, a tie counting one half.

    Parameters and errors are those of `accuracy`, and both kinds of pairs must be there.

    References
    ----------
    The area under the ROC curve as a Mann-Whitney statistic: Hanley and McNeil,
    Radiology 143:29 (1982).
    """
    values, truths = _checked(probabilities, labels)
    n_true = np.count_nonzero(truths)
    n_false = truths.size - n_true
    if not n_true or not n_false:
        raise DataError(
            f"AUROC needs pairs of both kinds; there are {n_true} true and {n_false} false ones."
        )
    _, group, group_sizes = np.unique(values, return_inverse=True, return_counts=True)
    # Equal values share the mean of the ranks they take up together.
    last_ranks = np.cumsum(group_sizes)
    ranks = (last_ranks - (group_sizes - 1) / 2)[group]
    n_won = ranks[truths].sum() - n_true * (n_true + 1) / 2
    return float(n_won / (n_true * n_false))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean squared distance of the probabilities from the truth, 0 the best.

    Parameters and errors are those of `accuracy`.

    References
    ----------
    Brier, Monthly Weather Review 78:1 (1950), in the form for two outcomes.
    """
    values, truths = _checked(probabilities, labels)
    return float(np.mean((values - truths) ** 2))


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 10
) -> float:
    """Return how far, on average, a probability is from the share of true pairs at it.

    Parameters
    ----------
    probabilities, labels : array of shape (N,)
        As for `accuracy`.
    n_bins : int, default 10
        Bins of equal width from 0 to 1; 1.0 belongs to the last.

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML (2017); here with the
    probability of a match in place of the confidence of the label.
    """
    values, truths = _checked(probabilities, labels)
    bins = _bins(values, n_bins)
    # Bin size x |mean probability - share of true pairs| is the absolute sum of differences.
    gaps = np.bincount(bins, weights=values - truths, minlength=n_bins)
    return float(np.abs(gaps).sum() / values.size)


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 10
) -> list[ReliabilityBin]:
    """Return what a reliability diagram shows: in each bin that has pairs, said and true shares.

    Parameters are those of `expected_calibration_error`, which is the mean distance of the two
    over the pairs.
    """
    values, truths = _checked(probabilities, labels)
    bins = _bins(values, n_bins)
    return [
        ReliabilityBin(
            low=b / n_bins,
            high=(b + 1) / n_bins,
            mean_probability=float(values[members].mean()),
            share_true=float(truths[members].mean()),
            members=members,
        )
        for b in range(n_bins)
        if (members := np.flatnonzero(bins == b)).size
    ]


def _bins(values: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    if n_bins < 1:
        raise ConfigError(f"n_bins={n_bins}; give at least 1.")
    return np.minimum((values * n_bins).astype(np.int64), n_bins - 1)


def best_threshold(
    probabilities: ArrayLike,
    labels: ArrayLike,
    metric: Literal["accuracy", "f1_score"] = "accuracy",
) -> float:
    """Return the threshold at which a metric is highest.

    It lies half way between two neighbouring probabilities, so that none of those given sits
    on the edge; of several equally good ones it is the one nearest to 0.5.

    Parameters
    ----------
    probabilities, labels : array of shape (N,)
        As for `accuracy`; use validation pairs, never those that are reported.
    metric : {"accuracy", "f1_score"}, default "accuracy"
        What is to be highest.

    Returns
    -------
    float
        Above every probability where it is best to call nothing a match.
    """
    if metric not in ("accuracy", "f1_score"):
        raise ConfigError(f"metric={metric!r}; choose accuracy or f1_score.")
    values, truths = _checked(probabilities, labels)
    distinct, group = np.unique(values, return_inverse=True)
    n_pairs = np.bincount(group, minlength=distinct.size)
    n_true = np.bincount(group, weights=truths, minlength=distinct.size)

    # Element i: everything from the i-th distinct value up is called a match; the last: nothing.
    n_called = np.append(np.cumsum(n_pairs[::-1])[::-1], 0)
    n_right = np.append(np.cumsum(n_true[::-1])[::-1], 0)
    all_true = n_right[0]
    if metric == "accuracy":
        n_wrong = (n_called - n_right) + (all_true - n_right)
        quality = 1 - n_wrong / values.size
    else:
        quality = 2 * n_right / (n_called + all_true) if all_true else np.zeros(n_called.size)

    below = np.append(0.0, distinct)
    above = np.append(distinct, 1.0)
    thresholds = below + (above - below) / 2
    # Where no number lies between the two, the upper one parts them as well.
    thresholds = np.where(thresholds > below, thresholds, above)
    if distinct[-1] == 1.0:
        thresholds[-1] = np.nextafter(1.0, 2.0)

    best = np.flatnonzero(quality == quality.max())
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])
