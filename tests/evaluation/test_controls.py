import numpy as np
import pytest

from team5.errors import SpectrumError
from team5.evaluation.controls import bond_breaking_score, mass_error_scores
from team5.evaluation.retrieval import reciprocal_ranks


def test_mass_error_ranks_by_distance_and_ties_within_rounding():
    scores = mass_error_scores([195.0877, 195.0865, 195.08771, 195.0899], 195.0877)

    assert scores == pytest.approx([0.0, -0.0012, 0.0, -0.0022])
    # The two nearest share the first two ranks; the farthest is fourth.
    assert reciprocal_ranks([scores, scores], [0, 3]) == pytest.approx([(1 + 1 / 2) / 2, 1 / 4])


def test_last_bits_of_a_mass_part_no_ties_at_the_edge_of_rounding():
    # Half way between two roundings: 0.00005 from the measured value, give or take the last bits.
    calculated = 195.08765 + np.array([-3e-14, 0.0, 3e-14])

    assert len(set(mass_error_scores(calculated, 195.0877).tolist())) == 1


def test_without_a_measured_precursor_all_candidates_are_equal():
    assert mass_error_scores([100.0, 200.0], None).tolist() == [0.0, 0.0]


def test_bond_breaking_score_by_hand():
    # The first peak costs nothing, the second 3 at the cheapest, the third is not explained.
    worth = np.array([50.0, 100.0, 120.0]) ** 1.84 * np.array([1.0, 0.5, 0.2]) ** 0.59
    expected = (worth[0] + worth[1] / 4**0.47) / worth.sum()

    score = bond_breaking_score([50, 100, 120], [1.0, 0.5, 0.2], [1, 0, 1], [8.0, 0.0, 3.0])
    assert score == pytest.approx(expected, abs=1e-9)


def test_bond_breaking_score_is_one_for_free_and_zero_for_nothing():
    assert bond_breaking_score([50.0, 60.0], [1.0, 2.0], [0, 1], [0.0, 0.0]) == 1.0
    assert bond_breaking_score([50.0, 60.0], [1.0, 2.0], [], []) == 0.0


def test_bond_breaking_score_does_not_depend_on_the_unit_of_intensity():
    peaks, matches = [50.0, 60.0], ([0], [1.5])
    assert bond_breaking_score(peaks, [1, 2], *matches) == bond_breaking_score(
        peaks, [100, 200], *matches
    )


def test_a_spectrum_without_peaks_has_no_score():
    with pytest.raises(SpectrumError, match="at least one peak"):
        bond_breaking_score([], [], [], [])
