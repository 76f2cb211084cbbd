"""Selective answers: the confidence that keeps a chosen error rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError

# Number of confidences tested, from the highest down, and of starts.
_N_TRIED = 50
_N_STARTS = 5

# Of scores in the softmax over the candidates.
_SCORE_SCALE = 4.0


def match_confidence(probability: float) -> float:
    """Return the probability that the label of a match is right, 0.5 to 1."""
    return max(probability, 1 - probability)


def ranking_confidence(scores: ArrayLike) -> float:
    """Return the confidence of the first rank: its share in the softmax of the scores."""
    values = np.asarray(scores, dtype=np.float64)
    return float(1 / np.exp(_SCORE_SCALE * (values - values.max())).sum())


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Risk-coverage curve: error against share answered, for every confidence threshold.

    Attributes
    ----------
    confidences : array of shape (K,)
        The required confidence, descending.
    coverage : array of shape (K,)
        Share of the queries answered, rising to 1.
    risk : array of shape (K,)
        Share of these answers that is wrong.
    n_answers : int
    """

    confidences: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    n_answers: int


def risk_coverage(confidences: ArrayLike, wrong: ArrayLike) -> RiskCoverage:
    """Return the share of wrong answers against the share answered, most confident first.

    Answers of equal confidence are treated as one step.

    Parameters
    ----------
    confidences : array of shape (N,)
        Of each answer; higher is more reliable.
    wrong : array of shape (N,), bool

    Raises
    ------
    DataError
        If lengths differ, there are no answers, or a confidence is NaN.

    References
    ----------
    El-Yaniv and Wiener, On the foundations of noise-free selective classification, JMLR 11 (2010).
    """
    values, is_wrong = _checked(confidences=confidences, wrong=wrong)
    order = np.argsort(-values)
    last_of_equals = np.flatnonzero(np.diff(values[order], append=-np.inf) < 0)
    n_given = last_of_equals + 1
    n_wrong = np.cumsum(is_wrong[order])[last_of_equals]
    return RiskCoverage(
        values[order][last_of_equals], n_given / values.size, n_wrong / n_given, values.size
    )


def to_calibration(answers: Sequence[tuple[float, bool, int]]) -> dict[str, list[float]]:
    """Return calibration answers in the format that versions store and `confidence_needed` takes.

    Parameters
    ----------
    answers : sequence of (confidence, wrong, structure)
    """
    return {
        "confidences": [round(confidence, 5) for confidence, _, _ in answers],
        "wrong": [int(wrong) for _, wrong, _ in answers],
        "groups": [structure for _, _, structure in answers],
    }


def confidence_needed(
    confidences: ArrayLike,
    wrong: ArrayLike,
    groups: ArrayLike,
    max_error: float,
    *,
    level: float = 0.95,
) -> float | None:
    """Return the confidence above which at most ``max_error`` of the answers are wrong.

    From a few starts, confidences are tested in descending order until one fails to show an error
    of at most ``max_error``; the lowest that passed is returned. The tests share the error level
    ``1 - level``, so that the returned confidence holds for a share ``level`` of calibrations on
    structures of the same distribution. Every structure has the same weight, however many spectra
    it has.

    Parameters
    ----------
    confidences, wrong : array of shape (N,)
        Of the calibration answers, as for `risk_coverage`.
    groups : array of shape (N,)
        The structures: answers of one structure are right or wrong together.
    max_error : float
        Share of wrong answers, between 0 and 1.
    level : float
        Probability that ``max_error`` holds.

    Returns
    -------
    float or None
        None if the calibration answers cannot show so low an error at any confidence.

    Raises
    ------
    ConfigError
        If ``max_error`` or ``level`` is not between 0 and 1.
    DataError
        If lengths differ, there are no answers, or a confidence is NaN.

    References
    ----------
    Fixed-sequence testing: Angelopoulos et al., Learn then Test, arXiv 2110.01052. The test of
    means: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting,
    arXiv 2010.09686.
    """
    for name, value in (("max_error", max_error), ("level", level)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}={value}: give a share between 0 and 1, as 0.1.")
    values, is_wrong, group_array = _checked(confidences=confidences, wrong=wrong, groups=groups)
    members = np.unique(group_array, return_inverse=True)[1].ravel()
    alpha = (1 - level) / _N_STARTS
    tested = _tested(values, members, max_error, alpha)
    p_values = []
    for confidence in tested:
        answered = values >= confidence
        errors = _errors_by_group(is_wrong[answered], members[answered])
        p_values.append(_p_value(errors, max_error, alpha))
    needed = None
    for start in range(0, len(tested), max(1, len(tested) // _N_STARTS)):
        for confidence, p_value in zip(tested[start:], p_values[start:], strict=True):
            if p_value > alpha:
                break
            needed = float(confidence)
    return needed


def _checked(**columns: ArrayLike) -> list[NDArray[Any]]:
    """Return confidences, wrong and, if given, groups as arrays of one length."""
    arrays = [np.asarray(values) for values in columns.values()]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1 or arrays[0].ndim != 1 or not arrays[0].size:
        *names, last = columns
        *first, final = map(str, shapes)
        raise DataError(
            f"{', '.join(names)} and {last} of shapes {', '.join(first)} and {final}; give "
            "sequences of one length, with at least one answer."
        )
    confidences = arrays[0].astype(np.float64)
    if np.isnan(confidences).any():
        raise DataError("a confidence is NaN; give one for every answer.")
    return [confidences, arrays[1].astype(bool), *arrays[2:]]


def _tested(
    values: NDArray[np.float64], members: NDArray[np.intp], max_error: float, alpha: float
) -> NDArray[np.float64]:
    """Return confidences to test, falling, from the first with enough structures to pass."""
    order = np.argsort(-values, kind="stable")
    _, first_seen = np.unique(members[order], return_index=True)
    n_groups = np.zeros(len(values), dtype=np.int64)
    n_groups[first_seen] = 1
    n_groups = n_groups.cumsum()
    fewest = math.ceil(math.log(alpha) / math.log(1 - max_error))
    enough = np.flatnonzero(n_groups >= fewest)
    if not len(enough):
        return np.empty(0)
    indices = np.linspace(enough[0], len(values) - 1, _N_TRIED).round().astype(int)
    return np.unique(values[order][indices])[::-1]


def _errors_by_group(is_wrong: NDArray[np.bool_], members: NDArray[np.intp]) -> NDArray[np.float64]:
    n = np.bincount(members)
    is_present = n > 0
    shares: NDArray[np.float64] = np.bincount(members, is_wrong)[is_present] / n[is_present]
    return shares


def _p_value(errors: NDArray[np.float64], max_error: float, alpha: float) -> float:
    """Return the p-value of values, each 0 to 1, if their true mean is above ``max_error``.

    It bets against that mean, value by value, in an order fixed by seed, with stakes set from
    the previous values: the p-value is 1 / the highest wealth.
    """
    values = np.random.default_rng(0).permutation(errors)
    n = np.arange(1, len(values) + 1)
    mean = (0.5 + np.cumsum(values)) / (n + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (n + 1)
    prior_variance = np.concatenate([[0.25], variance[:-1]])
    # Never the whole wealth, as a value of 1 must not lose all of it.
    stakes = np.minimum(np.sqrt(2 * math.log(1 / alpha) / (len(values) * prior_variance)), 1.0)
    wealth = np.cumsum(np.log1p(stakes * (max_error - values)))
    return math.exp(-max(0.0, float(wealth.max())))
