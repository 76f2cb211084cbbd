import numpy as np
import pytest

from team5.errors import DataError
from team5.evaluation.comparison import paired_differences, query_metrics
from team5.evaluation.metrics import compute_metrics
from team5.evaluation.records import ALL, COSINE, MATCH, SAME_FORMULA, SIMILARITIES, SIMULATE
from tests.evaluation.test_metrics import query


def cosines(value):
    return {name: {"model": value, "exchanged": 0.0} for name in SIMILARITIES}


@pytest.fixture
def scored():
    """Thirty queries of ten structures, each figure about half right."""
    rng = np.random.default_rng(0)
    return [
        query(
            number,
            structure=f"structure {number // 3}",
            scores=rng.random(4),
            probabilities=rng.random(2).tolist(),
            same_formula=np.array([True, True, number % 2 == 0, False]),
            similarities=cosines(rng.random()),
        )
        for number in range(30)
    ]


def changed(scored, **fields):
    return [type(s)(**(vars(s) | {name: get(s) for name, get in fields.items()})) for s in scored]


def test_means_are_the_metrics_of_an_evaluation(scored):
    found = query_metrics(scored, threshold=0.4)
    shown = {
        title: {row.name: row.value for row in rows}
        for title, rows in compute_metrics(scored, threshold=0.4).items()
    }
    assert {name: metric.values.mean() for name, metric in found.items()} == pytest.approx(
        {
            "same_formula_hit_rate@1": shown[SAME_FORMULA]["hit@1"],
            "hit_rate@1": shown[ALL]["hit@1"],
            "accuracy": shown[MATCH]["accuracy"],
            "cosine": shown[SIMULATE][COSINE],
        }
    )


def test_equal_versions_are_not_worse(scored):
    same = query_metrics(scored, threshold=0.4)
    for found in paired_differences(same, same).values():
        assert (found.value, found.low, found.high, found.is_worse) == (0, 0, 0, False)
        assert (found.n_queries, found.n_structures) == (30, 10)


def test_only_the_metric_that_fell_is_worse_and_the_other_way_round_it_is_better(scored):
    lower = changed(scored, similarities=lambda s: cosines(s.similarities[COSINE]["model"] / 2))
    before, after = (query_metrics(s, threshold=0.4) for s in (scored, lower))
    found = paired_differences(before, after)
    assert [name for name, each in found.items() if each.is_worse] == ["cosine"]
    assert found["cosine"].value == pytest.approx(-found["cosine"].after)
    back = paired_differences(after, before)
    assert not any(each.is_worse for each in back.values())
    assert back["cosine"].low > 0


def test_a_fall_that_chance_explains_is_not_worse(scored):
    first = scored[0].similarities[COSINE]["model"]
    lower = [*changed(scored[:1], similarities=lambda s: cosines(first - 0.01)), *scored[1:]]
    found = paired_differences(*(query_metrics(s, threshold=0.4) for s in (scored, lower)))
    assert found["cosine"].value < 0
    assert not found["cosine"].is_worse


def test_each_version_is_called_at_its_own_threshold(scored):
    halved = changed(scored, probabilities=lambda s: {"model": s.probabilities["model"] / 2})
    found = paired_differences(
        query_metrics(scored, threshold=0.4), query_metrics(halved, threshold=0.2)
    )
    assert found["accuracy"].value == 0


def test_metrics_of_other_queries_are_not_compared(scored):
    one, other = (query_metrics(s, threshold=0.4) for s in (scored, scored[1:]))
    with pytest.raises(DataError, match="different queries"):
        paired_differences(one, other)


def test_queries_without_candidates_and_scores_that_are_none_are_refused(scored):
    with pytest.raises(DataError, match="nothing to rank or match"):
        query_metrics([query(scores=[1.0])], threshold=0.5)
    with pytest.raises(DataError, match="NaN"):
        query_metrics([query(scores=[1.0, np.nan])], threshold=0.5)
