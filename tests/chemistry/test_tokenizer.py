import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from team5.chemistry.fragment_features import FRAGMENT_FEATURES
from team5.chemistry.molecule import parse_smiles
from team5.chemistry.tokenizer import (
    ATOM_VOCABULARY,
    BOND_TYPES,
    BOND_VOCABULARY,
    MoleculeTokenizer,
    TokenizerConfig,
)
from team5.data.demo import demo_molecules
from team5.errors import ConfigError, MoleculeError
from tests.chemistry.structures import SMILES

ASPIRIN = SMILES["aspirin"]
quick = MoleculeTokenizer(TokenizerConfig(max_depth=1, max_fragments=50))


def assert_round_trip(smiles: str) -> None:
    molecule = parse_smiles(smiles)
    decoded = quick.decode(quick.encode(molecule))
    # Text that RDKit itself writes anew: aromatic rings can come out in more than one way.
    assert decoded == Chem.CanonSmiles(molecule.canonical_smiles), smiles


@given(st.sampled_from([entry.smiles for entry in demo_molecules()]))
def test_decoded_tokens_are_the_same_molecule(smiles):
    assert_round_trip(smiles)


@pytest.mark.parametrize("name", sorted(SMILES))
def test_decoded_tokens_of_odd_structures_are_the_same_molecule(name):
    assert_round_trip(SMILES[name])


@pytest.mark.slow
def test_decoded_tokens_of_the_candidate_pool_are_the_same_molecules(shared_data):
    column = pq.read_table(shared_data / "candidate_pool.parquet", columns=["smiles"])["smiles"]
    rows = np.random.default_rng(0).choice(len(column), 2_000, replace=False)
    for row in rows.tolist():
        assert_round_trip(column[row].as_py())


@pytest.mark.parametrize("name", sorted(SMILES))
def test_tokens_lie_within_their_vocabulary(name):
    tokens = quick.encode(SMILES[name])
    assert (tokens.atoms >= 0).all()
    assert (tokens.atoms < list(ATOM_VOCABULARY.values())).all()
    assert (tokens.bonds >= 0).all()
    assert (tokens.bonds < list(BOND_VOCABULARY.values())).all()
    features = tokens.fragment_features()
    assert features.shape == (len(tokens.fragments), len(FRAGMENT_FEATURES))
    assert np.isfinite(features).all()


def test_config_round_trip_through_json():
    tokenizer = MoleculeTokenizer(TokenizerConfig(max_depth=2, max_fragments=77))
    stored = json.loads(json.dumps(tokenizer.to_config()))
    again = MoleculeTokenizer.from_config(stored)
    assert again.config == tokenizer.config
    assert again.to_config() == tokenizer.to_config()
    assert len(again.encode(SMILES["testosterone"]).fragments) == 77


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("atom_vocabulary", {**ATOM_VOCABULARY, "element": 100}),
        ("bond_vocabulary", {"type": 5}),
        ("fragment_features", list(FRAGMENT_FEATURES[::-1])),
        ("atom_vocabulary", None),
    ],
)
def test_a_config_with_another_vocabulary_is_refused(part, value):
    stored = {**MoleculeTokenizer().to_config(), part: value}
    with pytest.raises(ConfigError, match=f"differs in {part}"):
        MoleculeTokenizer.from_config(stored)


def test_one_smiles_is_a_batch_of_one():
    batch = quick(ASPIRIN)
    assert len(batch) == 1
    for name, value in vars(quick([ASPIRIN])).items():
        if name != "tokens":
            torch.testing.assert_close(value, getattr(batch, name))


def test_text_and_parsed_molecules_give_the_same():
    for name, value in vars(quick([parse_smiles(ASPIRIN), "CCO"])).items():
        if name != "tokens":
            torch.testing.assert_close(value, getattr(quick([ASPIRIN, "CCO"]), name))


