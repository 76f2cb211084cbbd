"""Calibration of first places: how often they are right, by band of confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from team5.evaluation.bootstrap import bootstrap_interval, resampled_interval, share_interval
from team5.evaluation.confidence import CandidateList, ListConfidence
from team5.evaluation.matching import expected_calibration_error
from team5.evaluation.metrics import ranked_lists
from team5.evaluation.records import ALL, MODEL, SAME_FORMULA, Metric, ScoredQuery, make_metric

_N_BANDS = 5


def candidate_lists(scored: Sequence[ScoredQuery], *, same_formula: bool) -> list[CandidateList]:
    """Return the lists of queries, or of their candidates of the true structure's formula."""
    return [
        CandidateList(
            ranked.scores(MODEL),
            bool(ranked.query.same_formula[ranked.candidates].all()),
            ranked.truth,
            ranked.query.structure,
        )
        for ranked in ranked_lists(scored, same_formula=same_formula)
    ]


def lists_to_fit(scored: Sequence[ScoredQuery]) -> list[CandidateList]:
    """Return the lists that confidence is fitted on: of one mass, and of one formula."""
    of_mass = candidate_lists(scored, same_formula=False)
    isomers = candidate_lists(scored, same_formula=True)
    return [*(each for each in of_mass if not each.same_formula), *isomers]


def confidence_metrics(
    scored: Sequence[ScoredQuery], confidence: ListConfidence, *, seed: int = 0
) -> dict[str, list[Metric]]:
    """Return mean confidence of first places and how often they are right, by kind of list.

    Returns
    -------
    dict of str to list of Metric
        The mean confidence, the share right, their distance (`expected_calibration_error`), and
        the share right in each band of confidence.
    """
    by_title = {}
    for task, same_formula in ((ALL, False), (SAME_FORMULA, True)):
        lists = candidate_lists(scored, same_formula=same_formula)
        if lists:
            by_title[f"{task}, confidence of the first place"] = _metrics(lists, confidence, seed)
    return by_title


def _metrics(lists: Sequence[CandidateList], confidence: ListConfidence, seed: int) -> list[Metric]:
    firsts = [int(np.argmax(each.scores)) for each in lists]
    confidences = np.array(
        [
            confidence.of(each.scores, same_formula=each.same_formula)[first]
            for each, first in zip(lists, firsts, strict=True)
        ]
    )
    is_right = np.array([first == each.truth for each, first in zip(lists, firsts, strict=True)])
    structures = np.array([each.structure for each in lists])

    def error(rows: NDArray[np.intp]) -> float:
        return expected_calibration_error(confidences[rows], is_right[rows])

    def metric(
        name: str,
        value: float,
        interval: tuple[float, float],
        rows: NDArray[np.bool_] | slice = slice(None),
        *,
        lower_is_better: bool = False,
    ) -> Metric:
        members = structures[rows].tolist()
        return make_metric(name, value, interval, {}, members, lower_is_better=lower_is_better)

    means = bootstrap_interval(confidences, structures, seed=seed)
    shares = share_interval(is_right, structures, seed=seed)
    errors = resampled_interval(error, structures, seed=seed)
    metrics = [
        metric("said", float(confidences.mean()), means),
        metric("right", float(is_right.mean()), shares),
        metric("calibration error", error(np.arange(len(lists))), errors, lower_is_better=True),
    ]
    bands = np.minimum((confidences * _N_BANDS).astype(int), _N_BANDS - 1)
    for band in np.unique(bands).tolist():
        in_band = bands == band
        low, high = (round(100 * (band + i) / _N_BANDS) for i in (0, 1))
        interval = share_interval(is_right[in_band], structures[in_band], seed=seed)
        name = f"right, where {low} to {high} % was said"
        metrics.append(metric(name, float(is_right[in_band].mean()), interval, in_band))
    return metrics
