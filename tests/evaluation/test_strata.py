import pytest

from team5.errors import ConfigError
from team5.evaluation.strata import (
    COLLISION_ENERGY,
    band_order,
    collision_energy_band,
    n_candidates_band,
    similarity_band,
)


@pytest.mark.parametrize(
    ("n", "band"),
    [(2, "2 to 5"), (5, "2 to 5"), (6, "6 to 20"), (21, "21 to 49"), (50, "50 and more")],
)
def test_lists_fall_into_bands_by_length(n, band):
    assert n_candidates_band(n) == band


@pytest.mark.parametrize(
    ("energy", "band"),
    [(24.9, "low"), (25, "medium"), (49.9, "medium"), (50, "high"), (None, "un")],
)
def test_energies_fall_into_bands(energy, band):
    assert collision_energy_band(energy).startswith(band)


def test_similarities_fall_into_bands():
    assert similarity_band(0.0) == "below 0.35"
    assert similarity_band(0.35) == "0.35 to 0.45"
    assert similarity_band(1.0) == "0.85 and more"


def test_numbers_are_in_order_and_names_by_how_many_there_are():
    sizes = {"unknown": 9, "high, from 50": 1, "low, below 25": 2}
    assert band_order(COLLISION_ENERGY, sizes) == ["low, below 25", "high, from 50", "unknown"]
    assert band_order("adduct", {"[M]+": 1, "[M-H]-": 3, "[M+H]+": 3}) == [
        "[M+H]+",
        "[M-H]-",
        "[M]+",
    ]


def test_a_list_of_one_candidate_has_no_band():
    with pytest.raises(ConfigError, match="1 is below the first band"):
        n_candidates_band(1)