def test_a_row_of_a_padded_batch_is_the_molecule_alone():
    names = ["methane", "aspirin", "sugars_100_atoms"]
    many = quick([SMILES[name] for name in names])
    for row, name in enumerate(names):
        alone = quick(SMILES[name])
        a = (~alone.atom_padding_mask).sum()
        e = (~alone.bond_padding_mask).sum()
        f = (~alone.fragment_padding_mask).sum()
        assert (many.atom_padding_mask[row] == (torch.arange(100 + 10) >= a)[: many.atoms.shape[1]]
                ).all()  # fmt: skip
        torch.testing.assert_close(many.atoms[row, :a], alone.atoms[0, :a])
        torch.testing.assert_close(many.bonds[row, :e], alone.bonds[0, :e])
        torch.testing.assert_close(many.bond_ends[row, :e], alone.bond_ends[0, :e])
        torch.testing.assert_close(many.inside[row, :f, :a], alone.inside[0, :f, :a])
        torch.testing.assert_close(many.fragment_masses[row, :f], alone.fragment_masses[0, :f])
        assert not many.inside[row, f:].any()
        assert not many.inside[row, :, a:].any()
        assert many.bond_padding_mask[row, e:].all()
        assert many.fragment_padding_mask[row, f:].all()


def test_no_smiles_are_an_error():
    with pytest.raises(MoleculeError, match="no SMILES"):
        quick([])


def test_faulty_smiles_among_many_are_named():
    with pytest.raises(MoleculeError, match=r"'C1CC': .* position 2"):
        quick(["CCO", "C1CC"])


def test_charges_beyond_the_vocabulary_are_named():
    with pytest.raises(MoleculeError, match="an atom of charge 6; at most 4 either way"):
        quick("[W+6]")


def feature(tokens, name: str) -> np.ndarray:
    return tokens.fragment_features()[:, FRAGMENT_FEATURES.index(name)]


@pytest.mark.parametrize("name", ["aspirin", "caffeine", "phosphate", "spiro", "testosterone"])
def test_features_count_what_a_fragment_keeps_and_loses(name):
    tokens = MoleculeTokenizer().encode(SMILES[name])
    fragments = tokens.fragments
    elements = fragments.graph.elements
    inside = fragments.inside.astype(bool)
    carbons = inside[:, elements == 6].sum(axis=1)
    np.testing.assert_allclose(feature(tokens, "kept_6") * 10, carbons, atol=1e-5)
    np.testing.assert_allclose(
        feature(tokens, "lost_6") * 10, (elements == 6).sum() - carbons, atol=1e-5
    )
    np.testing.assert_allclose(feature(tokens, "n_kept") * 20, inside.sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(feature(tokens, "kept_H") * 12, fragments.hydrogens, atol=1e-5)
    np.testing.assert_allclose(feature(tokens, "mass") * 300, fragments.masses, rtol=1e-6)
    cuts = [len(fragments.cut_bonds(i)) for i in range(len(fragments))]
    np.testing.assert_allclose(feature(tokens, "n_cut") * 3, cuts, atol=1e-5)
    kinds = sum(feature(tokens, f"cut_kind_{k}") for k in range(11))
    np.testing.assert_allclose(kinds, cuts)
    depths = sum(d * feature(tokens, f"depth_{d}") for d in range(4))
    np.testing.assert_allclose(depths, fragments.depths)
    n_rings = Chem.GetSSSR(tokens.molecule.mol)
    assert feature(tokens, "n_rings")[0] * 3 == pytest.approx(len(n_rings), abs=1e-5)


def test_how_a_structure_is_written_changes_no_token():
    tokenizer = MoleculeTokenizer()
    shuffle = random.Random(1).shuffle
    for smiles in [*SMILES.values(), *(molecule.smiles for molecule in demo_molecules())]:
        mol = Chem.MolFromSmiles(max(smiles.split("."), key=len))
        order = list(range(mol.GetNumAtoms()))
        shuffle(order)
        other = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
        one, two = tokenizer.encode(Chem.MolToSmiles(mol)), tokenizer.encode(other)
        assert one.molecule.canonical_smiles == two.molecule.canonical_smiles
        for name in ("atoms", "bonds", "bond_ends"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=smiles)
        np.testing.assert_array_equal(one.fragments.masks, two.fragments.masks, err_msg=smiles)
        np.testing.assert_array_equal(one.fragment_features(), two.fragment_features())


def test_dative_bonds_are_told_from_single_ones():
    tokens = MoleculeTokenizer().encode("C[NH2]->[Pt](<-[NH2]C)(Cl)Cl")
    kinds = [BOND_TYPES[kind] for kind in tokens.bonds[:, 0]]
    assert (kinds.count("DATIVE"), kinds.count("SINGLE")) == (2, 4)
