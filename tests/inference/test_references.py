import copy
import dataclasses

import numpy as np
import pytest
import torch

from team5.assessment.queries import Query
from team5.assessment.scoring import score_queries
from team5.chemistry.isomers import N_ISOMERS, make_isomers
from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError, MoleculeError
from team5.inference.inference import infer
from team5.inference.references import (
    MAX_WITH_ISOMERS,
    Comparison,
    Neighbours,
    add_references,
    choose_references,
)
from team5.models.heads import MAX_REFERENCES, MIN_REFERENCES, REFERENCE_FEATURES

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
PEAKS = [195.0877, 138.0662, 110.0713], [100.0, 60.0, 15.0]
OTHERS = make_isomers(parse_smiles(CAFFEINE), 40, seed=7)


@pytest.fixture(scope="module")
def comparing(model):
    """The model with heads that go by the share of references that a structure beats."""
    changed = copy.deepcopy(model)
    beaten = REFERENCE_FEATURES.index("share beaten")
    for head, weight in ((changed.isomer_head, 2.0), (changed.candidate_head, 4.0)):
        head.weight[beaten] = weight
        head.bias.fill_(-weight / 2)
    return changed


def compared_by_hand(keys, masses, given, index):
    """The next others of the mass by key, each once, from the structure's own key on."""
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    near = [
        key
        for key, i in sorted(first.items())
        if key != keys[index] and abs(masses[i] / masses[index] - 1) <= 1e-5
    ]
    following = [key for key in near if key > keys[index]] + near
    n_fitting = sum(key in given for key in near)
    if len(near) < MIN_REFERENCES:
        return Comparison(n_fitting=n_fitting)
    chosen = tuple(first[key] for key in following[: min(len(near), MAX_REFERENCES)])
    return Comparison("candidates", chosen, n_fitting)


