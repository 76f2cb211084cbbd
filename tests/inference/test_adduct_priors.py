"""Where the adduct is not known, each answer says which one it stands on, and how likely it is."""

import dataclasses
import math
from itertools import pairwise

import pytest

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.context import ADDUCTS
from team5.data.spectrum import Spectrum
from team5.errors import Team5Error
from team5.evaluation.confidence import USUAL
from team5.inference.adduct_priors import adduct_prior
from team5.inference.familiarity import seen_by
from team5.inference.inference import infer

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
CHOLINE = "C[N+](C)(C)CCO"
PEAKS = [110.0713, 138.0662, 195.0877], [60.0, 100.0, 40.0]
SODIATED = parse_adduct("[M+Na]+").precursor_mz(parse_smiles(CAFFEINE).exact_mass)
# Protonated it has the m/z of sodiated caffeine within 6 ppm.
PROTONATED = "COC(=O)C=C(CC(=O)OC)C(=O)OC"
ISOMER = "CCOC(=O)C(=O)CC(=O)C(=O)OCC"


@pytest.fixture
def sure(model):
    before, model.confidence = model.confidence, USUAL
    yield model
    model.confidence, model.coverages = before, type(model).coverages


def prior(model, adduct, hypotheses, smiles=CAFFEINE):
    return adduct_prior(model, parse_smiles(smiles), parse_adduct(adduct), hypotheses)


def test_an_adduct_is_as_likely_as_its_share_of_what_the_version_has_seen(sure):
    sure.coverages = [seen_by({"adducts": {"[M+H]+": 89, "[M+Na]+": 8, "[M-H]-": 500}})]
    assert prior(sure, "[M+H]+", ("[M+H]+", "[M+Na]+", "[M+K]+")) == 90 / 100
    assert prior(sure, "[M+Na]+", ("[M+H]+", "[M+Na]+", "[M+K]+")) == 9 / 100
    assert prior(sure, "[M+K]+", ("[M+H]+", "[M+Na]+", "[M+K]+")) == 1 / 100


def test_priors_of_the_hypotheses_add_up_to_one(sure):
    for smiles in (CAFFEINE, CHOLINE):
        assert sum(prior(sure, name, ADDUCTS, smiles) for name in ADDUCTS) == pytest.approx(1)


def test_a_cation_flies_as_it_is_and_a_neutral_structure_hardly_ever(sure):
    assert prior(sure, "[M]+", ADDUCTS, CHOLINE) > 0.99
    assert prior(sure, "[M]+", ADDUCTS) < 0.001


def test_a_known_adduct_adds_nothing_to_the_score(sure):
    assert prior(sure, "[M+Na]+", ()) == 1
    known = infer(sure, None, CAFFEINE, *PEAKS, adduct="[M+Na]+", precursor_mz=SODIATED)
    told = infer(sure, None, CAFFEINE, *PEAKS, adduct="auto", precursor_mz=SODIATED)
    assert (told.adduct, told.precursor_fits) == ("[M+Na]+", True)
    assert told.probability == known.probability
    share = prior(sure, "[M+Na]+", ADDUCTS)
    assert told.score - known.score == pytest.approx(math.log(share) / math.exp(USUAL.log_scale))
    assert told.score < known.score
    assert told.notes[0] == "adduct [M+Na]+ by the precursor m/z, of 11 considered"


def test_the_prior_counts_in_the_unit_of_the_versions_own_scores(sure):
    sure.confidence = dataclasses.replace(USUAL, log_scale=USUAL.log_scale + 1)
    known = infer(sure, None, CAFFEINE, *PEAKS, adduct="[M+Na]+", precursor_mz=SODIATED)
    told = infer(sure, None, CAFFEINE, *PEAKS, adduct="auto", precursor_mz=SODIATED)
    share = prior(sure, "[M+Na]+", ADDUCTS)
    assert told.score - known.score == pytest.approx(
        math.log(share) / math.exp(USUAL.log_scale + 1)
    )


