from pathlib import Path

import numpy as np
import pytest

from team5.assessment.massspecgym import read_massspecgym
from team5.assessment.massspecgym_benchmark import benchmark_metrics, rank_queries
from team5.evaluation.records import MODEL, SHUFFLED, ScoredQuery
from team5.inference.inference import load_model

FILES = Path(__file__).parent.parent / "files"


@pytest.fixture(scope="module")
def queries():
    return read_massspecgym(
        FILES / "massspecgym.tsv", FILES / "massspecgym_candidates.json"
    ).queries


def ranked(queries, scores_of):
    scores = [scores_of(query) for query in queries]
    return [
        ScoredQuery(
            q.spectrum.identifier, q.inchikey14, q.truth, None, q.same_formula,
            {MODEL: s, SHUFFLED: np.zeros_like(s)}, candidates=q.candidates,
        )
        for q, s in zip(queries, scores, strict=True)
    ]  # fmt: skip


def test_equal_scores_give_exactly_what_chance_gives(queries):
    alike = ranked(queries, lambda query: np.zeros(len(query.candidates)))
    for figure in benchmark_metrics(alike):
        assert figure.value == figure.chance == figure.exchanged


def test_the_truth_first_everywhere_is_a_hit_at_distance_0(queries):
    def truth_first(query):
        return np.eye(len(query.candidates))[query.truth]

    figures = benchmark_metrics(ranked(queries, truth_first), distance=lambda a, b: float(a != b))
    assert [(f.name, f.value, f.low, f.high) for f in figures] == [
        ("hit@1", 1, 1, 1),
        ("hit@5", 1, 1, 1),
        ("hit@20", 1, 1, 1),
        ("MCES@1", 0, 0, 0),
    ]
    assert figures[0].exchanged == figures[0].chance < 1


def test_every_candidate_of_every_query_is_scored(queries):
    model = load_model(root=FILES / "checkpoints")
    done = []
    found = list(rank_queries(model, queries, on_progress=done.append))
    assert sum(done) == len(found) == len(queries)
    assert {r.identifier for r in found} == {q.spectrum.identifier for q in queries}
    for r in found:
        assert r.scores[MODEL].shape == r.scores[SHUFFLED].shape == (len(r.candidates),)
        assert np.isfinite([*r.scores[MODEL], *r.scores[SHUFFLED]]).all()


def test_order_of_queries_and_candidates_changes_no_score(queries):
    model = load_model(root=FILES / "checkpoints")
    forwards = {r.identifier: r.scores[MODEL] for r in rank_queries(model, queries)}
    for r in rank_queries(model, queries[::-1]):
        np.testing.assert_allclose(r.scores[MODEL], forwards[r.identifier], rtol=1e-4, atol=1e-5)
