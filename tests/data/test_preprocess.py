import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.fragments import enumerate_fragments, hill_formulas
from team5.chemistry.molecule import parse_smiles
from team5.data.preprocess import (
    HYDROGEN_SHIFTS,
    MAX_MODEL_PEAKS,
    N_OUTCOMES,
    ScoreRule,
    ion_offsets,
    match_peaks,
    outcome_offsets,
    select_peaks,
)

ADDUCTS = ["[M+H]+", "[M-H]-", "[M+Na]+", "[M+NH4]+", "[M+K]+", "[M+Cl]-", "[M+HCOO]-",
           "[M-H2O+H]+", "[M]+", "[M+CH3COO]-", "[M+Li]+", "[M-H2O-H]-"]  # fmt: skip
HYDROGEN = 1.00782503190


def naive_matches(mzs, masses, hydrogens, offsets, ppm, floor):
    return {
        (p, f * N_OUTCOMES + k)
        for p, mz in enumerate(mzs)
        for f, mass in enumerate(masses)
        for k, shift in enumerate(HYDROGEN_SHIFTS)
        if hydrogens[f] + shift >= 0
        and not np.isnan(offsets[k])
        and mz - offsets[k] > 0
        and abs(mass - (mz - offsets[k])) <= max(mz * ppm * 1e-6, floor)
    }


@settings(max_examples=50)
@given(st.data(), st.sampled_from(ADDUCTS), st.sampled_from([1.0, 10.0, 500.0]))
def test_matching_equals_a_double_loop(data, adduct, ppm):
    fragments = enumerate_fragments(parse_smiles("CC(=O)Oc1ccccc1C(=O)NCl"), max_fragments=60)
    offsets = outcome_offsets(*ion_offsets(parse_adduct(adduct)))
    # Near ions, where it matters, and anywhere.
    ions = (fragments.masses[:, None] + offsets).ravel()
    ions = ions[np.isfinite(ions) & (ions > 1)]
    near = st.builds(
        lambda ion, off: ion + off, st.sampled_from(ions.tolist()), st.floats(-0.004, 0.004)
    )
    mzs = np.array(sorted(data.draw(st.lists(near | st.floats(0.5, 300), max_size=25))))
    peaks, outcomes = match_peaks(
        mzs, fragments.masses, fragments.hydrogens, offsets, tolerance_ppm=ppm
    )
    found = list(zip(peaks.tolist(), outcomes.tolist(), strict=True))
    assert len(found) == len(set(found))
    naive = naive_matches(mzs, fragments.masses, fragments.hydrogens, offsets, ppm, 0.002)
    # On the very edge of the tolerance the two may round differently.
    edge = {
        (p, o)
        for p, o in naive ^ set(found)
        if abs(
            abs(fragments.masses[o // N_OUTCOMES] + offsets[o % N_OUTCOMES] - mzs[p])
            - max(mzs[p] * ppm * 1e-6, 0.002)
        )
        > 1e-9
    }
    assert not edge


def test_more_matches_than_the_first_buffer_holds_are_all_kept():
    masses, hydrogens = np.full(200, 100.0), np.full(200, 10)
    offsets = outcome_offsets(0.0, None)
    peaks, outcomes = match_peaks(np.full(20, 100.0), masses, hydrogens, offsets)
    assert len(peaks) == 4_000
    assert len(set(zip(peaks.tolist(), outcomes.tolist(), strict=True))) == 4_000


def test_ions_with_fewer_hydrogens_than_none_match_nothing():
    mzs = 100.0 + HYDROGEN * np.arange(-4, 5)
    _, outcomes = match_peaks(
        mzs, np.array([100.0]), np.array([2]), outcome_offsets(0.0, None), tolerance_ppm=1.0
    )
    assert [HYDROGEN_SHIFTS[o] for o in outcomes] == [-2, -1, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("adduct", "precursor_mz"),
    [
        # Caffeine, C8H10N4O2: m/z from the elements' masses, less or more electrons.
        ("[M+H]+", 195.08765),
        ("[M-H]-", 193.07310),
        ("[M+Na]+", 217.06960),
        ("[M+NH4]+", 212.11420),
        ("[M+K]+", 233.04353),
        ("[M+Cl]-", 229.04978),
        ("[M+HCOO]-", 239.07858),
        ("[M-H2O+H]+", 177.07709),
        ("[M]+", 194.07983),
    ],
)
def test_the_whole_molecule_gives_the_precursor(adduct, precursor_mz):
    molecule = parse_smiles("CN1C=NC2=C1C(=O)N(C(=O)N2C)C")
    fragments = enumerate_fragments(molecule)
    parsed = parse_adduct(adduct)
    assert parsed.precursor_mz(molecule.exact_mass) == pytest.approx(precursor_mz, abs=1e-4)
    offsets = outcome_offsets(*ion_offsets(parsed))
    assert np.nanmin(np.abs(fragments.masses[0] + offsets - precursor_mz)) < 1e-4
    _, outcomes = match_peaks(
        np.array([precursor_mz]), fragments.masses, fragments.hydrogens, offsets
    )
    assert 0 in outcomes // N_OUTCOMES


@pytest.mark.parametrize("adduct", ["[M+H]+", "[M-H]-", "[M]+", "[M]-", "[M+2H]2+", "[2M+Na]+"])
def test_without_a_group_its_outcomes_are_not_there(adduct):
    offsets = outcome_offsets(*ion_offsets(parse_adduct(adduct)))
    assert np.isnan(offsets).tolist() == [False] * 9 + [True] * 5
    fragments = enumerate_fragments(parse_smiles("CCOC(C)=O"))
    mzs = np.sort(fragments.masses + 22.9892)
    _, outcomes = match_peaks(mzs, fragments.masses, fragments.hydrogens, offsets)
    assert (outcomes % N_OUTCOMES < 9).all()


def test_a_sodium_that_stays_on_a_fragment_is_matched():
    fragments = enumerate_fragments(parse_smiles("CCOC(=O)c1ccccc1"))
    offsets = outcome_offsets(*ion_offsets(parse_adduct("[M+Na]+")))
    benzoic_acid = 122.03677943 + 22.98976928 - 0.00054858
    _, outcomes = match_peaks(
        np.array([benzoic_acid]), fragments.masses, fragments.hydrogens, offsets
    )
    assert len(outcomes) > 1
    fragment, k = np.divmod(outcomes, N_OUTCOMES)
    symbols, counts = fragments.counts_of(fragment)
    counts[:, 0] += np.array(HYDROGEN_SHIFTS)[k]
    assert set(hill_formulas(symbols, counts)) == {"C7H6O2"}


peak_lists = st.integers(1, 120).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(10, 500), min_size=n, max_size=n, unique=True).map(sorted),
        st.lists(st.floats(1e-4, 1.0), min_size=n, max_size=n),
    )
)


