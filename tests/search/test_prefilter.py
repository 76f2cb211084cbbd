"""The prefilter: which candidates of a long list are scored at all."""

import numpy as np
import pytest

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.demo import demo_molecules
from team5.data.spectrum import Spectrum
from team5.search.prefilter import MIN_CANDIDATES, promising

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SPECTRUM = Spectrum([121.0284, 139.039, 163.039], [100.0, 35.0, 20.0], adduct="[M+H]+")


@pytest.fixture(scope="module")
def candidates() -> list[Molecule]:
    smiles = [molecule.smiles for molecule in demo_molecules()]
    return [parse_smiles(ASPIRIN), *(parse_smiles(text) for text in smiles)]


def test_a_short_list_is_kept_whole(candidates):
    assert promising(candidates[: MIN_CANDIDATES - 1], SPECTRUM).all()


def test_of_a_long_list_those_go_whose_pieces_explain_little(candidates):
    kept = promising(candidates, SPECTRUM)
    assert kept[0]
    assert 0 < kept.sum() < len(candidates) / 2


def test_the_order_of_a_list_does_not_matter(candidates):
    kept = promising(candidates, SPECTRUM)
    order = np.random.default_rng(0).permutation(len(candidates))
    shuffled = promising([candidates[i] for i in order], SPECTRUM)
    assert (shuffled == kept[order]).all()


def test_peaks_that_tell_nothing_let_all_stay(candidates):
    nothing = Spectrum([50.5, 60.5], [1.0, 1.0], adduct="[M+H]+")
    assert promising(candidates, nothing).all()
