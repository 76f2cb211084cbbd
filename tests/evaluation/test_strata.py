import pytest

from team5.errors import ConfigError
from team5.evaluation.strata import (
    COLLISION_ENERGY,
    N_CANDIDATES,
    SIMILARITY,
    stratum_of,
    stratum_order,
)


@pytest.mark.parametrize(
    ("n", "stratum"),
    [(2, "2 to 5"), (5, "2 to 5"), (6, "6 to 20"), (21, "21 to 49"), (50, "50 or more")],
)
def test_lists_fall_into_strata_by_length(n, stratum):
    assert stratum_of(N_CANDIDATES, n) == stratum


@pytest.mark.parametrize(
    ("energy", "stratum"),
    [(24.9, "low"), (25, "medium"), (49.9, "medium"), (50, "high"), (None, "un")],
)
def test_energies_fall_into_strata(energy, stratum):
    assert stratum_of(COLLISION_ENERGY, energy).startswith(stratum)


def test_similarities_fall_into_strata():
    assert stratum_of(SIMILARITY, 0.0) == "below 0.35"
    assert stratum_of(SIMILARITY, 0.35) == "0.35 to 0.45"
    assert stratum_of(SIMILARITY, 1.0) == "0.85 or more"


def test_numbers_are_in_order_and_names_by_how_many_there_are():
    sizes = {"unknown": 9, "high, from 50": 1, "low, below 25": 2}
    assert stratum_order(COLLISION_ENERGY, sizes) == ["low, below 25", "high, from 50", "unknown"]
    assert stratum_order("adduct", {"[M]+": 1, "[M-H]-": 3, "[M+H]+": 3}) == [
        "[M+H]+",
        "[M-H]-",
        "[M]+",
    ]


def test_a_list_of_one_candidate_has_no_stratum():
    with pytest.raises(ConfigError, match="1 is below the first stratum"):
        stratum_of(N_CANDIDATES, 1)