def test_structures_are_compared_with_the_next_of_their_mass_and_counted_where_these_are_too_few():
    random = np.random.default_rng(0)
    kinds, n_references = set(), set()
    for n in (20, 40, 80, 120):
        keys = [f"K{number:02}" for number in random.integers(0, 99, n)]  # some stand there twice
        masses = random.choice([200.0, 200.0015, 200.0025, 200.0045, 300.0], n)
        given = set(keys[n // 2 :])
        neighbours = Neighbours(keys, masses, reference_keys=given)
        comparisons = [neighbours.of(i) for i in range(n)]
        assert comparisons == [compared_by_hand(keys, masses, given, i) for i in range(n)]
        assert neighbours.n_without(n // 2) == sum(c.kind is None for c in comparisons[: n // 2])
        kinds |= {c.kind for c in comparisons}
        n_references |= {len(c.indices) for c in comparisons}
    assert kinds == {None, "candidates"}
    assert {0, MIN_REFERENCES, MAX_REFERENCES} <= n_references


def shares_beaten(matches, head_weight: float) -> list[float]:
    return [
        float(torch.logit(torch.tensor(m.probability, dtype=torch.float64))) / head_weight + 0.5
        for m in matches
    ]


def test_a_list_of_one_mass_is_compared_with_itself(comparing):
    matches = infer(comparing, None, [CAFFEINE, *OTHERS[:10]], *PEAKS)
    assert {(m.references, m.n_references) for m in matches} == {("candidates", 10)}
    scores = np.array([m.score for m in matches])
    expected = [
        (np.sum(scores < s) + 0.5 * (np.sum(scores == s) - 1)) / (len(scores) - 1) for s in scores
    ]
    assert shares_beaten(matches, 4.0) == pytest.approx(expected, abs=1e-5)


def test_a_structure_given_alone_is_compared_with_isomers_of_it(comparing):
    match = infer(comparing, None, CAFFEINE, *PEAKS)
    assert (match.references, match.n_references) == ("isomers", N_ISOMERS)
    isomers = make_isomers(parse_smiles(CAFFEINE))
    scores = np.array([m.score for m in infer(comparing, None, isomers, *PEAKS)])
    share = np.mean((scores < match.score) + 0.5 * (scores == match.score))
    assert shares_beaten([match], 2.0) == pytest.approx([share], abs=1e-5)


def test_references_make_a_structure_given_alone_one_of_many(comparing):
    other_mass = ["CCO", "c1ccccc1"]
    match = infer(comparing, None, CAFFEINE, *PEAKS, references=[*OTHERS[:9], *other_mass])
    assert (match.references, match.n_references) == ("candidates", 9)
    assert not any("reference" in note for note in match.notes)
    few = infer(comparing, None, CAFFEINE, *PEAKS, references=OTHERS[: MIN_REFERENCES - 1])
    alone = infer(comparing, None, CAFFEINE, *PEAKS)
    assert dataclasses.replace(few, notes=alone.notes) == alone


@pytest.mark.parametrize(
    ("asked", "references", "counts", "instead"),
    [
        (CAFFEINE, OTHERS[:5], "5 references given, 5", "and 8 are needed: isomers"),
        (CAFFEINE, ["CCO"], "1 reference given, none", "and 8 are needed: isomers"),
        # Itself, and what stands there twice.
        (CAFFEINE, [CAFFEINE, "CCO", *OTHERS[:3], *OTHERS[:3]], "8 references given, 3",
         "and 8 are needed: isomers"),
        ("C", ["CCO"], "1 reference given, none", "and 8 are needed: nothing was used instead"),
        ([CAFFEINE, *OTHERS[:2]], OTHERS[1:6], "5 references given, 5",
         "and 8 are needed with the other candidates: isomers"),
        ([CAFFEINE, *OTHERS[:8]], ["CCO", "CCN"], "2 references given, none",
         ": the other candidates were used"),
    ],
)  # fmt: skip
def test_references_that_are_not_used_are_counted_with_what_was_used_instead(
    comparing, asked, references, counts, instead
):
    found = infer(comparing, None, asked, *PEAKS, references=references)
    (note,) = [
        note
        for note in (found[0] if isinstance(found, list) else found).notes
        if "reference" in note
    ]
    assert note.startswith(f"of {counts} can be compared with (other molecules of its mass")
    end = instead.replace("isomers", "isomers made from it were used instead")
    assert note.endswith(f"that form the ion){'' if end[0] == ':' else ' '}{end}")


def test_references_that_are_used_need_no_note(comparing):
    asked = [CAFFEINE, *OTHERS[:4]]
    for found in infer(comparing, None, asked, *PEAKS, references=OTHERS[4:8]):
        assert (found.references, found.n_references) == ("candidates", 8)
        assert found.notes[:1] == ("adduct [M+H]+ assumed",)
        assert not any("reference" in note for note in found.notes)


def test_a_structure_is_no_reference_of_itself_however_it_is_written(comparing):
    itself = ["CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "O=c1n(C)c(=O)n(C)c2ncn(C)c12"]
    match = infer(comparing, None, CAFFEINE, *PEAKS, references=[*itself, *OTHERS[:8], OTHERS[0]])
    assert match.n_references == 8


def test_the_order_of_candidates_and_how_many_there_are_beyond_a_bound_change_little(comparing):
    many = [CAFFEINE, *OTHERS]
    assert len(many) > MAX_REFERENCES + 1
    matches = infer(comparing, None, many, *PEAKS)
    again = infer(comparing, None, many[::-1], *PEAKS)
    assert {m.n_references for m in matches} == {MAX_REFERENCES}
    assert [m.probability for m in again[::-1]] == pytest.approx([m.probability for m in matches])


def test_several_spectra_are_compared_one_by_one_and_judged_together(comparing):
    spectra = [Spectrum(*PEAKS), Spectrum([195.0877, 42.034], [1.0, 0.2])]
    both = infer(comparing, None, CAFFEINE, spectra=spectra)
    single = [infer(comparing, None, CAFFEINE, spectra=[s]) for s in spectra]
    logit = np.mean([np.log(m.probability / (1 - m.probability)) for m in single])
    assert both.probability == pytest.approx(1 / (1 + np.exp(-logit)))


def test_peaks_that_nothing_can_give_make_no_match_whatever_it_beats(comparing):
    match = infer(comparing, None, "C1=CC=CC=C1", [100, 200, 300], [0.5, 0.7, 0.9])
    assert match.probability < 1e-3


def test_a_version_that_does_not_compare_says_so_where_references_are_given(model):
    assert infer(model, None, CAFFEINE, *PEAKS).references is None
    with pytest.raises(ConfigError, match=r"v9\.9 does not compare"):
        infer(model, None, CAFFEINE, *PEAKS, references=OTHERS)


def test_references_that_are_none_are_named(comparing):
    with pytest.raises(MoleculeError, match="reference 2 of 2"):
        infer(comparing, None, CAFFEINE, *PEAKS, references=["CCO", "C1CC"])
    with pytest.raises(ConfigError, match="references= takes a list"):
        infer(comparing, None, CAFFEINE, *PEAKS, references="CCO")
    with pytest.raises(ConfigError, match="references= is for matches"):
        infer(comparing, None, CAFFEINE, references=OTHERS)


def test_isomers_are_not_made_for_a_long_list_of_different_masses(comparing):
    chains = [parse_smiles("C" * n + "O") for n in range(4, 40)]
    scored, comparisons = add_references(comparing, chains)
    assert len(scored) == len(chains)
    assert {comparison.kind for comparison in comparisons.values()} == {None}
    for n, n_with in ((MAX_WITH_ISOMERS, MAX_WITH_ISOMERS), (MAX_WITH_ISOMERS + 1, 0)):
        assert choose_references(comparing, chains[:n])[2] == tuple(range(n_with))
    assert choose_references(comparing, chains[:1], chains[1:])[2] == (0,)  # references get none


def test_a_version_fitted_beside_isomers_alone_makes_them_for_every_structure(model, comparing):
    isomers_alone = copy.deepcopy(model)
    isomers_alone.isomer_head = comparing.isomer_head
    asked = [parse_smiles(smiles) for smiles in OTHERS[:9]]
    assert choose_references(comparing, asked)[2] == ()
    assert choose_references(isomers_alone, asked)[2] == tuple(range(9))


def test_in_figures_truth_and_decoy_are_no_references_of_each_other(comparing):
    candidates = (CAFFEINE, *OTHERS[:22])
    spectrum = Spectrum(*PEAKS, adduct="[M+H]+", identifier="one")
    query = Query(spectrum, "RYYVLZVUVIJVGH", candidates, 0, np.ones(23, dtype=bool))
    (scored,) = score_queries(comparing, [query])
    judged = [0, scored.decoy]
    others = [c for i, c in enumerate(candidates) if i not in judged]
    for place, i in enumerate(judged):
        match = infer(comparing, None, candidates[i], spectra=[spectrum], references=others)
        assert match.n_references == 21
        beside = scored.probabilities_with_references["model"][place]
        assert beside == pytest.approx(match.probability, abs=1e-5)
        alone = infer(comparing, None, candidates[i], spectra=[spectrum])
        assert scored.probabilities["model"][place] == pytest.approx(alone.probability, abs=1e-5)
    # One fewer, and there are not enough to speak of many.
    short = Query(spectrum, "RYYVLZVUVIJVGH", candidates[:21], 0, np.ones(21, dtype=bool))
    (scored,) = score_queries(comparing, [short])
    assert scored.probabilities_with_references == {}
