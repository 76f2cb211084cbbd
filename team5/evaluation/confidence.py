"""Confidence: the probability that a candidate of a list is the right one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

# Shorter lists of these lengths are drawn from longer ones, so that the fit covers them too.
_LENGTHS = (2, 5, 20, 80)
# Reference length, in the middle of the usual ones.
_USUAL_LENGTH = 20
# Standard deviations of the prior around `USUAL`, in the units of the parameters.
_PRIOR_WIDTHS = (0.5, 0.2, 0.3, 0.5)
_MIN_SHARE, _MAX_SHARE = 1e-4, 0.9
# Exact masses that differ by less are taken as one formula, in u.
_SAME_MASS = 1e-4


@dataclass(frozen=True, slots=True)
class ListConfidence:
    """Calibration that turns the scores of a list into probabilities that add up to 1.

    A softmax of the scores times a factor, which depends on the length of the list and on whether
    its candidates are isomers; with probability ``uninformative`` the scores carry no information
    and all candidates are equally likely. The right structure is assumed to be in the list: the
    scores do not tell whether it is.

    Attributes
    ----------
    log_scale : float
        Natural logarithm of the factor, for 20 candidates.
    per_log_length : float
        Added to it for each factor of e in the number of candidates.
    same_formula : float
        Added to it if all candidates have one formula.
    uninformative : float
        Share, 0 to 1.
    n_lists, n_structures : int
        Size of the data it was fitted on.
    """

    log_scale: float
    per_log_length: float
    same_formula: float
    uninformative: float
    n_lists: int = 0
    n_structures: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> ListConfidence | None:
        """Return the calibration stored under "confidence" in a version's config, if any."""
        if not config:
            return None
        return cls(**{field.name: config[field.name] for field in fields(cls)})

    def to_config(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def of(self, scores: ArrayLike, *, same_formula: bool) -> Array:
        """Return the confidence of C candidates, shape (C,); higher scores never get less.

        Parameters
        ----------
        scores : array of shape (C,)
            -inf for impossible candidates.
        same_formula : bool
            Whether all have one formula.
        """
        candidates = CandidateList(np.asarray(scores, np.float64), same_formula=same_formula)
        return _confidences(np.array(astuple(self)[:4]), _Table.of([candidates]))[0]


# Fitted for v0.2 on its val lists; the centre of the prior.
USUAL = ListConfidence(1.64, 0.0, -0.27, 0.027)


@dataclass(frozen=True, eq=False)
class CandidateList:
    """A list to fit on.

    Attributes
    ----------
    scores : array of shape (C,)
    same_formula : bool
        Whether all candidates have one formula.
    truth : int
        Index of the right one.
    structure : str
        Lists of one structure together count as one.
    """

    scores: Array
    same_formula: bool
    truth: int = 0
    structure: str = ""


def have_one_formula(exact_masses: ArrayLike) -> bool:
    """Tell by their exact masses in u whether candidates are isomers of each other."""
    return bool(np.ptp(np.asarray(exact_masses)) < _SAME_MASS)


def fit_confidence(lists: Sequence[CandidateList], *, seed: int = 0) -> ListConfidence | None:
    """Fit by maximum a posteriori on lists with the right structure, and on parts of them.

    Each structure has the same weight. With few lists the parameters stay near `USUAL`; None
    if no list has two candidates.

    Parameters
    ----------
    lists : sequence of CandidateList
    seed : int
        Of the parts.
    """
    # Here to start quickly.
    from scipy.optimize import minimize  # type: ignore[import-untyped]
    from scipy.special import expit, logit  # type: ignore[import-untyped]

    usable = [each for each in lists if np.isfinite(each.scores).sum() > 1]
    if not usable:
        return None
    random = np.random.default_rng(seed)
    table = _Table.of([part for each in usable for part in _parts(each, random)])
    before = np.array(astuple(USUAL)[:4])
    before[3] = logit(before[3])
    widths = np.array(_PRIOR_WIDTHS)

    def loss(x: Array) -> float:
        confidences = _confidences(np.append(x[:3], expit(x[3])), table)
        p = confidences[np.arange(len(table.n)), table.truths]
        pull = 0.5 * np.square((x - before) / widths).sum()
        return float(pull - (table.weights * np.log(p)).sum())

    x = minimize(loss, before, method="BFGS").x
    share = float(np.clip(expit(x[3]), _MIN_SHARE, _MAX_SHARE))
    scale, per_length, same_formula = (round(float(value), 4) for value in x[:3])
    n_structures = len({each.structure for each in usable})
    return ListConfidence(
        scale, per_length, same_formula, round(share, 4), len(usable), n_structures
    )


def _parts(whole: CandidateList, random: np.random.Generator) -> Iterator[CandidateList]:
    yield whole
    others = np.delete(np.arange(len(whole.scores)), whole.truth)
    for length in _LENGTHS:
        if length <= len(others):
            drawn = random.choice(others, length - 1, replace=False)
            yield replace(whole, scores=whole.scores[[whole.truth, *drawn]], truth=0)


@dataclass(frozen=True, eq=False)
class _Table:
    """L lists of up to C candidates; scores are relative to the best, -inf where there are none."""

    scores: Array
    n: Array
    same_formula: Array
    truths: Array
    weights: Array

    @classmethod
    def of(cls, lists: Sequence[CandidateList]) -> _Table:
        scores = np.full((len(lists), max(len(each.scores) for each in lists)), -np.inf)
        for row, each in zip(scores, lists, strict=True):
            row[: len(each.scores)] = each.scores - each.scores.max()
        _, group, sizes = np.unique(
            [each.structure for each in lists], return_inverse=True, return_counts=True
        )
        return cls(
            scores,
            np.isfinite(scores).sum(axis=1),
            np.array([each.same_formula for each in lists], float),
            np.array([each.truth for each in lists]),
            1 / sizes[group],
        )


def _confidences(parameters: Array, table: _Table) -> Array:
    """Return the confidence of all candidates, shape (L, C); 0 where there are none."""
    log_scale, per_log_length, same_formula, uninformative = parameters
    length = np.log(table.n / _USUAL_LENGTH)
    scale = np.exp(log_scale + per_log_length * length + same_formula * table.same_formula)
    weights = np.exp(scale[:, None] * table.scores)
    shares = weights / weights.sum(axis=1, keepdims=True)
    alike = np.isfinite(table.scores) / table.n[:, None]
    return (1 - uninformative) * shares + uninformative * alike
