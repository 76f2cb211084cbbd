"""Confidence intervals of means and shares, by resampling."""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError

# Numbers in memory at a time; limits it to about 100 MB whatever the number of groups.
_BLOCK = 4_000_000
_N_RESAMPLES = 500  # of measures that are slower than a mean


def bootstrap_interval(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap interval of a mean.

    Spectra of one structure succeed or fail together, so whole groups are drawn: drawing values
    would make the interval too narrow.

    Parameters
    ----------
    values : array of shape (N,)
        One per query, e.g. from `retrieval.hit_probabilities`.
    groups : array of shape (N,), optional
        Group of each value, e.g. ``inchikey14``; by default each value alone.
    n : int, default 1000
        Number of resamples.
    seed : int, default 0
    level : float, default 0.95
        Share of the resampled means that lies inside.

    Raises
    ------
    DataError
        If there are no values, one is NaN or infinite, or lengths differ.

    References
    ----------
    Percentile intervals: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13;
    drawing groups: Davison and Hinkley, Bootstrap Methods and their Application (1997), ch. 3.8.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not sample.size:
        raise DataError(f"values of shape {sample.shape}; give one figure per query.")
    if not np.isfinite(sample).all():
        raise DataError("a value is NaN or infinite; give a figure for every query.")
    if n < 1 or not 0 < level < 1:
        raise ConfigError(f"n={n}, level={level}; n is at least 1 and level between 0 and 1.")
    members = np.arange(sample.size) if groups is None else np.asarray(groups)
    if members.shape != sample.shape:
        raise DataError(
            f"{sample.size} values but groups of shape {members.shape}; "
            "name the group of every value."
        )
    _, group = np.unique(members, return_inverse=True)
    sums = np.bincount(group, weights=sample)
    sizes = np.bincount(group)

    n_groups = sums.size
    rng = np.random.default_rng(seed)
    means = np.empty(n)
    rows = max(1, _BLOCK // n_groups)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        drawn = rng.integers(n_groups, size=(stop - start, n_groups))
        means[start:stop] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def resampled_interval(
    measure: Callable[[NDArray[np.intp]], float],
    groups: ArrayLike,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of any measure, drawing whole groups.

    Parameters
    ----------
    measure : callable
        Takes the indices of the rows that were drawn.
    groups : array of shape (N,)
        Of each row.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    random = np.random.default_rng(seed)
    values = [
        measure(
            np.concatenate([members[g] for g in random.integers(len(members), size=len(members))])
        )
        for _ in range(_N_RESAMPLES)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def share_interval(
    labels: NDArray[np.bool_], groups: NDArray[Any], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a share: by bootstrap, or Wilson's where that has no spread.

    If all labels agree, every resample gives the same share, which would look certain.

    Parameters
    ----------
    labels : array of shape (N,), bool
    groups : array of shape (N,)
        As for `bootstrap_interval`; for Wilson's interval each group counts once.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 22:209 (1927).
    """
    low, high = bootstrap_interval(labels, groups, seed=seed)
    if low < high:
        return low, high
    n, share = np.unique(groups).size, float(labels.mean())
    z = NormalDist().inv_cdf(0.975)
    half_width = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (share + z**2 / (2 * n) + sign * half_width for sign in (-1, 1))
    return max(0.0, low / (1 + z**2 / n)), min(1.0, high / (1 + z**2 / n))


def paired_bootstrap_interval(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    n: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean difference ``second - first``.

    Each query is compared with itself: its difficulty for both cancels out, which reveals
    differences that two separate intervals would hide. Parameters and errors are those of
    `bootstrap_interval`, with one value of each per query, in the same order.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if one.shape != other.shape:
        raise DataError(
            f"figures of shape {one.shape} and {other.shape} are no pairs; "
            "give one of each for every query."
        )
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("a value is NaN or infinite; give a figure for every query.")
    return bootstrap_interval(other - one, groups, n, seed)
