"""Kinds of fragments: as few as there are to tell apart, and none too few."""

import numpy as np
import pytest
import torch

from team5.chemistry.tokenizer import MoleculeTokenizer, pad_molecules
from team5.models.model import ModelConfig, Team5Model
from team5.models.symmetry import fragment_kinds

SMILES = [
    "c1ccc(cc1)C(c1ccccc1)c1ccccc1",
    "CC(C)(C)c1ccc(O)c(C(C)(C)C)c1",
    "OC[C@H](O)[C@@H](O)CO",
    "C1CC2CCC1CC2",
    "[13CH3]CCC",
    "CCCC",
    "Clc1ccc(cc1)C(c1ccc(Cl)cc1)C(Cl)(Cl)Cl",
    "O=C(O)c1ccccc1-c1c2ccc(=O)cc-2oc2cc(O)ccc12",
    "C",
]


def kinds_of(smiles: str, n_layers: int = 3):
    tokens = MoleculeTokenizer().encode(smiles)
    return tokens, fragment_kinds(tokens, n_layers)


@pytest.mark.parametrize("smiles", SMILES)
def test_the_network_tells_no_two_fragments_of_a_kind_apart(smiles):
    torch.manual_seed(1)
    config = ModelConfig(d_model=32, d_hidden=32, n_layers=3, n_blocks=2, rank=2)
    model = Team5Model(config).eval().requires_grad_(False)
    tokens, kinds = kinds_of(smiles)
    vectors = model.molecule_encoder(pad_molecules([tokens]))[0][0].numpy()
    np.testing.assert_allclose(vectors, vectors[kinds.first][kinds.kind], atol=1e-4)


@pytest.mark.parametrize("smiles", SMILES)
def test_fragments_of_a_kind_have_one_mass_and_one_formula(smiles):
    tokens, kinds = kinds_of(smiles)
    fragments = tokens.fragments
    np.testing.assert_allclose(fragments.masses, fragments.masses[kinds.first][kinds.kind])
    _, counts = fragments.counts_of(range(len(fragments)))
    np.testing.assert_array_equal(counts, counts[kinds.first][kinds.kind])
    np.testing.assert_array_equal(fragments.depths, fragments.depths[kinds.first][kinds.kind])


def test_mirror_images_are_one_kind():
    _, kinds = kinds_of("CCCC")
    # The whole, and propyl from either end; what is smaller is too light.
    assert kinds.kind.tolist() == [0, 1, 1]
    tokens, kinds = kinds_of("c1ccc(cc1)C(c1ccccc1)c1ccccc1")
    assert len(kinds.first) < 0.5 * len(tokens.fragments)


def test_an_isotope_makes_another_kind():
    tokens, kinds = kinds_of("[13CH3]CCC")
    assert len(kinds.first) == len(np.unique(np.round(tokens.fragments.masses, 6)))
