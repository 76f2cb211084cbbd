"""Computed properties of atoms: what a chemist knows of the structure."""

import numpy as np
import pytest
from rdkit import Chem

from team5.chemistry.atom_properties import (
    PROPERTIES,
    atom_properties,
    functional_groups,
    group_members,
)


def column(smiles, name):
    return atom_properties(Chem.MolFromSmiles(smiles))[:, PROPERTIES.index(name)]


def test_oxygen_of_ethanol_is_negative():
    charges = column("CCO", "partial charge")
    assert charges.argmin() == 2
    assert charges[2] < -1  # -0.4 in units of 0.2


@pytest.mark.parametrize(
    ("smiles", "basic"),
    [
        ("CCN", [2]),
        ("CC(=O)NC", []),
        ("Nc1ccccc1", []),
        ("c1ccncc1", [3]),
        ("NC(=N)N", [2]),
        ("CS(=O)(=O)N", []),
    ],
)
def test_basic_atoms(smiles, basic):
    assert np.flatnonzero(column(smiles, "distance to a basic atom") == 0).tolist() == basic


@pytest.mark.parametrize(
    ("smiles", "acidic"), [("CC(=O)O", [3]), ("CCO", []), ("Oc1ccccc1", [0]), ("CS(=O)(=O)N", [4])]
)
def test_acidic_atoms(smiles, acidic):
    assert np.flatnonzero(column(smiles, "distance to an acidic atom") == 0).tolist() == acidic


def test_distances_count_bonds_and_end_at_seven():
    distances = column("CCCCCCCCCCN", "distance to a basic atom") * 3
    assert distances.round().tolist() == [7, 7, 7, 7, 6, 5, 4, 3, 2, 1, 0]


def test_an_atom_is_not_its_own_heteroatom():
    assert (column("CCO", "distance to another heteroatom") * 3).round().tolist() == [2, 1, 7]


def test_what_is_not_defined_is_nan_and_the_rest_is_there():
    properties = atom_properties(Chem.MolFromSmiles("C[Hg]C"))
    assert np.isnan(properties[:, 0]).any()
    assert not np.isnan(properties[:, PROPERTIES.index("atoms within 2 bonds")]).any()


def test_all_properties_are_of_about_unit_size():
    properties = atom_properties(Chem.MolFromSmiles("CN1C=NC2=C1C(=O)N(C(=O)N2C)C"))
    assert properties.shape == (14, len(PROPERTIES))
    assert properties.dtype == np.float32
    assert np.abs(properties).max() < 4


def test_members_of_a_group_are_all_its_atoms():
    groups = list(functional_groups())
    assert len(groups) > 80
    members = group_members(Chem.MolFromSmiles("CC(=O)OC"))
    assert np.flatnonzero(members[:, groups.index("fr_ester")]).tolist() == [0, 1, 2, 3, 4]
    assert not members[:, groups.index("fr_amide")].any()
