"""A shortlist says of its candidates what ranking all of them says."""

import dataclasses
from pathlib import Path

import pytest

from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.errors import MoleculeError
from team5.inference.inference import infer, load_model
from team5.search.prefilter import promising
from team5.search.shortlist import shortlist
from tests.library.structures import many_smiles

SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"


@pytest.fixture(scope="module")
def model():
    return load_model("v0.2", root=SHIPPED, device="cpu")


def of_mass(formula: str, n: int) -> list[str]:
    found = [smiles for smiles in many_smiles(4_000) if parse_smiles(smiles).formula == formula]
    assert len(found) >= n
    return found[:n]


def spectrum(**context) -> Spectrum:
    return Spectrum(
        [43.0178, 55.0542, 57.0335, 71.0855, 87.0441, 99.0804],
        [30, 20, 60, 100, 10, 5],
        **context,
    )


def check_same(model, asked, candidates, *, keep=1_000, max_error=None):
    ranked = infer(model, None, candidates, spectra=[asked], max_error=max_error).ranked()
    found = shortlist(
        model, asked, candidates, [None] * len(candidates), keep=keep, max_error=max_error
    )
    expected = ranked[:keep]
    assert len(found.matches) == min(keep, len(candidates))
    assert [candidates[place] for place in found.indices] == [m.smiles for m in found.matches]
    for ours, theirs in zip(found.matches, expected, strict=True):
        if len(candidates) > 1:
            assert ours.confidence == theirs.confidence
        assert dataclasses.replace(ours, rank=theirs.rank, confidence=theirs.confidence) == theirs
    assert [match.rank for match in found.matches] == list(range(1, len(expected) + 1))
    return found


def test_scores_ranks_and_probabilities_are_those_of_ranking_all(model):
    candidates = of_mass("C7H14O2", 20)
    found = check_same(model, spectrum(precursor_mz=131.1067, adduct="[M+H]+"), candidates)
    assert {match.references for match in found.matches} == {"candidates"}


def test_the_first_few_are_the_same_as_of_a_full_ranking(model):
    candidates = of_mass("C7H14O2", 20)
    check_same(model, spectrum(precursor_mz=131.1067, adduct="[M+H]+"), candidates, keep=3)


def test_short_lists_are_compared_with_isomers_as_elsewhere(model):
    candidates = [*of_mass("C7H14O2", 3), *of_mass("C8H17NO", 2)]
    found = check_same(model, spectrum(precursor_mz=131.1067), candidates)
    assert {match.references for match in found.matches} == {"isomers"}


def test_candidates_without_the_precursor_come_last(model):
    candidates = [*of_mass("C8H17NO", 4), *of_mass("C7H14O2", 9)]
    found = check_same(model, spectrum(precursor_mz=131.1067, adduct="[M+H]+"), candidates)
    assert [match.precursor_fits for match in found.matches] == [True] * 9 + [False] * 4


def test_a_structure_given_twice_is_no_reference_of_its_own(model):
    candidates = of_mass("C7H14O2", 10)
    check_same(model, spectrum(adduct="[M+H]+"), [*candidates, candidates[3], candidates[0]])


@pytest.mark.parametrize("n", [1, 9])
def test_what_is_not_sure_enough_abstains_as_elsewhere(model, n):
    check_same(model, spectrum(adduct="[M+H]+"), of_mass("C7H14O2", n), max_error=0.05)


def test_inchikeys_of_a_library_are_taken_as_they_are(model):
    candidates = of_mass("C7H14O2", 12)
    keys = [parse_smiles(smiles).inchikey14 for smiles in candidates]
    asked = spectrum(adduct="[M+H]+")
    computed = shortlist(model, asked, candidates, [None] * 12)
    assert shortlist(model, asked, candidates, keys) == computed
    # Under keys of another order others are neighbours.
    assert shortlist(model, asked, candidates, [f"{i:014}" for i in range(12)]) != computed


def test_candidates_that_cannot_be_used_are_counted(model):
    candidates = ["CCO", "C1CC", "[Na+].[Cl-]", "OCC", "C" * 200]
    found = shortlist(model, spectrum(adduct="[M-H2O+H]+"), [*candidates, "CC"], [None] * 6)
    assert found.n_candidates == 6
    assert found.n_scored == found.n_candidates - found.unusable.total() == len(found.matches)
    assert {match.smiles for match in found.matches} >= {"CCO", "OCC"}
    assert len(found.unusable) == 2


def test_candidates_none_of_which_can_be_used_are_an_error(model):
    with pytest.raises(MoleculeError, match="ring is opened"):
        shortlist(model, spectrum(), ["C1CC", "C" * 200], [None, None])


def test_a_prefilter_leaves_what_is_worth_a_score(model):
    candidates = [smiles for smiles in many_smiles(4_000) if parse_smiles(smiles).charge == 0][:300]
    asked = spectrum(adduct="[M+H]+")
    molecules = [parse_smiles(smiles) for smiles in candidates]
    worth = promising(molecules, asked)
    assert 0 < worth.sum() < len(candidates)
    chosen = [smiles for smiles, is_worth in zip(candidates, worth, strict=True) if is_worth]
    found = shortlist(model, asked, candidates, [None] * 300, keep=20, prefilter=True)
    expected = shortlist(model, asked, chosen, [None] * len(chosen), keep=20)
    assert found.matches == expected.matches
    assert (found.n_candidates, found.n_scored) == (300, len(chosen))


def test_spectra_of_one_compound_are_judged_together_as_infer_does(model):
    candidates = of_mass("C7H14O2", 9)
    together = [spectrum(adduct="[M+H]+"), spectrum(adduct="[M+H]+", collision_energy="40 eV")]
    found = shortlist(model, together, candidates, [None] * 9)
    expected = infer(model, candidates, spectra=together).ranked()
    assert [match.smiles for match in found.matches] == [match.smiles for match in expected]
    assert [m.confidence for m in found.matches] == pytest.approx([m.confidence for m in expected])
    assert [m.probability for m in found.matches] == pytest.approx(
        [m.probability for m in expected]
    )
