from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors

from team5.chemistry.fragments import (
    MIN_FRAGMENT_MASS,
    Fragments,
    Graph,
    cut_graph,
    enumerate_fragments,
    hill_formulas,
    molecule_graph,
)
from team5.chemistry.molecule import parse_smiles
from team5.errors import MoleculeError
from tests.chemistry.reference_fragments import reference_fragments
from tests.chemistry.structures import SMILES

structures = st.sampled_from(sorted(SMILES))


def masks(fragments: Fragments) -> list[int]:
    return [int(low) | int(high) << 64 for low, high in fragments.masks]


def assert_as_reference(graph: Graph, max_depth: int, max_fragments: int) -> None:
    fragments = cut_graph(graph, max_depth, max_fragments)
    expected = reference_fragments(graph, max_depth, max_fragments)
    assert masks(fragments) == [f.mask for f in expected]
    assert fragments.depths.tolist() == [f.depth for f in expected]
    assert fragments.costs.tolist() == [f.cost for f in expected]
    assert fragments.parents.tolist() == [f.parent for f in expected]
    np.testing.assert_allclose(fragments.masses, [f.mass for f in expected], rtol=0, atol=1e-9)


@settings(max_examples=60)
@given(structures, st.integers(0, 3), st.integers(1, 250), st.randoms(use_true_random=False))
def test_compiled_enumeration_equals_the_plain_one(name, max_depth, max_fragments, random):
    """Atoms in any order: bits move between the two words, and from low to high."""
    molecule = parse_smiles(SMILES[name])
    order = list(range(molecule.n_heavy_atoms))
    random.shuffle(order)
    graph = molecule_graph(replace(molecule, mol=Chem.RenumberAtoms(molecule.mol, order)))
    assert_as_reference(graph, max_depth, max_fragments)


@pytest.mark.parametrize("name", sorted(SMILES))
def test_compiled_enumeration_equals_the_plain_one_at_full_size(name):
    assert_as_reference(molecule_graph(parse_smiles(SMILES[name])), 3, 1_000)


@st.composite
def trees_and_rings(draw) -> Graph:
    """A connected graph no chemist would draw: any bonds, any costs, rings as sets of bonds."""
    n_atoms = draw(st.integers(1, 128))
    bonds = [(draw(st.integers(max(0, i - 3), i - 1)), i) for i in range(1, n_atoms)]
    rings = []
    if n_atoms > 8 and draw(st.booleans()):
        start = draw(st.integers(0, n_atoms - 6))
        closing = (start, start + 5)
        bonds += [closing] + [(start + i, start + i + 1) for i in range(5)]
        bonds = list(dict.fromkeys(bonds))
        walk = [bonds.index((start + i, start + i + 1)) for i in range(5)]
        rings.append((*walk, bonds.index(closing)))
    costs = draw(st.lists(st.sampled_from([0.8, 1.0, 1.5, 2.0]), min_size=len(bonds),
                          max_size=len(bonds)))  # fmt: skip
    return Graph(
        masses=np.full(n_atoms, 14.01565),
        hydrogens=np.full(n_atoms, 2, dtype=np.int32),
        elements=np.full(n_atoms, 6, dtype=np.int32),
        bonds=np.array(bonds, dtype=np.int32).reshape(-1, 2),
        bond_costs=np.array(costs, dtype=np.float32),
        rings=tuple(rings),
    )


@settings(max_examples=40)
@given(trees_and_rings(), st.integers(1, 200))
def test_any_connected_graph_is_cut_as_the_plain_enumeration_cuts_it(graph, max_fragments):
    assert_as_reference(graph, 3, max_fragments)


@pytest.mark.parametrize("name", sorted(SMILES))
def test_every_fragment_is_connected_and_weighs_what_its_atoms_weigh(name):
    molecule = parse_smiles(SMILES[name])
    fragments = enumerate_fragments(molecule, max_fragments=150)
    assert len(set(masks(fragments))) == len(fragments)
    formulas = formulas_of(fragments)
    for i in range(0, len(fragments), 3):
        atoms = fragments.atoms(i)
        part = Chem.RWMol(molecule.mol)
        part.BeginBatchEdit()
        for atom in molecule.mol.GetAtoms():
            if atom.GetIdx() not in atoms:
                part.RemoveAtom(atom.GetIdx())
        part.CommitBatchEdit()
        assert len(Chem.GetMolFrags(part)) == 1
        # The kept atoms' own hydrogens, whatever the cut left of their valence.
        for new, old in zip(part.GetAtoms(), atoms, strict=True):
            new.SetNoImplicit(True)
            new.SetNumExplicitHs(molecule.mol.GetAtomWithIdx(old).GetTotalNumHs())
            new.SetFormalCharge(0)
        part.UpdatePropertyCache(strict=False)
        assert fragments.masses[i] == pytest.approx(Descriptors.ExactMolWt(part), abs=2e-4)
        # RDKit writes isotopes of hydrogen as H, as we do.
        assert formulas[i] == rdMolDescriptors.CalcMolFormula(part)


