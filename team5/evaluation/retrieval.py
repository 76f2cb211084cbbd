"""Rank of the true structure among candidates, ties counted fairly.

Candidates with equal scores have no order, so every metric is the mean over all orders of the
tied ones: a model that scores all candidates equally gets exactly the value of chance.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError


def _better_and_tied(scores: ArrayLike, truth_index: int, query: str) -> tuple[int, int]:
    """Return the numbers of candidates that score above the truth and equal to it, with itself."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise DataError(f"{query}: scores of shape {values.shape}; give one score per candidate.")
    if not 0 <= truth_index < values.size:
        raise DataError(
            f"{query}: the true structure is said to be candidate {truth_index}, "
            f"but there are {values.size}, counted from 0."
        )
    missing = np.flatnonzero(np.isnan(values))
    if missing.size:
        raise DataError(
            f"{query}: the score of candidate {missing[0]} is NaN ({missing.size} of {values.size} "
            "in all). Score every candidate, an impossible one with -inf."
        )
    truth = values[truth_index]
    return int(np.count_nonzero(values > truth)), int(np.count_nonzero(values == truth))


def _better_and_tied_each(
    score_lists: Sequence[ArrayLike], truth_indices: Sequence[int] | NDArray[np.integer]
) -> NDArray[np.int64]:
    """Return both counts of all queries, shape (2, Q)."""
    if len(score_lists) != len(truth_indices):
        raise DataError(
            f"{len(score_lists)} lists of scores but {len(truth_indices)} true structures; "
            "give one for each query."
        )
    if not len(score_lists):
        raise DataError("no queries to evaluate; give at least one list of scores.")
    queries = enumerate(zip(score_lists, truth_indices, strict=True))
    counts = [_better_and_tied(scores, int(i), f"query {query}") for query, (scores, i) in queries]
    return np.array(counts, dtype=np.int64).T


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k={k}; a hit is looked for among the first k candidates, at least 1.")


def hit_probabilities(
    score_lists: Sequence[ArrayLike], truth_indices: Sequence[int] | NDArray[np.integer], k: int
) -> NDArray[np.float64]:
    """Return, for each query, the probability that the truth is among the first k.

    It is 0 or 1 unless candidates tied with the truth reach across rank k.

    Parameters
    ----------
    score_lists : sequence of Q arrays of shape (C,)
        Candidates' scores, higher is better; C may differ between queries.
    truth_indices : array of shape (Q,)
        Position of the true structure in each.
    k : int
        At least 1.

    Raises
    ------
    DataError
        If a score is NaN, lengths differ, or there is no query.
    """
    _check_k(k)
    n_better, n_tied = _better_and_tied_each(score_lists, truth_indices)
    return np.clip((k - n_better) / n_tied, 0.0, 1.0)


def reciprocal_ranks(
    score_lists: Sequence[ArrayLike], truth_indices: Sequence[int] | NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return, for each query, the expected value of 1 / rank of the true structure.

    With ties this is not 1 / expected rank. Parameters and errors are those of
    `hit_probabilities`.
    """
    n_better, n_tied = _better_and_tied_each(score_lists, truth_indices)
    harmonic = _harmonic_numbers(int((n_better + n_tied).max()))
    return (harmonic[n_better + n_tied] - harmonic[n_better]) / n_tied


def chance_hit_rate(n_candidates: ArrayLike, k: int) -> float:
    """Return the hit rate of candidates in random order.

    Parameters
    ----------
    n_candidates : int or array of shape (Q,)
        Length of each query's list, the true structure included.
    k : int
        At least 1.

    Raises
    ------
    DataError
        If a list is empty or there is none.
    """
    _check_k(k)
    return float(np.minimum(k / _list_lengths(n_candidates), 1.0).mean())


def chance_mean_reciprocal_rank(n_candidates: ArrayLike) -> float:
    """Return the mean reciprocal rank of candidates in random order.

    Parameters and errors are those of `chance_hit_rate`.
    """
    lengths = _list_lengths(n_candidates)
    return float((_harmonic_numbers(int(lengths.max()))[lengths] / lengths).mean())


def _list_lengths(n_candidates: ArrayLike) -> NDArray[np.int64]:
    lengths = np.atleast_1d(np.asarray(n_candidates, dtype=np.int64))
    if not lengths.size or lengths.min() < 1:
        raise DataError("n_candidates must name at least one list, each of at least 1 candidate.")
    return lengths


def _harmonic_numbers(last: int) -> NDArray[np.float64]:
    """Return H(0) = 0, H(1) = 1, H(2) = 1 + 1/2 ... up to H(last)."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, last + 1))])
