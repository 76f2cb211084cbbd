import pytest
from rdkit import Chem

from team5.chemistry.isomers import make_isomers
from team5.chemistry.molecule import parse_smiles
from tests.chemistry.structures import SMILES


@pytest.mark.parametrize("name", sorted(SMILES))
def test_isomers_have_the_formula_and_are_other_structures(name):
    molecule = parse_smiles(SMILES[name])
    isomers = [parse_smiles(smiles) for smiles in make_isomers(molecule, 8)]
    assert len(isomers) <= 8
    for isomer in isomers:
        assert (isomer.formula, isomer.charge) == (molecule.formula, molecule.charge)
        assert isomer.inchikey14 != molecule.inchikey14
    assert len({isomer.smiles for isomer in isomers}) == len(isomers)


def test_a_structure_has_the_same_isomers_however_it_is_written():
    molecule = parse_smiles("CC(=O)Oc1ccccc1C(=O)O")
    again = parse_smiles("OC(=O)c1ccccc1OC(C)=O")
    assert make_isomers(molecule, 8) == make_isomers(again, 8)
    assert make_isomers(molecule, 8) != make_isomers(molecule, 8, seed=1)
    assert make_isomers(molecule, 3) == make_isomers(molecule, 8)[:3]


def test_isomers_are_neighbours_of_the_structure():
    aspirin = parse_smiles("CC(=O)Oc1ccccc1C(=O)O")
    isomers = make_isomers(aspirin, 16)
    assert len(isomers) == 16
    ring = Chem.MolFromSmarts("c1ccccc1")
    n_with_ring = sum(Chem.MolFromSmiles(smiles).HasSubstructMatch(ring) for smiles in isomers)
    assert n_with_ring > 8


@pytest.mark.parametrize(("smiles", "n"), [("C", 0), ("CC", 0), ("CCO", 1), ("c1ccccc1", 0)])
def test_small_structures_have_few(smiles, n):
    assert len(make_isomers(parse_smiles(smiles), 8)) == n
