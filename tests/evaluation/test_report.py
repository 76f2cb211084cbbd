import json

import pytest

from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.records import ALL, MATCH, make_metric
from team5.evaluation.report import CONTROL_TEXTS, MARK_TEXT, Report

GOOD = make_metric("hit@1", 0.6, (0.5, 0.7), {"chance": 0.1, "bond_breaking": 0.9}, ["a", "a", "b"])
DOUBTFUL = make_metric("accuracy", 0.6, (0.4, 0.8), {"chance": 0.5, "exchanged": 0.4}, ["a"])


def report(*rows, breakdowns=None):
    return Report(
        "v0.1", "0123456789ab", "queries.parquet", 3, 2, 0, 0.5,
        {ALL: [GOOD], MATCH: list(rows)},
        breakdowns or {},
        [ReliabilityBin(0.9, 1.0, 0.95, 0.75, 0.5, 1.0, 4)],
        ("nothing was left out.",),
    )  # fmt: skip


def test_text_shows_metrics_with_the_controls_they_have():
    lines = report(DOUBTFUL).to_text().splitlines()

    assert lines[0] == "v0.1 (0123456789ab) on queries.parquet, 3 queries of 2 structures"
    assert lines[2] == ALL
    assert lines[3].split() == [
        "value",
        "95",
        "%",
        "interval",
        "chance",
        "bond",
        "breaking",
        "queries",
    ]
    assert lines[4].split() == ["hit@1", "0.600", "0.500", "to", "0.700", "0.100", "0.900", "3"]
    assert lines[8].split()[:4] == ["accuracy", "0.600*", "0.400", "to"]
    assert "  from 0.9 to 1.0  0.950  0.750   0.500 to 1.000      4" in lines
    assert lines[-1] == "Note: nothing was left out."


def test_mark_is_explained_in_one_line_only_where_it_stands():
    marked, unmarked = report(DOUBTFUL).to_text(), report(GOOD).to_text()

    assert f"*  {MARK_TEXT}" in marked.splitlines()
    assert "*" not in unmarked
    # A breakdown is marked as well.
    assert report(GOOD, breakdowns={ALL: {"adduct": [DOUBTFUL]}}).is_marked


def test_controls_that_a_metric_has_are_explained():
    text = report(DOUBTFUL).to_text()

    for name in ("chance", "exchanged", "bond_breaking"):
        assert CONTROL_TEXTS[name] in text
    assert CONTROL_TEXTS["molecule_only"] not in text


def test_json_holds_everything_as_plain_values():
    found = json.loads(json.dumps(report(DOUBTFUL).to_dict(), allow_nan=False))

    assert found["figures"][MATCH][0] == {
        "name": "accuracy", "value": 0.6, "low": 0.4, "high": 0.8, "chance": 0.5, "exchanged": 0.4,
        "n_queries": 1, "n_structures": 1, "mass_error": None, "molecule_only": None,
        "precursor_alone": None, "bond_breaking": None, "lower_is_better": False,
        "not_above_blind": True,
    }  # fmt: skip
    assert found["figures"][ALL][0]["n_structures"] == 2
    assert found["reliability"][0]["value"] == pytest.approx(0.75)
    assert list(found["controls"]) == ["chance", "exchanged", "bond_breaking"]
    assert found["notes"] == ["nothing was left out."]
