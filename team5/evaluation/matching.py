"""Metrics of match probabilities for true and false pairs of spectrum and structure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError
from team5.evaluation.bootstrap import share_interval


@dataclass(frozen=True)
class ReliabilityBin:
    """Bin of pairs by match probability, with the share of true ones.

    Attributes
    ----------
    mean_probability : float
    value, low, high : float
        The share and its 95 % interval over structures.
    """

    bin_low: float
    bin_high: float
    mean_probability: float
    value: float
    low: float
    high: float
    n_pairs: int


def _checked(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
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
    """Return the share of pairs that are labelled correctly.

    Parameters
    ----------
    probabilities : array of shape (N,)
        Match probabilities, 0 to 1.
    labels : array of shape (N,)
        1 or True if the structure is that of the spectrum.
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
    """Return the probability that a true pair scores above a false one; a tie counts one half.

    Parameters and errors are those of `accuracy`, and both kinds of pairs are required.

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
    """Return the mean squared distance of the probabilities from the labels, 0 the best.

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
    """Return the mean distance of a probability from the share of true pairs in its bin.

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
    probabilities: ArrayLike,
    labels: ArrayLike,
    structures: ArrayLike,
    *,
    n_bins: int = 10,
    seed: int = 0,
) -> list[ReliabilityBin]:
    """Return the non-empty bins of a reliability diagram.

    The mean over the pairs of ``|mean_probability - value|`` is `expected_calibration_error`.

    Parameters
    ----------
    probabilities, labels, n_bins
        As for `expected_calibration_error`.
    structures : array of shape (N,)
        Intervals are drawn over them.
    """
    values, truths = _checked(probabilities, labels)
    groups = np.asarray(structures)
    bins = _bins(values, n_bins)
    return [
        ReliabilityBin(
            b / n_bins,
            (b + 1) / n_bins,
            float(values[members].mean()),
            float(truths[members].mean()),
            *share_interval(truths[members], groups[members], seed=seed),
            members.size,
        )
        for b in range(n_bins)
        if (members := np.flatnonzero(bins == b)).size
    ]


def _bins(values: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    if n_bins < 1:
        raise ConfigError(f"n_bins={n_bins}; give at least 1.")
    return np.minimum((values * n_bins).astype(np.int64), n_bins - 1)
