from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError, DataError
from team5.evaluation.retrieval import (
    chance_hit_rate,
    chance_mean_reciprocal_rank,
    hit_probabilities,
    reciprocal_ranks,
)


def hit_rate(lists, truths, k):
    return hit_probabilities(lists, truths, k).mean()


def mean_reciprocal_rank(lists, truths):
    return reciprocal_ranks(lists, truths).mean()


def expected_rank(scores, truth):
    better = sum(score > scores[truth] for score in scores)
    tied = sum(score == scores[truth] for score in scores)
    return better + (tied + 1) / 2


# Few distinct scores, so that ties are common; an impossible candidate has -inf.
score_lists = st.lists(
    st.sampled_from([float("-inf"), -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=12
)


@st.composite
def queries(draw, max_size=6):
    lists = draw(st.lists(score_lists, min_size=1, max_size=max_size))
    truths = [draw(st.integers(0, len(scores) - 1)) for scores in lists]
    return lists, truths


def test_rank_without_ties_counts_the_better_ones():
    lists = [[0.1, 0.9, 0.5]] * 3
    assert reciprocal_ranks(lists, [1, 2, 0]) == pytest.approx([1, 1 / 2, 1 / 3])


@pytest.mark.parametrize("scores", [[3.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 1.0]])
def test_ties_count_as_the_mean_over_all_orders(scores):
    truth = 1
    ranks = np.array(
        [
            1 + sorted(order, key=lambda c: -scores[c]).index(truth)
            for order in permutations(range(len(scores)))
        ]
    )

    assert mean_reciprocal_rank([scores], [truth]) == pytest.approx((1 / ranks).mean())
    for k in (1, 2, 3):
        assert hit_rate([scores], [truth], k) == pytest.approx((ranks <= k).mean())


@given(queries())
def test_hit_rate_never_falls_with_k(case):
    rates = [hit_rate(*case, k) for k in range(1, 14)]

    assert rates == sorted(rates)
    assert rates[-1] == 1.0


@given(queries(), st.randoms())
def test_order_of_candidates_changes_nothing(case, random):
    lists, truths = case
    orders = [random.sample(range(len(scores)), len(scores)) for scores in lists]
    moved = [[scores[old] for old in order] for scores, order in zip(lists, orders, strict=True)]
    moved_truths = [order.index(truth) for order, truth in zip(orders, truths, strict=True)]

    assert hit_rate(moved, moved_truths, 2) == hit_rate(lists, truths, 2)
    assert mean_reciprocal_rank(moved, moved_truths) == mean_reciprocal_rank(lists, truths)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.integers(1, 25), st.floats(-5, 5))
def test_equal_scores_give_exactly_chance(lengths, k, score):
    lists = [np.full(length, score) for length in lengths]
    truths = [length // 2 for length in lengths]

    assert hit_rate(lists, truths, k) == chance_hit_rate(lengths, k)
    assert mean_reciprocal_rank(lists, truths) == chance_mean_reciprocal_rank(lengths)


@given(queries())
def test_reciprocal_rank_lies_between_its_bounds(case):
    each = reciprocal_ranks(*case)
    expected_ranks = np.array([expected_rank(*query) for query in zip(*case, strict=True)])

    # 1/x is convex: its mean is at least the inverse of the mean.
    assert np.all(each >= 1 / expected_ranks - 1e-12)
    assert np.all(each <= 1 + 1e-12)


@given(queries())
def test_figures_are_means_over_queries(case):
    lists, truths = case

    assert hit_rate(lists, truths, 1) == pytest.approx(hit_probabilities(lists, truths, 1).mean())
    assert hit_probabilities(lists, truths, 1) == pytest.approx(
        [hit_rate([scores], [truth], 1) for scores, truth in zip(lists, truths, strict=True)]
    )


def test_a_truth_far_below_rank_k_is_a_sure_miss_and_one_far_above_a_sure_hit():
    lists = [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 3.0], [4.0, 1.0, 1.0, 1.0]]
    assert hit_probabilities(lists, [0, 0, 0], 1).tolist() == [0, 0, 1]
    assert hit_probabilities(lists, [0, 2, 0], 3).tolist() == [0, 1, 1]


def test_chance_of_one_list_length():
    assert chance_hit_rate(50, 5) == pytest.approx(0.1)
    assert chance_hit_rate([2, 4], 1) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert chance_hit_rate(3, 20) == 1.0


def test_nan_score_is_an_error_that_names_query_and_candidate():
    with pytest.raises(ValueError, match="query 1: the score of candidate 2 is NaN") as caught:
        hit_rate([[1.0, 0.0], [0.1, 0.2, float("nan")]], [0, 0], 1)
    assert isinstance(caught.value, DataError)
    with pytest.raises(DataError, match="NaN"):
        reciprocal_ranks([[float("nan"), 1.0]], [1])


@pytest.mark.parametrize(
    ("lists", "truths", "said"),
    [
        ([], [], "no queries"),
        ([[1.0]], [0, 0], "1 lists of scores but 2 true structures"),
        ([[1.0, 2.0]], [2], "candidate 2, but there are 2"),
        ([[1.0, 2.0]], [-1], "candidate -1"),
        ([[]], [0], "one score per candidate"),
    ],
)
def test_unusable_queries_are_named(lists, truths, said):
    with pytest.raises(DataError, match=said):
        hit_rate(lists, truths, 1)


def test_k_below_one_is_refused():
    with pytest.raises(ConfigError, match="k=0"):
        hit_rate([[1.0]], [0], 0)
    with pytest.raises(ConfigError, match="k=0"):
        chance_hit_rate(5, 0)


def test_empty_list_of_candidates_has_no_chance():
    with pytest.raises(DataError, match="at least 1 candidate"):
        chance_hit_rate([3, 0], 1)
