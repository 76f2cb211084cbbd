import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError, DataError
from team5.evaluation.matching import (
    accuracy,
    auroc,
    best_threshold,
    brier_score,
    expected_calibration_error,
    f1_score,
    reliability,
)

# Few distinct values, so that ties are common.
pairs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.50001, 0.9, 1.0]), st.booleans()), min_size=1
)
pairs_of_both_kinds = pairs.filter(lambda rows: len({label for _, label in rows}) == 2)


def columns(rows):
    probabilities, labels = zip(*rows, strict=True)
    return np.array(probabilities), np.array(labels)


def test_figures_of_a_small_case_by_hand():
    probabilities = [0.9, 0.8, 0.4, 0.3, 0.6]
    labels = [1, 1, 1, 0, 0]

    assert accuracy(probabilities, labels) == pytest.approx(3 / 5)
    assert f1_score(probabilities, labels) == pytest.approx(2 / 3)
    assert auroc(probabilities, labels) == pytest.approx(5 / 6)
    assert brier_score(probabilities, labels) == pytest.approx(
        (0.01 + 0.04 + 0.36 + 0.09 + 0.36) / 5
    )


def test_a_pair_at_the_threshold_is_a_match():
    assert accuracy([0.5], [1], threshold=0.5) == 1.0


def test_f1_is_zero_when_nothing_is_called_and_nothing_is_true():
    assert f1_score([0.1, 0.2], [0, 0]) == 0.0


@given(pairs_of_both_kinds)
def test_auroc_is_the_share_of_pairs_won_with_ties_half(rows):
    probabilities, labels = columns(rows)
    true, false = probabilities[labels], probabilities[~labels]
    won = (true[:, None] > false).sum() + 0.5 * (true[:, None] == false).sum()

    assert auroc(probabilities, labels) == pytest.approx(won / (true.size * false.size))


@given(pairs_of_both_kinds)
def test_auroc_of_exchanged_labels_is_its_complement(rows):
    probabilities, labels = columns(rows)

    assert auroc(probabilities, ~labels) == pytest.approx(1 - auroc(probabilities, labels))


@given(pairs, st.sampled_from([accuracy, f1_score]))
def test_no_other_threshold_beats_the_best(rows, metric):
    probabilities, labels = columns(rows)
    best = best_threshold(probabilities, labels, metric.__name__)
    tried = np.concatenate([probabilities, np.nextafter(probabilities, 2), [0.0, 2.0]])

    reached = metric(probabilities, labels, best)
    assert reached == pytest.approx(max(metric(probabilities, labels, t) for t in tried))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.randoms())
def test_best_threshold_parts_neighbouring_floats(values, random):
    values += [np.nextafter(values[0], 2.0 if values[0] < 1 else 0.0)]
    labels = [random.random() < 0.5 for _ in values]
    distinct = sorted(set(values))
    tried = [*distinct, 2.0]

    best = best_threshold(values, labels)
    assert accuracy(values, labels, best) == max(accuracy(values, labels, t) for t in tried)


def test_best_threshold_lies_half_way_and_nearest_to_one_half():
    assert best_threshold([0.2, 0.4, 0.8], [0, 0, 1]) == pytest.approx(0.6)
    # Every threshold between 0.1 and 0.9 is equally good.
    assert best_threshold([0.05, 0.1, 0.9, 0.95], [0, 0, 1, 1]) == pytest.approx(0.5)


def test_calibration_error_is_zero_when_shares_equal_probabilities():
    probabilities = np.repeat([0.25, 0.75], 4)
    labels = [1, 0, 0, 0, 1, 1, 1, 0]

    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.0)


def test_calibration_error_of_sure_mistakes_is_one():
    assert expected_calibration_error([1.0, 1.0, 0.0], [0, 0, 1]) == pytest.approx(1.0)


@given(pairs, st.integers(1, 30))
def test_calibration_error_equals_its_definition(rows, n_bins):
    probabilities, labels = columns(rows)
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    expected = sum(
        np.mean(bins == b) * abs(probabilities[bins == b].mean() - labels[bins == b].mean())
        for b in np.unique(bins)
    )

    assert expected_calibration_error(probabilities, labels, n_bins) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("probabilities", "labels", "said"),
    [
        ([], [], "no pairs"),
        ([0.5, 0.5], [1], "one length"),
        ([0.5, float("nan")], [0, 1], "position 1"),
        ([1.5], [1], "not between 0 and 1"),
        ([0.5], [2], "labels must be 0 or 1"),
    ],
)
@pytest.mark.parametrize(
    "metric", [accuracy, f1_score, auroc, brier_score, expected_calibration_error, best_threshold]
)
def test_unusable_pairs_are_named(metric, probabilities, labels, said):
    with pytest.raises(DataError, match=said):
        metric(probabilities, labels)


def test_auroc_of_one_kind_is_an_error():
    with pytest.raises(DataError, match="2 true and 0 false"):
        auroc([0.1, 0.2], [1, 1])


def test_unknown_metric_names_the_choices():
    with pytest.raises(ConfigError, match="accuracy or f1_score"):
        best_threshold([0.1], [1], metric="auc")


def test_reliability_says_and_shows_the_share_of_each_bin():
    first, last = reliability([0.05, 0.95, 1.0, 0.93], [0, 1, 1, 0])

    assert (first.low, first.high, first.mean_probability, first.share_true) == (0, 0.1, 0.05, 0)
    assert (last.low, last.high, last.share_true) == (0.9, 1.0, pytest.approx(2 / 3))
    assert last.members.tolist() == [1, 2, 3]


@given(pairs, st.integers(1, 30))
def test_calibration_error_is_the_mean_gap_of_the_reliability_diagram(rows, n_bins):
    probabilities, labels = columns(rows)
    gaps = [
        len(b.members) * abs(b.mean_probability - b.share_true)
        for b in reliability(probabilities, labels, n_bins)
    ]

    assert sum(gaps) / len(rows) == pytest.approx(
        expected_calibration_error(probabilities, labels, n_bins)
    )
