import pytest

from team5.chemistry.fingerprints import morgan_bits, morgan_counts, nearest_similarity
from team5.chemistry.molecule import parse_smiles


def test_counts_of_a_small_molecule_by_hand():
    # Ethane: two equal carbons, and one environment of radius 1 around both.
    assert sorted(filter(None, morgan_counts(parse_smiles("CC").mol))) == [1, 2]
    assert morgan_counts(parse_smiles("CC").mol).shape == (1024,)


def test_similarity_to_the_nearest_by_hand():
    ethane, propane, water = (morgan_bits(parse_smiles(s).mol) for s in ("CC", "CCC", "O"))
    of_ethane, of_propane = set(ethane.GetOnBits()), set(propane.GetOnBits())
    expected = len(of_ethane & of_propane) / len(of_ethane | of_propane)

    assert nearest_similarity(ethane, [water, propane]) == pytest.approx(expected)
    assert nearest_similarity(ethane, [propane, ethane]) == 1.0
    assert nearest_similarity(ethane, [water]) == 0.0
    assert nearest_similarity(ethane, []) == 0.0