@given(peak_lists, st.floats(20, 450))
def test_what_is_kept_is_strong_enough_ascending_and_weighted_to_one(lists, precursor_mz):
    mzs, intensities = np.array(lists[0]), np.array(lists[1])
    peaks = select_peaks(mzs, intensities, precursor_mz)
    assert 1 <= len(peaks.mzs) <= MAX_MODEL_PEAKS
    assert (np.diff(peaks.mzs) > 0).all()
    assert peaks.weights.sum() == pytest.approx(1)
    assert peaks.intensities.min() >= 0.003
    assert (peaks.impossible_mzs > precursor_mz + 0.5).all()
    below = select_peaks(mzs, intensities, precursor_mz, keep_impossible=False)
    assert (below.mzs <= precursor_mz + 0.5).all()
    assert len(below.impossible_mzs) == 0


@given(peak_lists, st.floats(0.1, 1e6))
def test_the_unit_of_intensity_changes_nothing(lists, unit):
    mzs, intensities = np.array(lists[0]), np.array(lists[1])
    one, other = select_peaks(mzs, intensities, 300.0), select_peaks(mzs, intensities * unit, 300.0)
    assert abs(len(one.mzs) - len(other.mzs)) <= (np.abs(intensities / intensities.max() - 0.003)
                                                  < 1e-9).sum()  # fmt: skip
    if len(one.mzs) == len(other.mzs):
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-6)


def test_the_strongest_peaks_are_kept():
    mzs, intensities = np.arange(50.0, 250.0), np.linspace(0.1, 1.0, 200)
    peaks = select_peaks(mzs, intensities, 300.0)
    np.testing.assert_array_equal(peaks.mzs, mzs[-MAX_MODEL_PEAKS:])


@pytest.mark.parametrize("shift", [1.00335, 1.9958, 1.9970, 1.9980, 2.0067])
def test_isotope_peaks_of_the_precursor_are_left_out(shift):
    mzs = np.array([77.0386, 181.0, 181.0 + shift])
    peaks = select_peaks(mzs, np.array([1.0, 0.5, 0.3]), 181.0)
    assert peaks.mzs.tolist() == [77.0386, 181.0]
    assert len(peaks.impossible_mzs) == 0


def test_a_spectrum_of_nothing_but_isotope_peaks_keeps_them():
    peaks = select_peaks(np.array([182.00335]), np.array([1.0]), 181.0)
    assert peaks.mzs.tolist() == [182.00335]
    assert peaks.impossible_mzs.tolist() == [182.00335]


def test_peaks_above_the_precursor_are_kept_and_named():
    """The guide's own example: benzene with peaks at 100, 200 and 300."""
    peaks = select_peaks(np.array([100.0, 200.0, 300.0]), np.array([0.5, 0.7, 0.9]), 79.0542)
    assert peaks.mzs.tolist() == peaks.impossible_mzs.tolist() == [100.0, 200.0, 300.0]


def test_for_training_there_may_be_no_peak_left():
    peaks = select_peaks(np.array([100.0]), np.array([1.0]), 79.05, keep_impossible=False)
    assert len(peaks.mzs) == len(peaks.weights) == 0


def test_peaks_weigh_as_the_rule_says():
    mzs, intensities = np.array([50.0, 200.0]), np.array([0.25, 1.0])
    first = select_peaks(mzs, intensities, 300.0)
    np.testing.assert_array_equal(first.weights, np.sqrt(intensities) / 1.5)
    other = select_peaks(mzs, intensities, 300.0, rule=ScoreRule(1.0, 0.5))
    np.testing.assert_allclose(other.weights, np.array([1.0, 8.0]) / 9)
