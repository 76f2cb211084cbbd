"""What answering only where an error rate holds costs and keeps, on queries not calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.records import MODEL, Figure, ScoredQuery, make_figure
from team5.evaluation.selective import (
    RiskCoverage,
    confidence_needed,
    match_confidence,
    ranking_confidence,
    risk_coverage,
)
from team5.evaluation.strata import ADDUCT, ION_MODE

MAX_ERRORS = (0.1, 0.2)
_FEWEST = 20  # answers of an adduct or ion mode, for a row of its own


@dataclass(frozen=True)
class _Answer:
    query: ScoredQuery
    confidence: float
    wrong: bool


def abstention_figures(
    scored: Sequence[ScoredQuery],
    calibration: Mapping[str, Mapping[str, Any]],
    *,
    threshold: float,
    seed: int = 0,
) -> dict[str, list[Figure]]:
    """Return, for matches and rankings, the share answered and the share of these that is wrong.

    Parameters
    ----------
    calibration : mapping
        What the version stores, by question.
    threshold : float
        Of the match probability.

    Returns
    -------
    dict of str to list of Figure
        By question and error rate; the share answered also by adduct and ion mode.
    """
    answers = _answers(scored, threshold)
    found = {}
    for question, given in answers.items():
        for max_error in MAX_ERRORS:
            needed = confidence_needed(**calibration[question], max_error=max_error)
            title = f"{question}, answered where an error of {max_error:g} holds"
            found[title] = _figures(given, needed, seed)
    return {title: rows for title, rows in found.items() if rows}


def risk_coverages(scored: Sequence[ScoredQuery], *, threshold: float) -> dict[str, RiskCoverage]:
    """Return, for matches and rankings, the share of wrong answers against the share answered.

    Parameters
    ----------
    threshold : float
        Of the match probability.
    """
    return {
        question: risk_coverage([a.confidence for a in given], [a.wrong for a in given])
        for question, given in _answers(scored, threshold).items()
        if given
    }


def _answers(scored: Sequence[ScoredQuery], threshold: float) -> dict[str, list[_Answer]]:
    return {"match": _match_answers(scored, threshold), "rank": _rank_answers(scored)}


def _match_answers(scored: Sequence[ScoredQuery], threshold: float) -> list[_Answer]:
    return [
        _Answer(s, match_confidence(p), (p >= threshold) != is_truth)
        for s in scored
        if s.decoy is not None
        for is_truth, p in zip((True, False), s.probabilities[MODEL].tolist(), strict=True)
    ]


def _rank_answers(scored: Sequence[ScoredQuery]) -> list[_Answer]:
    answers = []
    for s in scored:
        scores = s.scores[MODEL]
        if len(scores) > 1:
            wrong = int(np.argmax(scores)) != s.truth
            answers.append(_Answer(s, ranking_confidence(scores), wrong))
    return answers


def _figures(answers: Sequence[_Answer], needed: float | None, seed: int) -> list[Figure]:
    if not answers:
        return []

    def is_given(answer: _Answer) -> bool:
        return needed is not None and answer.confidence >= needed

    def figure(name: str, values: list[bool], of: Sequence[_Answer], *, lower: bool) -> Figure:
        structures = [answer.query.structure for answer in of]
        interval = bootstrap_interval(np.array(values, float), np.array(structures), seed=seed)
        return make_figure(
            name, float(np.mean(values)), interval, {}, structures, lower_is_better=lower
        )

    rows = [figure("answered", [is_given(a) for a in answers], answers, lower=False)]
    given = [a for a in answers if is_given(a)]
    if given:
        rows.append(figure("wrong", [a.wrong for a in given], given, lower=True))
    for condition in (ION_MODE, ADDUCT):
        members: dict[str, list[_Answer]] = {}
        for answer in answers:
            members.setdefault(answer.query.conditions[condition], []).append(answer)
        rows += [
            figure(f"answered, {band}", [is_given(a) for a in of], of, lower=False)
            for band, of in sorted(members.items())
            if len(of) >= _FEWEST
        ]
    return rows
