"""What is said of a peak, held against RDKit's own atoms, bonds and masses."""

import itertools
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from rdkit import Chem

from team5.chemistry.adducts import parse_adduct
from team5.constants import ELECTRON_MASS
from team5.data.preprocess import N_OUTCOMES
from team5.inference.explain import explain_peaks
from team5.inference.inference import infer
from tests.chemistry.structures import SMILES

NEUTRAL = ("aspirin", "caffeine", "halogens", "spiro")
ADDUCTS = ("[M+H]+", "[M-H]-", "[M+Na]+", "[M+NH4]+", "[M+HCOO]-")
CASES = [*itertools.product(NEUTRAL, ADDUCTS), ("cation", None)]


def ion_mz(formula: str) -> float:
    """m/z of ``C6H7O+`` from RDKit's periodic table."""
    table = Chem.GetPeriodicTable()
    atoms, sign = formula[:-1], formula[-1]
    mass = sum(
        table.GetMostCommonIsotopeMass(symbol) * int(count or 1)
        for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", atoms)
    )
    return mass - ELECTRON_MASS if sign == "+" else mass + ELECTRON_MASS


@pytest.mark.parametrize(("name", "adduct"), CASES)
def test_every_explained_peak_is_a_piece_of_the_structure_with_its_mass(model, name, adduct):
    smiles = SMILES[name]
    predicted = infer(model, None, smiles, adduct=adduct)
    random = np.random.default_rng(0)
    mzs = np.array(predicted.mzs) * (1 + random.normal(0, 2e-6, len(predicted.mzs)))
    match = infer(model, None, smiles, mzs, predicted.intensities, adduct=predicted.adduct)
    assert match.peaks
    mol = Chem.MolFromSmiles(smiles)
    peaks = (mzs, predicted.intensities)
    ranked, _ = infer(model, None, [smiles, smiles], *peaks, adduct=predicted.adduct)
    assert [peak.formula for peak in ranked.peaks] == [peak.formula for peak in match.peaks]
    for peak in match.peaks:
        assert peak.fragment_mz == pytest.approx(ion_mz(peak.formula), abs=1e-4)
        assert peak.error_ppm == pytest.approx((peak.mz / peak.fragment_mz - 1) * 1e6, abs=1e-3)
        kept = set(peak.atoms)
        heavy = Counter(mol.GetAtomWithIdx(i).GetSymbol() for i in kept)
        said = {s: int(n or 1) for s, n in re.findall(r"([A-Z][a-z]?)(\d*)", peak.formula)}
        gained = {s for s in said if said[s] > heavy[s]} - {"H"}
        # What the fragment has beyond its atoms is what the adduct brought.
        assert gained <= {"Na", "N", "C", "O"}
        if not gained:
            assert all(heavy[s] == n for s, n in said.items() if s != "H")
        cut = {
            frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
            for bond in mol.GetBonds()
            if (bond.GetBeginAtomIdx() in kept) != (bond.GetEndAtomIdx() in kept)
        }
        assert {frozenset(bond) for bond in peak.broken_bonds} == cut


def test_a_peak_is_given_to_the_most_probable_of_the_ions_it_may_be(model):
    tokens = model.tokenizer.encode(SMILES["caffeine"])
    random = np.random.default_rng(3)
    ions = [[0, 1, 2], [3], [4, 5]]  # that each of three peaks may be, as outcomes
    n_outcomes = len(tokens.fragments) * N_OUTCOMES + 1
    for _ in range(20):
        log_p = np.log(random.dirichlet(np.ones(n_outcomes)))
        peaks = np.repeat(np.arange(3), [len(outcomes) for outcomes in ions])
        outcomes = np.concatenate(ions)
        order = random.permutation(len(peaks))
        pair = SimpleNamespace(
            match_peaks=peaks[order],
            match_outcomes=outcomes[order],
            peaks=SimpleNamespace(mzs=np.array([50.0, 60.0, 70.0]), intensities=np.ones(3)),
            offsets=np.zeros(N_OUTCOMES),
            adduct=parse_adduct("[M+H]+"),
        )
        explained = explain_peaks(tokens, pair, log_p)
        assert [peak.probability for peak in explained] == pytest.approx(
            [np.exp(log_p[outcomes].max()) for outcomes in ions]
        )
