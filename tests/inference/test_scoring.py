import math

import numpy as np
import pytest

from team5.data.queries import read_queries
from team5.inference.inference import infer
from team5.inference.scoring import figures, format_figures, score_queries
from tests.inference.queries import write_queries


@pytest.fixture
def table(tmp_path):
    return write_queries(tmp_path / "queries.parquet")


def test_scores_are_those_of_infer(model, table):
    for scored in score_queries(model, read_queries(table)):
        spectrum = scored.query.spectrum
        matches = infer(model, None, list(scored.query.candidates), spectra=[spectrum])
        assert [m.probability for m in matches] == pytest.approx(scored.probabilities, abs=1e-5)
        assert [m.score for m in matches] == pytest.approx(scored.scores, abs=1e-4)


def test_figures_are_the_same_each_time_and_stand_beside_chance(model, table):
    queries = read_queries(table)
    found = [figures(list(score_queries(model, queries)), threshold=0.5) for _ in range(2)]
    assert found[0] == found[1]
    same_formula = found[0]["rank, candidates of the same formula"]
    assert [row.name for row in same_formula] == ["hit@1", "hit@5", "hit@20", "MRR"]
    assert same_formula[0].chance == pytest.approx(np.mean([1 / 3, 1 / 3, 1 / 4]))
    for rows in found[0].values():
        for row in rows:
            assert math.isfinite(row.value)
            assert row.low <= row.value <= row.high or row.low == row.high
    assert "hit@1" in format_figures(found[0])
