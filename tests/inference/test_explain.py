"""What is said of a peak, held against RDKit's own atoms, bonds and masses."""

import itertools
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rdkit import Chem

from team5.chemistry.adducts import parse_adduct
from team5.constants import ELECTRON_MASS
from team5.data.preprocess import (
    BARE_SHIFTS,
    HYDROGEN_SHIFTS,
    N_OUTCOMES,
    ion_offsets,
    outcome_offsets,
)
from team5.inference.explain import explain_peaks, predict_spectrum, strongest
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


def possible_ions(fragments, adduct, offsets):
    """m/z and formula of each ion, by outcome, that takes no atom its fragment does not have."""
    elements, of_fragments = fragments.counts_of(range(len(fragments)))
    for fragment, k in itertools.product(range(len(fragments)), range(N_OUTCOMES)):
        counts = Counter(dict(zip(elements, of_fragments[fragment].tolist(), strict=True)))
        counts["H"] += HYDROGEN_SHIFTS[k]
        if k >= len(BARE_SHIFTS):
            lost = {symbol: min(count, 0) for symbol, count in adduct.composition}
            if np.isnan(offsets[k]) or any(counts[s] + n < 0 for s, n in lost.items()):
                continue
            counts.update(dict(adduct.composition))
        if counts["H"] >= 0:
            symbols = sorted(symbol for symbol in counts if counts[symbol])
            text = "".join(f"{s}{counts[s]} " for s in symbols)
            yield fragment * N_OUTCOMES + k, fragments.masses[fragment] + offsets[k], text


def spaced(formula):
    """``C6H7O+`` as ``C6 H7 O1 ``."""
    parts = sorted(re.findall(r"([A-Z][a-z]?)(\d*)", formula))
    return "".join(f"{symbol}{count or 1} " for symbol, count in parts)


@pytest.mark.parametrize("is_uniform", [True, False])
@pytest.mark.parametrize("adduct", ["[M+H]+", "[M+NH4]+", "[M-2H2O+H]+", "[M-CO2-H]-"])
def test_a_predicted_peak_is_the_sum_of_the_ions_the_structure_has_atoms_for(
    model, adduct, is_uniform
):
    tokens = model.tokenizer.encode("NCC(O)C(=O)OCCO")
    pair = SimpleNamespace(adduct=parse_adduct(adduct))
    pair.offsets = outcome_offsets(*ion_offsets(pair.adduct))
    n_outcomes = len(tokens.fragments) * N_OUTCOMES + 1
    drawn = np.random.default_rng(4).dirichlet(np.ones(n_outcomes))
    p = np.full(n_outcomes, 2.0**-10) if is_uniform else drawn
    # Ions with fewer hydrogens than none, or of a group there is none of, the network leaves out.
    shifts = tokens.fragments.hydrogens[:, None] + HYDROGEN_SHIFTS
    p[:-1][((shifts < 0) | np.isnan(pair.offsets)).ravel()] = 0

    peaks = []  # [m/z of the lightest ion, sum, [(probability, formula)]]
    last = -np.inf
    ions = possible_ions(tokens.fragments, pair.adduct, pair.offsets)
    for outcome, mz, text in sorted(ions, key=lambda ion: ion[1]):
        if mz - last > 1e-4:
            peaks.append([mz, 0.0, []])
        peaks[-1][1] += p[outcome]
        peaks[-1][2].append((p[outcome], text))
        last = mz
    highest = max(total for _, total, _ in peaks)
    least = min(total for _, total, _ in peaks) * 3 / highest  # just reached where uniform
    high = [peak for peak in peaks if peak[1] / highest >= least]
    assert len(high) > 20
    kept = sorted(sorted(high, key=lambda peak: -peak[1])[: len(high) - 8])  # the first of equals

    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    options = {"min_intensity": least, "max_peaks": len(kept)}
    predicted = predict_spectrum(tokens, pair, log_p, **options)
    assert predicted.mzs == pytest.approx([mz for mz, _, _ in kept])
    assert predicted.intensities == pytest.approx([total / highest for _, total, _ in kept])
    for formula, (_, _, members) in zip(predicted.formulas, kept, strict=True):
        assert spaced(formula[:-1]) == max(members)[1] or is_uniform
    without = predict_spectrum(tokens, pair, log_p, with_formulas=False, **options)
    assert without.mzs.tolist() == predicted.mzs.tolist()
    assert without.formulas == ()


def test_where_no_ion_is_possible_no_peak_is_predicted(model):
    tokens = model.tokenizer.encode("CCO")
    pair = SimpleNamespace(adduct=parse_adduct("[M+H]+"))
    pair.offsets = outcome_offsets(*ion_offsets(pair.adduct))
    log_p = np.full(len(tokens.fragments) * N_OUTCOMES + 1, -np.inf)
    predicted = predict_spectrum(tokens, pair, log_p)
    assert (len(predicted.mzs), len(predicted.intensities), predicted.formulas) == (0, 0, ())


def test_of_several_spectra_each_ion_stands_once_at_its_strongest_the_first_of_equals(model):
    mzs, intensities = [110.0713, 138.0662], [1.0, 0.5]
    ion, other = infer(model, None, SMILES["caffeine"], mzs, intensities).peaks
    weaker = replace(other, intensity=0.25)
    same = replace(ion, mz=110.0712)
    assert strongest([weaker, ion, same, other]) == (ion, other)
