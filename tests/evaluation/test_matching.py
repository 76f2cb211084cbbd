import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import DataError
from team5.evaluation.matching import (
    accuracy,
    auroc,
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
    assert f1_score([0.5], [1], threshold=0.5) == 1.0


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
    "metric", [accuracy, f1_score, auroc, brier_score, expected_calibration_error]
)
def test_unusable_pairs_are_named(metric, probabilities, labels, said):
    with pytest.raises(DataError, match=said):
        metric(probabilities, labels)


def test_auroc_of_one_kind_is_an_error():
    with pytest.raises(DataError, match="2 true and 0 false"):
        auroc([0.1, 0.2], [1, 1])


def test_reliability_shows_the_mean_probability_and_the_share_of_each_bin():
    first, last = reliability([0.05, 0.95, 1.0, 0.93], [0, 1, 1, 0], ["a", "b", "c", "d"])

    assert (first.bin_low, first.bin_high) == (0, 0.1)
    assert (first.mean_probability, first.value) == (0.05, 0)
    assert (last.bin_low, last.bin_high, last.value) == (0.9, 1.0, pytest.approx(2 / 3))
    assert last.n_pairs == 3


def test_a_bin_of_pairs_that_agree_is_not_certain():
    low, high = reliability([0.05, 0.95, 0.95], [0, 1, 1], ["a", "b", "c"])

    # Wilson's interval of 0 of 1, and of 2 of 2.
    assert (low.low, low.high) == (0.0, pytest.approx(0.793, abs=1e-3))
    assert (high.low, high.high) == (pytest.approx(0.342, abs=1e-3), 1.0)
    # Spectra of one structure are right or wrong together, so they count once.
    (same,) = reliability([0.95, 0.95], [1, 1], ["b", "b"])
    assert same.low == pytest.approx(0.207, abs=1e-3)


def test_intervals_of_the_reliability_diagram_are_drawn_by_seed():
    answers = [0.95] * 30, [n % 3 > 0 for n in range(30)], np.arange(30) // 2
    assert reliability(*answers) == reliability(*answers, seed=0)
    assert reliability(*answers) != reliability(*answers, seed=1)


@given(pairs, st.integers(1, 30))
def test_calibration_error_is_the_mean_gap_of_the_reliability_diagram(rows, n_bins):
    probabilities, labels = columns(rows)
    gaps = [
        b.n_pairs * abs(b.mean_probability - b.value)
        for b in reliability(probabilities, labels, np.arange(len(rows)), n_bins=n_bins)
    ]

    assert sum(gaps) / len(rows) == pytest.approx(
        expected_calibration_error(probabilities, labels, n_bins)
    )
