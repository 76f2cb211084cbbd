import sys

import numpy as np
import pytest

from team5.errors import DataError, MissingExtraError
from team5.evaluation.mces import distances_at_1, load_mces_distance

CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
ASPIRIN = "CC(=O)OC1=CC=CC=C1C(=O)O"


def by_length(smiles: str, other: str) -> float:
    return abs(len(smiles) - len(other))


def test_the_best_ranked_candidate_counts():
    lists = [["C", "CC", "CCCC"], ["C", "CCC"]]
    found = distances_at_1([[0.1, 0.2, 0.9], [2, 1]], lists, [0, 0], by_length)
    assert found.tolist() == [3.0, 0.0]


def test_ties_for_the_first_place_count_as_their_mean():
    lists = [["C", "CC", "CCCC"]]
    assert distances_at_1([[1, 1, 1]], lists, [0], by_length).tolist() == [4 / 3]
    assert distances_at_1([[0, 1, 1]], lists, [0], by_length).tolist() == [2.0]


@pytest.mark.parametrize("scores", [[1.0], [1.0, np.nan]])
def test_a_candidate_without_a_score_is_refused(scores):
    with pytest.raises(DataError, match="query 0: give each of 2 candidates one score"):
        distances_at_1([scores], [["C", "CC"]], [0], by_length)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "myopic_mces", None)
    with pytest.raises(MissingExtraError, match="needs the extra mces: pip install"):
        load_mces_distance()


def test_distances_are_weights_of_bonds():
    pytest.importorskip("myopic_mces")
    distance = load_mces_distance()
    assert distance(CAFFEINE, CAFFEINE) == 0
    assert distance("CCO", "OCC") == 0
    assert distance("CCO", "CCCO") == 1  # one single bond more
    assert distance("CC=O", "CCO") == 1  # a double bond for a single one
    assert distance(ASPIRIN, CAFFEINE) == distance(CAFFEINE, ASPIRIN) > 15


def test_beyond_the_threshold_a_lower_bound_stands():
    pytest.importorskip("myopic_mces")
    exact = load_mces_distance(-1)(ASPIRIN, CAFFEINE)
    assert 15 < load_mces_distance()(ASPIRIN, CAFFEINE) <= exact