def test_of_candidates_that_explain_alike_the_frequent_adduct_comes_first(sure):
    other = parse_adduct("[M+H]+").precursor_mz(parse_smiles(PROTONATED).exact_mass)
    assert other == pytest.approx(SODIATED, rel=6e-6)
    nothing = [37.333], [1.0]
    sodiated, protonated = infer(
        sure, None, [CAFFEINE, PROTONATED], *nothing, adduct="auto", precursor_mz=SODIATED
    )
    assert (sodiated.adduct, protonated.adduct) == ("[M+Na]+", "[M+H]+")
    known = [
        infer(sure, None, one.smiles, *nothing, adduct=one.adduct, precursor_mz=SODIATED).score
        for one in (sodiated, protonated)
    ]
    difference = math.log(prior(sure, "[M+H]+", ADDUCTS) / prior(sure, "[M+Na]+", ADDUCTS))
    gained = (protonated.score - known[1]) - (sodiated.score - known[0])
    assert gained == pytest.approx(difference / math.exp(USUAL.log_scale))
    assert gained > 0


@pytest.mark.parametrize("favoured", ["[M+H]+", "[M+Na]+"])
def test_what_a_version_has_seen_most_of_is_ranked_first_where_peaks_tell_little(sure, favoured):
    sure.coverages = [seen_by({"adducts": {favoured: 10**9}})]
    listed = [CAFFEINE, PROTONATED]
    matches = infer(
        sure, None, listed, [50.5, 83.0604], [9, 1], adduct="auto", precursor_mz=SODIATED
    )
    first, last = matches.ranked()
    assert first.adduct == favoured != last.adduct
    assert first.confidence > 0.9


@pytest.mark.parametrize("adduct", ["auto", "[M+H]+,[M+Na]+", ("[M+Na]+", "[M+H]+")])
def test_confidences_add_up_to_one_and_follow_ranks_and_scores(sure, adduct):
    listed = [CAFFEINE, PROTONATED, "CCCN1C2=C(NC=N2)C(=O)NC1=O", ISOMER]
    matches = infer(sure, None, listed, *PEAKS, adduct=adduct, precursor_mz=SODIATED)
    assert {match.adduct for match in matches} == {"[M+H]+", "[M+Na]+"}
    assert sum(match.confidence for match in matches) == pytest.approx(1)
    for better, worse in pairwise(matches.ranked()):
        assert better.confidence >= worse.confidence
        assert better.score >= worse.score


def test_a_structure_that_has_the_precursor_under_none_is_no_match_and_says_so(sure):
    match = infer(sure, None, CAFFEINE, *PEAKS, adduct="[M+H]+,[M+K]+", precursor_mz=SODIATED)
    assert not match.label
    assert match.precursor_fits is False
    said = "precursor m/z 217.0696 is none of [M+H]+, [M+K]+ of C8H10N4O2"
    assert [note for note in match.notes if "precursor" in note] == [said]


def test_each_of_several_spectra_is_of_an_adduct_of_its_own(sure):
    protonated = parse_adduct("[M+H]+").precursor_mz(parse_smiles(CAFFEINE).exact_mass)
    spectra = [Spectrum(*PEAKS, precursor_mz=mz, adduct="auto") for mz in (protonated, SODIATED)]
    match = infer(sure, None, CAFFEINE, spectra=spectra)
    assert match.precursor_fits
    known = [
        Spectrum(*PEAKS, precursor_mz=spectrum.precursor_mz, adduct=name)
        for spectrum, name in zip(spectra, ("[M+H]+", "[M+Na]+"), strict=True)
    ]
    assert match.probability == infer(sure, None, CAFFEINE, spectra=known).probability


@pytest.mark.parametrize(("given", "code", "argument"), [
    ({"adduct": "auto"}, "adduct_needs_precursor", "precursor_mz"),
    ({"adduct": "[M+H]+,[X+Q]+", "precursor_mz": 195.1}, "adduct_invalid", "adduct"),
    ({"adduct": ["[M+H]+", 5], "precursor_mz": 195.1}, "adduct_invalid", "adduct"),
])  # fmt: skip
def test_what_cannot_be_told_is_refused(sure, given, code, argument):
    with pytest.raises(Team5Error) as raised:
        infer(sure, None, CAFFEINE, *PEAKS, **given)
    assert (raised.value.code, raised.value.argument) == (code, argument)