@pytest.mark.parametrize("name", sorted(SMILES))
def test_parents_come_before_their_fragments_and_hold_all_their_atoms(name):
    fragments = enumerate_fragments(parse_smiles(SMILES[name]), max_fragments=300)
    numbers = masks(fragments)
    assert (fragments.parents[0], fragments.depths[0], fragments.costs[0]) == (0, 0, 0)
    for i in range(1, len(fragments)):
        parent = fragments.parents[i]
        assert parent < i
        assert numbers[i] & ~numbers[parent] == 0
        assert fragments.depths[i] == fragments.depths[parent] + 1
        assert fragments.costs[i] > fragments.costs[parent]
        assert fragments.masses[i] >= MIN_FRAGMENT_MASS


@given(structures, st.integers(1, 400))
def test_a_cap_cuts_the_list_and_changes_nothing_before(name, max_fragments):
    molecule = parse_smiles(SMILES[name])
    capped = enumerate_fragments(molecule, max_fragments=max_fragments)
    full = enumerate_fragments(molecule, max_fragments=500)
    assert len(capped) == min(max_fragments, len(full))
    np.testing.assert_array_equal(capped.masks, full.masks[: len(capped)])


def test_cheapest_parents_are_cut_first():
    """Four depth-1 fragments of a long amine come from C-N bonds, the cheapest to cut."""
    molecule = parse_smiles("CCCCCCNCCCCCC")
    depth_1 = enumerate_fragments(molecule, max_depth=1)
    for more in (1, 5, 10):
        fragments = enumerate_fragments(molecule, max_fragments=len(depth_1) + more)
        found = fragments.parents[len(depth_1) :]
        assert set(fragments.depths[len(depth_1) :].tolist()) == {2}
        assert fragments.costs[found].tolist() == [1.0] * more
    costs = enumerate_fragments(molecule).costs[enumerate_fragments(molecule).depths == 1]
    assert sorted(set(costs.tolist())) == [1.0, 1.5]
    assert costs[0] == 1.5  # found first, cut later


@pytest.mark.parametrize("name", sorted(SMILES))
def test_fragments_come_in_order_of_depth(name):
    fragments = enumerate_fragments(parse_smiles(SMILES[name]))
    assert (np.diff(fragments.depths) >= 0).all()


def test_aspirin_loses_its_acetyl_group_at_the_first_cut():
    fragments = enumerate_fragments(parse_smiles(SMILES["aspirin"]), max_depth=1)
    found = {formula: fragments.cut_bonds(i) for i, formula in enumerate(formulas_of(fragments))}
    assert found["C9H8O4"] == ()
    assert found["C7H5O3"] == ((3, 1),)  # salicylic acid without a hydrogen, at the ester's oxygen
    assert found["C2H3O"] == ((1, 3),)


def test_a_ring_is_opened_by_two_cuts_at_once():
    fragments = enumerate_fragments(parse_smiles("C1CCCCC1"), max_depth=1)
    assert set(formulas_of(fragments)) == {"C6H12", "C5H10", "C4H8", "C3H6"}
    assert set(fragments.costs[1:].tolist()) == {np.float32(2 * 1.5 * 0.8)}


def test_rings_beyond_the_limit_stay_closed():
    fragments = enumerate_fragments(parse_smiles(SMILES["macrocycle_30"]))
    assert len(fragments) == 1


def test_atoms_beyond_the_first_word_are_kept():
    fragments = enumerate_fragments(parse_smiles(SMILES["chain_128_atoms"]), max_depth=1)
    assert fragments.inside.shape == (len(fragments), 128)
    assert fragments.inside[0].all()
    assert fragments.inside.sum(axis=1).max() == 128
    assert fragments.masses[0] == pytest.approx(12 * 127 + 14.00307401 + 257 * 1.00782503, abs=1e-4)
    last_alone = [i for i in range(len(fragments)) if 127 in fragments.atoms(i) and i]
    assert min(len(fragments.atoms(i)) for i in last_alone) == 3  # lighter ones are left out


@pytest.mark.parametrize("extra", [1, 40])
def test_more_atoms_than_two_words_hold_are_an_error(extra):
    with pytest.raises(MoleculeError, match=f"{128 + extra} heavy atoms; at most 128"):
        parse_smiles("C" * (128 + extra))


@pytest.mark.parametrize(
    ("counts", "formula"),
    [
        ({"H": 6, "C": 2, "O": 1}, "C2H6O"),
        ({"H": 1, "Cl": 1}, "ClH"),
        ({"O": 1, "H": 2}, "H2O"),
        ({"C": 1, "H": 0, "N": 1}, "CN"),
        ({}, ""),
    ],
)
def test_formulas_are_written_in_hill_order(counts, formula):
    assert hill_formulas(list(counts), np.array([list(counts.values())])) == [formula]


def formulas_of(fragments):
    return hill_formulas(*fragments.counts_of(range(len(fragments))))
