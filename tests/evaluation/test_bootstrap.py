import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError, DataError
from team5.evaluation import bootstrap
from team5.evaluation.bootstrap import bootstrap_interval, paired_bootstrap_interval

values = st.lists(st.floats(-10, 10), min_size=1, max_size=30)
pairs = st.lists(
    st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.integers(0, 8)), min_size=1, max_size=30
)


@given(values, st.integers(0, 100))
def test_interval_lies_within_the_values_and_in_order(figures, seed):
    low, high = bootstrap_interval(figures, n=50, seed=seed)

    assert min(figures) - 1e-9 <= low <= high <= max(figures) + 1e-9


def test_same_seed_gives_the_same_interval():
    figures = np.random.default_rng(0).random(40)

    assert bootstrap_interval(figures, seed=3) == bootstrap_interval(figures, seed=3)
    assert bootstrap_interval(figures, seed=3) != bootstrap_interval(figures, seed=4)


def test_interval_of_a_large_sample_is_that_of_the_normal_law():
    figures = np.random.default_rng(1).normal(5.0, 2.0, size=2000)
    half_width = 1.96 * figures.std() / np.sqrt(figures.size)

    low, high = bootstrap_interval(figures, n=4000)

    assert low == pytest.approx(figures.mean() - half_width, abs=0.1 * half_width)
    assert high == pytest.approx(figures.mean() + half_width, abs=0.1 * half_width)


def test_wider_level_gives_a_wider_interval():
    figures = np.random.default_rng(2).random(100)
    low_80, high_80 = bootstrap_interval(figures, level=0.8)
    low_99, high_99 = bootstrap_interval(figures, level=0.99)

    assert low_99 < low_80 < high_80 < high_99


def test_copies_within_a_group_make_nothing_surer():
    figures = np.random.default_rng(3).random(50)
    groups = np.arange(50)

    alone = bootstrap_interval(figures, groups)
    copied = bootstrap_interval(np.repeat(figures, 20), np.repeat(groups, 20))
    taken_as_independent = bootstrap_interval(np.repeat(figures, 20))

    assert copied == pytest.approx(alone)
    assert np.diff(taken_as_independent) < np.diff(copied) / 3


def test_groups_of_one_are_the_same_as_no_groups():
    figures = np.random.default_rng(4).random(30)

    assert bootstrap_interval(figures, groups=[f"G{i:02d}" for i in range(30)]) == pytest.approx(
        bootstrap_interval(figures)
    )


def test_blocks_do_not_change_the_interval(monkeypatch):
    figures = np.random.default_rng(5).random(30)
    whole = bootstrap_interval(figures)
    monkeypatch.setattr(bootstrap, "_BLOCK", 100)

    assert bootstrap_interval(figures) == whole


@pytest.mark.parametrize(
    ("figures", "groups", "said"),
    [
        ([], None, "one figure per query"),
        ([1.0, float("nan")], None, "NaN or infinite"),
        ([1.0, 2.0], ["a"], "name the group of every value"),
    ],
)
def test_unusable_values_are_named(figures, groups, said):
    with pytest.raises(DataError, match=said):
        bootstrap_interval(figures, groups)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"level": 1.0}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ConfigError, match="level between 0 and 1"):
        bootstrap_interval([1.0], **wrong)


@given(values, st.integers(0, 100))
def test_equal_figures_differ_by_nothing(figures, seed):
    assert paired_bootstrap_interval(figures, figures, n=50, seed=seed) == (0, 0)


@given(pairs, st.integers(0, 100))
def test_swapping_the_two_flips_the_signs(figures, seed):
    first, second, groups = zip(*figures, strict=True)
    low, high = paired_bootstrap_interval(first, second, groups, n=50, seed=seed)
    flipped = paired_bootstrap_interval(second, first, groups, n=50, seed=seed)

    assert flipped == pytest.approx((-high, -low), abs=1e-9)


@given(pairs, st.integers(0, 100))
def test_what_lowers_every_figure_lies_wholly_below_zero(figures, seed):
    first, _, groups = zip(*figures, strict=True)
    low, high = paired_bootstrap_interval(first, np.array(first) - 1, groups, n=50, seed=seed)

    assert (low, high) == pytest.approx((-1, -1))


@given(pairs, st.floats(-10, 10))
def test_what_makes_a_query_easy_for_both_drops_out(figures, easier):
    first, second, groups = map(np.array, zip(*figures, strict=True))
    plain = paired_bootstrap_interval(first, second, groups, n=50)
    shift = easier * groups

    assert paired_bootstrap_interval(first + shift, second + shift, groups, n=50) == pytest.approx(
        plain, abs=1e-9
    )


def test_pairs_tell_a_difference_that_two_intervals_hide():
    rng = np.random.default_rng(6)
    first = rng.normal(0.0, 1.0, size=200)
    second = first - 0.05 + rng.normal(0.0, 0.1, size=200)

    assert bootstrap_interval(first)[0] < bootstrap_interval(second)[1]
    assert paired_bootstrap_interval(first, second)[1] < 0


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([1.0], [1.0, 2.0], "are no pairs"),
        ([], [], "one figure per query"),
        ([1.0, float("inf")], [1.0, float("inf")], "NaN or infinite"),
    ],
)
def test_what_are_no_pairs_is_refused(first, second, said):
    with pytest.raises(DataError, match=said):
        paired_bootstrap_interval(first, second)
