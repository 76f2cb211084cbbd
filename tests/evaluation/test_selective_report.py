import numpy as np
import pytest

from team5.evaluation.records import SIMILARITIES, ScoredQuery
from team5.evaluation.selective_report import risk_coverages, selective_metrics


def query(number, *, probability, score, adduct="[M+H]+"):
    """A query of two candidates, the first of which is the truth."""
    return ScoredQuery(
        identifier=f"spectrum {number}",
        structure=f"structure {number}",
        truth=0,
        decoy=1,
        same_formula=np.ones(2, dtype=bool),
        scores={"model": np.array([score, 0.0])},
        probabilities={"model": np.array([probability, 1 - probability])},
        probabilities_with_references={},
        similarities={name: {"model": None} for name in SIMILARITIES},
        conditions={"adduct": adduct, "ion mode": "positive"},
    )


def calibration(n=400):
    """Answers below 0.8 are wrong half of the time, those above never."""
    sure = np.linspace(0.5, 1.0, n)
    answers = {
        "confidences": sure.tolist(),
        "wrong": [int(c < 0.8 and i % 2 == 0) for i, c in enumerate(sure)],
        "groups": list(range(n)),
    }
    return {"match": answers, "rank": answers}


def test_the_share_answered_and_the_wrong_among_them():
    scored = [query(i, probability=0.95, score=3) for i in range(15)]
    scored += [query(20 + i, probability=0.05, score=-3, adduct="[M+Na]+") for i in range(5)]
    scored += [query(40 + i, probability=0.55, score=0.01) for i in range(20)]
    found = selective_metrics(scored, calibration(), threshold=0.5)
    assert len(found) == 4
    for question in ("match", "rank"):
        rows = {row.name: row for row in found[f"{question}, answered where an error of 0.1 holds"]}
        assert rows["answered"].value == pytest.approx(0.5)
        assert rows["wrong"].value == pytest.approx(0.25)
        assert rows["wrong"].lower_is_better
        assert rows["answered, [M+H]+"].value == pytest.approx(15 / 35)
        assert rows["answered, positive"].value == pytest.approx(0.5)
    # Ten answers of [M+Na]+, twenty pairs at least for a row.
    assert "answered, [M+Na]+" not in rows


def test_where_nothing_is_answered_nothing_is_wrong():
    scored = [query(i, probability=0.9, score=1) for i in range(30)]
    found = selective_metrics(scored, calibration(n=10), threshold=0.5)
    for rows in found.values():
        assert rows[0].value == 0
        assert "wrong" not in [row.name for row in rows]


def test_risk_against_coverage_is_told_for_matches_and_rankings():
    scored = [query(i, probability=0.9, score=3) for i in range(3)]
    scored += [query(10, probability=0.3, score=-0.1)]

    curves = risk_coverages(scored, threshold=0.5)

    assert curves["rank"].coverage == pytest.approx([3 / 4, 1])
    assert curves["rank"].risk == pytest.approx([0, 1 / 4])
    # Each spectrum once with its own structure and once with its decoy.
    assert curves["match"].n_answers == 8
    assert curves["match"].risk[-1] == pytest.approx(2 / 8)


def test_tasks_without_answers_have_no_curve():
    assert risk_coverages([], threshold=0.5) == {}
