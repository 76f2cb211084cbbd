"""Answering only where the error rate one can live with holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, DataError

# How many confidences are tried, from the surest down, and from how many starts.
_N_TRIED = 50
_N_STARTS = 5

# Of scores, so that their softmax over the candidates says how sure the first place is.
_SCORE_SCALE = 4.0


def match_confidence(probability: float) -> float:
    """Return how sure the label of a match is, 0.5 to 1: it may be sure that there is none."""
    return max(probability, 1 - probability)


def ranking_confidence(scores: ArrayLike) -> float:
    """Return how sure the first place is: its share in the softmax of the candidates' scores."""
    values = np.asarray(scores, dtype=np.float64)
    return float(1 / np.exp(_SCORE_SCALE * (values - values.max())).sum())


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """What answering only from some confidence on would give, for every such confidence.

    Attributes
    ----------
    confidences : array of shape (K,)
        The confidence answers must have, falling.
    coverage : array of shape (K,)
        Share of the questions answered, rising to 1.
    risk : array of shape (K,)
        Share of these answers that is wrong.
    n_answers : int
    """

    confidences: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    n_answers: int

    @property
    def area(self) -> float:
        """Mean risk over all shares answered; lower is better."""
        steps = np.diff(self.coverage, prepend=0.0)
        return float((steps * self.risk).sum())


def risk_coverage(confidences: ArrayLike, wrong: ArrayLike) -> RiskCoverage:
    """Return the share of wrong answers against the share answered, the surest answers first.

    Answers of one confidence are given together.

    Parameters
    ----------
    confidences : array of shape (N,)
        How sure each answer is; higher is surer.
    wrong : array of shape (N,), bool

    Raises
    ------
    DataError
        If lengths differ, there are no answers, or a confidence is NaN.

    References
    ----------
    El-Yaniv and Wiener, On the foundations of noise-free selective classification, JMLR 11 (2010).
    """
    sure = np.asarray(confidences, dtype=np.float64)
    failed = np.asarray(wrong, dtype=bool)
    if not (sure.ndim == 1 and sure.shape == failed.shape and sure.size):
        raise DataError(
            f"confidences and wrong of shapes {sure.shape} and {failed.shape}; give sequences of "
            "one length, with at least one answer."
        )
    if np.isnan(sure).any():
        raise DataError("a confidence is NaN; give one for every answer.")
    order = np.argsort(-sure, kind="stable")
    last_of_equals = np.flatnonzero(np.diff(sure[order], append=-np.inf) < 0)
    n_given = last_of_equals + 1
    n_wrong = np.cumsum(failed[order])[last_of_equals]
    return RiskCoverage(
        sure[order][last_of_equals], n_given / sure.size, n_wrong / n_given, sure.size
    )


def to_calibration(answers: Sequence[tuple[float, bool, int]]) -> dict[str, list[float]]:
    """Return calibration answers as what a version stores and `confidence_needed` takes.

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
    """Return the confidence from which on at most ``max_error`` of the answers are wrong.

    It is the lowest that the calibration answers speak for: from a few starts, confidences are
    tried one below the other as long as each shows an error of at most ``max_error`` beyond doubt.
    The doubt allowed in all, ``1 - level``, is shared among the starts. Were new structures drawn
    like those of the calibration, ``level`` of all calibrations would so give a confidence that
    keeps the promise. Every structure counts the same, however many spectra it has.

    Parameters
    ----------
    confidences : array of shape (N,)
        How sure each calibration answer was; higher is surer.
    wrong : array of shape (N,), bool
        Whether it was wrong.
    groups : array of shape (N,)
        Its structure: answers of one structure are right or wrong together.
    max_error : float
        Share of wrong answers, between 0 and 1.
    level : float
        Sureness of the promise.

    Returns
    -------
    float or None
        None where the calibration answers cannot show so low an error at any confidence.

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
    sure = np.asarray(confidences, dtype=np.float64)
    failed = np.asarray(wrong, dtype=bool)
    members = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    if not (sure.ndim == 1 and sure.shape == failed.shape == members.shape and sure.size):
        raise DataError(
            f"confidences, wrong and groups of shapes {sure.shape}, {failed.shape} and "
            f"{members.shape}; give sequences of one length, with at least one answer."
        )
    if np.isnan(sure).any():
        raise DataError("a confidence is NaN; give one for every answer.")
    allowed = (1 - level) / _N_STARTS
    tried = _tried(sure, members, max_error, allowed)
    doubts = []
    for confidence in tried:
        answered = sure >= confidence
        errors = _errors_by_group(failed[answered], members[answered])
        doubts.append(_doubt(errors, max_error, allowed))
    needed = None
    for start in range(0, len(tried), max(1, len(tried) // _N_STARTS)):
        for confidence, doubt in zip(tried[start:], doubts[start:], strict=True):
            if doubt > allowed:
                break
            needed = min(float(confidence), math.inf if needed is None else needed)
    return needed


def _tried(
    sure: NDArray[np.float64], members: NDArray[np.intp], max_error: float, allowed: float
) -> NDArray[np.float64]:
    """Return confidences to try, falling; before the first no number of right answers proves it."""
    order = np.argsort(-sure, kind="stable")
    _, first_seen = np.unique(members[order], return_index=True)
    n_groups = np.zeros(len(sure), dtype=np.int64)
    n_groups[first_seen] = 1
    n_groups = n_groups.cumsum()
    fewest = math.ceil(math.log(allowed) / math.log(1 - max_error))
    enough = np.flatnonzero(n_groups >= fewest)
    if not len(enough):
        return np.empty(0)
    places = np.linspace(enough[0], len(sure) - 1, _N_TRIED).round().astype(int)
    return np.unique(sure[order][places])[::-1]


def _errors_by_group(failed: NDArray[np.bool_], members: NDArray[np.intp]) -> NDArray[np.float64]:
    n = np.bincount(members)
    there = n > 0
    shares: NDArray[np.float64] = np.bincount(members, failed)[there] / n[there]
    return shares


def _doubt(errors: NDArray[np.float64], max_error: float, allowed: float) -> float:
    """Return how likely such values, each 0 to 1, are if their true mean is above ``max_error``.

    Someone bets against that mean, value by value, in an order fixed by seed, as much as the values
    before advise: 1 / the highest wealth is the doubt that remains.
    """
    values = np.random.default_rng(0).permutation(errors)
    n = np.arange(1, len(values) + 1)
    mean = (0.5 + np.cumsum(values)) / (n + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (n + 1)
    known = np.concatenate([[0.25], variance[:-1]])
    # Never more than there is, as a value of 1 must not cost all of it.
    stakes = np.minimum(np.sqrt(2 * math.log(1 / allowed) / (len(values) * known)), 1.0)
    wealth = np.cumsum(np.log1p(stakes * (max_error - values)))
    return math.exp(-max(0.0, float(wealth.max())))
