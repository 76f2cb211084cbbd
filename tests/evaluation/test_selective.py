import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError, DataError
from team5.evaluation.selective import (
    confidence_needed,
    match_confidence,
    risk_coverage,
    to_calibration,
)


def drawn(random, n_groups, *, per_group=3):
    """Answers that are wrong as often as 1 - confidence; those of a structure go together."""
    groups = np.repeat(np.arange(n_groups), per_group)
    easy = np.repeat(random.uniform(0.5, 1.0, n_groups), per_group)
    wrong = np.repeat(random.random(n_groups), per_group) > easy
    return easy, wrong, groups


def test_the_promise_holds_for_new_structures_in_95_of_100_calibrations():
    random = np.random.default_rng(0)
    new_confidences, new_wrong, _ = drawn(random, 100_000)
    kept = []
    for _ in range(200):
        needed = confidence_needed(*drawn(random, 300), max_error=0.15)
        answered = new_confidences >= (np.inf if needed is None else needed)
        kept.append(not answered.any() or new_wrong[answered].mean() <= 0.15)
    assert np.mean(kept) >= 0.95


def test_more_answers_are_given_the_more_error_is_allowed():
    answers = drawn(np.random.default_rng(1), 1_000)
    needed = [confidence_needed(*answers, max_error=e) for e in (0.15, 0.2, 0.25, 0.3)]
    assert None not in needed
    assert needed == sorted(needed, reverse=True)
    # With a thousand structures it comes near what is possible: 2 * (1 - 0.8) = 0.4 of the range.
    assert 0.6 <= needed[1] <= 0.75


def test_where_all_are_right_all_are_answered():
    n = 60
    assert confidence_needed(np.linspace(0, 1, n), np.zeros(n), np.arange(n), 0.1) == 0


def test_confidences_are_tried_from_the_highest_down_to_the_first_that_fails():
    # Those below 0.5 or 0.3 are wrong; some of them may be given at the error allowed.
    confidences, structures = np.linspace(0, 1, 400), np.arange(400)
    needed = [
        confidence_needed(confidences, confidences < wrong, structures, max_error)
        for wrong, max_error in ((0.5, 0.1), (0.3, 0.2))
    ]
    assert needed == pytest.approx([0.4912, 0.2130], abs=1e-4)


@pytest.mark.parametrize("n", [1, 20])
def test_too_few_structures_prove_nothing(n):
    # At an error of 0.1, 28 answers in a row are right by luck one time in twenty.
    assert confidence_needed(np.ones(n), np.zeros(n), np.arange(n), 0.1) is None
    many_spectra = np.repeat(np.arange(n), 50)
    assert confidence_needed(np.ones(50 * n), np.zeros(50 * n), many_spectra, 0.1) is None


def test_answers_that_are_often_wrong_are_never_given():
    random = np.random.default_rng(2)
    n = 500
    assert confidence_needed(random.random(n), random.random(n) < 0.5, np.arange(n), 0.1) is None


def wealth_of_bets(errors, max_error, alpha):
    """Highest wealth of who bets against a mean above max_error, bet by bet."""
    wealth = highest = 1.0
    total, squares, variance = 0.5, 0.25, 0.25
    for n, error in enumerate(np.random.default_rng(0).permutation(errors), start=1):
        stake = min(math.sqrt(2 * math.log(1 / alpha) / (len(errors) * variance)), 1)
        wealth *= 1 + stake * (max_error - error)
        highest = max(highest, wealth)
        total += error
        squares += (error - total / (n + 1)) ** 2
        variance = squares / (n + 1)
    return highest


@pytest.mark.parametrize(("max_error", "n_wrong"), [(0.1, 0), (0.1, 6), (0.3, 30)])
def test_an_error_is_shown_once_bets_against_it_have_won_a_hundredfold(max_error, n_wrong):
    shown = []
    for n in range(44, 250):
        wrong = np.arange(n) < n_wrong
        needed = confidence_needed(np.ones(n), wrong, np.arange(n), max_error)
        assert (needed == 1) == (wealth_of_bets(wrong, max_error, 0.05 / 5) >= 100)
        shown.append(needed == 1)
    assert any(shown)
    assert not all(shown)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_an_error_rate_and_its_level_are_shares(share):
    with pytest.raises(ConfigError, match=f"^max_error={share}: .*between 0 and 1"):
        confidence_needed([0.5], [False], ["a"], share)
    with pytest.raises(ConfigError, match=f"^level={share}: .*between 0 and 1"):
        confidence_needed([0.5], [False], ["a"], 0.1, level=share)


def test_a_match_is_as_sure_as_its_label_whichever_it_is():
    assert [match_confidence(p) for p in (0.2, 0.5, 0.7)] == [0.8, 0.5, 0.7]


def test_stored_answers_need_the_confidence_that_the_answers_need():
    confidences, wrong, groups = drawn(np.random.default_rng(1), 500)
    stored = to_calibration(list(zip(confidences, wrong, groups.tolist(), strict=True)))
    assert stored["confidences"] == confidences.round(5).tolist()
    assert stored["wrong"] == wrong.astype(int).tolist()
    assert confidence_needed(**stored, max_error=0.2) == pytest.approx(
        confidence_needed(confidences, wrong, groups, 0.2), abs=1e-5
    )


@pytest.mark.parametrize(
    ("confidences", "wrong", "groups"),
    [([], [], []), ([0.5], [True, False], ["a"]), ([float("nan")], [True], ["a"])],
)
def test_answers_that_do_not_fit_together_are_an_error(confidences, wrong, groups):
    with pytest.raises(DataError):
        confidence_needed(confidences, wrong, groups, 0.1)


def test_risk_is_counted_from_the_surest_answer_on():
    curve = risk_coverage([0.2, 0.9, 0.5, 0.7], [True, False, True, False])

    assert curve.confidences.tolist() == [0.9, 0.7, 0.5, 0.2]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_answers_equally_sure_are_given_together_whatever_their_order():
    for wrong in ([True, False, False], [False, True, False]):
        curve = risk_coverage([0.8, 0.8, 0.1], wrong)
        assert curve.coverage == pytest.approx([2 / 3, 1])
        assert curve.risk == pytest.approx([1 / 2, 1 / 3])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_all_answered_has_the_risk_of_all(answers):
    curve = risk_coverage([c for c, _ in answers], [w for _, w in answers])

    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(np.mean([w for _, w in answers]))
    assert (np.diff(curve.coverage) > 0).all()
    assert curve.n_answers == len(answers)


@pytest.mark.parametrize("answers", [([], []), ([0.5], [True, False]), ([np.nan], [True])])
def test_answers_without_a_curve_are_an_error(answers):
    with pytest.raises(DataError):
        risk_coverage(*answers)


def test_the_doubt_allowed_is_shared_among_the_starts():
    # One start alone would need ln(0.05) / ln(0.9), 29 right answers in a row; five need ln(0.01).
    assert confidence_needed(np.ones(43), np.zeros(43), np.arange(43), 0.1) is None
    assert confidence_needed(np.ones(60), np.zeros(60), np.arange(60), 0.1) == 1
    # Of 50 confidences the second to the ninth would pass; descents start at each tenth only.
    falling, structures = np.linspace(1, 0, 1_000), np.arange(1_000)
    assert confidence_needed(falling, structures >= 200, structures, 0.1) is None
