"""The confidence of candidates, as `infer` and a search give it."""

import pytest

from team5.evaluation.confidence import USUAL
from team5.inference.familiarity import seen_with_parents
from team5.inference.inference import infer

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
ISOMERS = ["CCCN1C2=C(NC=N2)C(=O)NC1=O", "CCN1C2=C(N(C)C=N2)C(=O)NC1=O"]
PEAKS = [138.0662, 110.0713, 83.0604], [100.0, 60.0, 15.0]


@pytest.fixture
def sure(model):
    before, model.confidence = model.confidence, USUAL
    yield model
    model.confidence = before


def test_confidences_add_up_to_one_and_follow_the_ranks(sure):
    matches = infer(sure, None, [*ISOMERS, CAFFEINE], *PEAKS, precursor_mz=195.0877)
    ranked = matches.ranked()
    assert [match.rank for match in ranked] == [1, 2, 3]
    assert sum(match.confidence for match in matches) == pytest.approx(1)
    confidences = [match.confidence for match in ranked]
    assert confidences == sorted(confidences, reverse=True)


def test_where_no_candidate_has_the_precursor_none_is_the_right_one(sure):
    matches = infer(sure, None, [*ISOMERS, CAFFEINE], *PEAKS, precursor_mz=300.1)
    assert sum(match.confidence for match in matches) < 1e-4


def test_the_only_candidate_of_the_mass_is_not_sure_for_want_of_others(sure):
    first, other = infer(sure, None, [CAFFEINE, "CCO"], *PEAKS, precursor_mz=195.0877)
    assert (first.rank, first.confidence, other.confidence) == (1, first.probability, 0)


def test_a_lone_pair_keeps_its_probability_and_has_no_confidence(sure):
    assert infer(sure, None, CAFFEINE, *PEAKS).confidence is None


def test_a_version_without_it_says_so_and_invents_no_number(model):
    before, model.confidence = model.confidence, None
    try:
        matches = infer(model, None, [*ISOMERS, CAFFEINE], *PEAKS)
    finally:
        model.confidence = before
    assert {match.confidence for match in matches} == {None}
    assert all("confidence=true" in match.notes[-1] for match in matches)


@pytest.mark.parametrize(("smiles", "mzs"), [("CS(C)=O", [37.333]), ("[Pd]", [30.1, 44.2])])
def test_where_nothing_is_explained_there_is_no_match(model, smiles, mzs):
    match = infer(model, None, smiles, mzs, [1.0] * len(mzs))
    assert match.explained_intensity == 0
    assert not match.label
    assert match.probability <= 0.25


@pytest.mark.parametrize(
    ("smiles", "given", "said"),
    [
        ("[Pd]", {}, "Pd: the version has learned from next to no such structure"),
        ("C[N+](C)(C)CCO", {"adduct": "[M+H]+"}, "usually flies as [M]+"),
        (CAFFEINE, {"adduct": "[M+K]+"}, "few spectra of this adduct"),
        ("CO", {}, "exact mass 32 u"),
        (CAFFEINE, {"instrument_type": "LC-ESI-IT"}, "few spectra of such instruments"),
    ],
)
def test_what_the_version_has_seen_little_of_is_said(model, smiles, given, said):
    notes = infer(model, None, smiles, *PEAKS, **given).notes
    assert any(said in note for note in notes)


OWN = {
    "adducts": {"[M+Na]+": 5}, "instruments": {"ion_trap": 5}, "elements": {"C": 50, "H": 50},
    "lightest": 300.0, "heaviest": 310.0,
}  # fmt: skip


def test_what_a_parent_has_seen_is_no_news_to_the_fine_tuned_version(model, monkeypatch):
    given = {"adduct": "[M+H]+", "instrument_type": "LC-ESI-QTOF"}
    monkeypatch.setattr(model, "coverages", seen_with_parents({"data": OWN}))
    alone = infer(model, None, CAFFEINE, *PEAKS, **given).notes
    assert [note.split(":")[0] for note in alone] == [
        "N and O", "[M+H]+", "exact mass 194 u", "LC-ESI-QTOF",
    ]  # fmt: skip
    config = {"data": OWN, "seen_before": seen_with_parents({})}
    monkeypatch.setattr(model, "coverages", seen_with_parents(config))
    assert infer(model, None, CAFFEINE, *PEAKS, **given).notes == ()
    assert "89 to 928 u" in infer(model, None, "CO", *PEAKS, **given).notes[0]


def test_of_what_is_usual_nothing_is_said(model):
    given = {"adduct": "[M+H]+", "instrument_type": "LC-ESI-QTOF", "precursor_mz": 195.0877}
    assert infer(model, None, CAFFEINE, *PEAKS, **given).notes == ()
