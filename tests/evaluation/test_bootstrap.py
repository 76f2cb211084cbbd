import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError, DataError
from team5.evaluation import bootstrap
from team5.evaluation.bootstrap import bootstrap_interval

values = st.lists(st.floats(-10, 10), min_size=1, max_size=30)


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
