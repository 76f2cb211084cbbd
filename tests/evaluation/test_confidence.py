import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.evaluation.confidence import (
    USUAL,
    CandidateList,
    ListConfidence,
    fit_confidence,
    have_one_formula,
)
from team5.evaluation.matching import expected_calibration_error

TRUE = ListConfidence(1.0, -0.1, -0.5, 0.1)


def draw(n: int, seed: int) -> list[CandidateList]:
    """Lists whose right candidate is drawn by its true confidence."""
    random = np.random.default_rng(seed)
    lists = []
    for number in range(n):
        scores = random.normal(0, 0.6, random.integers(2, 60))
        same = bool(random.integers(2))
        truth = random.choice(len(scores), p=TRUE.of(scores, same_formula=same))
        lists.append(CandidateList(scores, same, int(truth), f"structure {number}"))
    return lists


def error_of(confidence: ListConfidence, lists: list[CandidateList]) -> float:
    said = [confidence.of(each.scores, same_formula=each.same_formula).max() for each in lists]
    right = [int(np.argmax(each.scores)) == each.truth for each in lists]
    return expected_calibration_error(said, right)


@given(st.lists(st.floats(-20, 0), min_size=2, max_size=40), st.booleans())
def test_confidences_add_up_to_one_and_never_run_against_the_scores(scores, same_formula):
    confidences = USUAL.of(scores, same_formula=same_formula)
    assert confidences.sum() == pytest.approx(1)
    assert (np.diff(confidences[np.argsort(scores)]) >= 0).all()


def test_a_candidate_out_of_the_question_has_none_of_it():
    with_it = USUAL.of([-1, -1.2, -np.inf], same_formula=False)
    assert with_it.tolist() == [*USUAL.of([-1, -1.2], same_formula=False), 0]


def test_what_is_fitted_is_right_on_new_lists_as_often_as_it_says():
    new = draw(3000, seed=1)
    fitted = fit_confidence(draw(400, seed=0))
    assert error_of(fitted, new) < 0.04 < error_of(USUAL, new)
    assert (fitted.n_lists, fitted.n_structures) == (400, 400)


def test_few_lists_change_little_and_lists_of_one_nothing():
    few = fit_confidence(draw(3, seed=0))
    assert abs(few.log_scale - USUAL.log_scale) < 0.3
    assert fit_confidence([CandidateList(np.zeros(1), False)]) is None


def test_what_a_version_stores_comes_back():
    assert ListConfidence.from_config(TRUE.to_config()) == TRUE
    assert ListConfidence.from_config(None) is None


def test_isomers_are_told_by_their_mass():
    assert have_one_formula([180.04226, 180.04226 + 1e-9])
    assert not have_one_formula([180.04226, 180.0436])
