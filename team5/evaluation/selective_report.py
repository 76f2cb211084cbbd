"""Cost and benefit of withholding uncertain answers, on queries not used for calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.records import MODEL, Metric, ScoredQuery, make_metric
from team5.evaluation.selective import (
    RiskCoverage,
    confidence_needed,
    match_confidence,
    ranking_confidence,
    risk_coverage,
)
from team5.evaluation.strata import ADDUCT, ION_MODE

MAX_ERRORS = (0.1, 0.2)
_FEWEST = 20  # answers of an adduct or ion mode, for a separate row


@dataclass(frozen=True)
class _Answer:
    query: ScoredQuery
    confidence: float
    is_wrong: bool


def selective_metrics(
    scored: Sequence[ScoredQuery],
    calibration: Mapping[str, Mapping[str, Any]],
    *,
    threshold: float,
    seed: int = 0,
) -> dict[str, list[Metric]]:
    """Return, for matches and rankings, the share answered and the share of these that is wrong.

    Parameters
    ----------
    calibration : mapping
        Calibration answers stored in the version, by task.
    threshold : float
        Of the match probability.

    Returns
    -------
    dict of str to list of Metric
        By task and error rate; the share answered also by adduct and ion mode.
    """
    by_title = {}
    for task, answers in _answers(scored, threshold).items():
        for max_error in MAX_ERRORS:
            needed = confidence_needed(**calibration[task], max_error=max_error)
            title = f"{task}, answered where an error of {max_error:g} holds"
            by_title[title] = _metrics(answers, needed, seed)
    return {title: metrics for title, metrics in by_title.items() if metrics}


def risk_coverages(scored: Sequence[ScoredQuery], *, threshold: float) -> dict[str, RiskCoverage]:
    """Return, for matches and rankings, the share of wrong answers against the share answered.

    Parameters
    ----------
    threshold : float
        Of the match probability.
    """
    return {
        task: risk_coverage([a.confidence for a in answers], [a.is_wrong for a in answers])
        for task, answers in _answers(scored, threshold).items()
        if answers
    }


def _answers(scored: Sequence[ScoredQuery], threshold: float) -> dict[str, list[_Answer]]:
    matches = [
        _Answer(s, match_confidence(p), (p >= threshold) != is_truth)
        for s in scored
        if s.decoy is not None
        for is_truth, p in zip((True, False), s.probabilities[MODEL].tolist(), strict=True)
    ]
    rankings = [
        _Answer(s, ranking_confidence(scores), int(np.argmax(scores)) != s.truth)
        for s in scored
        if len(scores := s.scores[MODEL]) > 1
    ]
    return {"match": matches, "rank": rankings}


def _metrics(answers: Sequence[_Answer], needed: float | None, seed: int) -> list[Metric]:
    if not answers:
        return []

    def is_given(answer: _Answer) -> bool:
        return needed is not None and answer.confidence >= needed

    def metric(name: str, values: list[bool], of: Sequence[_Answer], *, lower: bool) -> Metric:
        structures = [answer.query.structure for answer in of]
        interval = bootstrap_interval(np.array(values, float), np.array(structures), seed=seed)
        return make_metric(
            name, float(np.mean(values)), interval, {}, structures, lower_is_better=lower
        )

    rows = [metric("answered", [is_given(a) for a in answers], answers, lower=False)]
    selected = [a for a in answers if is_given(a)]
    if selected:
        rows.append(metric("wrong", [a.is_wrong for a in selected], selected, lower=True))
    for condition in (ION_MODE, ADDUCT):
        members: dict[str, list[_Answer]] = {}
        for answer in answers:
            members.setdefault(answer.query.conditions[condition], []).append(answer)
        rows += [
            metric(f"answered, {stratum}", [is_given(a) for a in of], of, lower=False)
            for stratum, of in sorted(members.items())
            if len(of) >= _FEWEST
        ]
    return rows
