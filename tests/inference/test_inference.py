import copy
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem

from team5.data.spectrum import Spectrum
from team5.errors import AdductError, ConfigError, DeviceError, MoleculeError, SpectrumError
from team5.inference.inference import infer, parse_device
from team5.inference.results import Match, Simulation

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
MZS = [195.0877, 138.0662, 110.0713]
INTENSITIES = [100.0, 60.0, 15.0]


def close(a, b):
    assert a.probability == pytest.approx(b.probability, abs=1e-5)
    assert a.score == pytest.approx(b.score, abs=1e-4)


def test_what_is_given_decides_what_comes_back(model):
    assert isinstance(infer(model, None, CAFFEINE, MZS, INTENSITIES), Match)
    assert isinstance(infer(model, None, CAFFEINE), Simulation)
    ranked = infer(model, None, [ASPIRIN, CAFFEINE], MZS, INTENSITIES)
    assert [match.smiles for match in ranked] == [ASPIRIN, CAFFEINE]
    assert sorted(match.rank for match in ranked) == [1, 2]
    paired = infer(model, None, [ASPIRIN, CAFFEINE], [MZS, MZS], [INTENSITIES, INTENSITIES])
    assert [match.rank for match in paired] == [None, None]
    simulated = infer(model, None, [CAFFEINE, ASPIRIN])
    assert [s.smiles for s in simulated] == [CAFFEINE, ASPIRIN]


def test_ranks_follow_the_score_and_ties_keep_the_order_given(model):
    ranked = infer(model, None, [ASPIRIN, CAFFEINE, CAFFEINE, "CCO"], MZS, INTENSITIES)
    by_rank = sorted(ranked, key=lambda match: match.rank)
    scores = [match.score for match in by_rank]
    assert scores == sorted(scores, reverse=True)
    assert ranked[1].rank < ranked[2].rank


def test_a_candidate_gets_the_same_answer_alone_and_among_others(model):
    alone = infer(model, None, CAFFEINE, MZS, INTENSITIES)
    among = infer(model, None, ["C" * 60, CAFFEINE, "c1ccccc1", ASPIRIN], MZS, INTENSITIES)[1]
    close(alone, among)
    assert [p.formula for p in alone.peaks] == [p.formula for p in among.peaks]


def test_order_and_unit_of_peaks_do_not_matter(model):
    plain = infer(model, None, CAFFEINE, MZS, INTENSITIES)
    shuffled = infer(model, None, CAFFEINE, MZS[::-1], [1e6 * i for i in INTENSITIES[::-1]])
    assert plain == shuffled
    assert plain == infer(model, None, CAFFEINE, np.array(MZS), torch.tensor(INTENSITIES))


def test_explained_peaks_agree_with_rdkit(model):
    match = infer(model, None, CAFFEINE, MZS, INTENSITIES)
    assert [peak.formula for peak in match.peaks] == ["C5H8N3+", "C6H8N3O+", "C8H11N4O2+"]
    assert match.explained_intensity == pytest.approx(1.0)
    mol = Chem.MolFromSmiles(CAFFEINE)
    for peak in match.peaks:
        assert abs(peak.error_ppm) < 10
        for kept, lost in peak.broken_bonds:
            assert kept in peak.atoms
            assert lost not in peak.atoms
            assert mol.GetBondBetweenAtoms(kept, lost) is not None


def test_atoms_are_counted_in_the_smiles_as_typed(model):
    salt = infer(model, None, f"[Na+].{CAFFEINE}", MZS, INTENSITIES)
    plain = infer(model, None, CAFFEINE, MZS, INTENSITIES)
    assert [tuple(i - 1 for i in p.atoms) for p in salt.peaks] == [p.atoms for p in plain.peaks]
    assert any("largest organic component" in note for note in salt.notes)


def test_peaks_above_the_precursor_lower_the_match_and_are_named(model):
    benzene = infer(model, None, "C1=CC=CC=C1", [100, 200, 300], [0.5, 0.7, 0.9])
    assert benzene.probability < 0.01
    assert not benzene.label
    assert benzene.impossible_mzs == (100.0, 200.0, 300.0)
    assert any("above the precursor" in note for note in benzene.notes)


def test_a_precursor_the_structure_cannot_have_does_not_match(model):
    wrong = infer(model, None, CAFFEINE, MZS, INTENSITIES, precursor_mz=217.0696)
    assert wrong.probability < 0.01
    assert any("[M+Na]+" in note for note in wrong.notes)
    right = infer(model, None, CAFFEINE, MZS, INTENSITIES, precursor_mz=195.0877)
    assert right.probability == infer(model, None, CAFFEINE, MZS, INTENSITIES).probability


def test_a_small_error_of_the_precursor_changes_nothing(model):
    answers = {
        infer(model, None, CAFFEINE, MZS, INTENSITIES, precursor_mz=mz).probability
        for mz in (195.0860, 195.0877, 195.0890)
    }
    assert len(answers) == 1


def test_a_permanent_charge_takes_the_molecule_as_it_is(model):
    choline = infer(model, None, "C[N+](C)(C)CCO", [60.081, 104.107], [100, 50])
    assert choline.adduct == "[M]+"
    assert choline.precursor_mz == pytest.approx(104.1070, abs=1e-4)
    assert choline.explained_intensity == pytest.approx(1.0)


def test_stereo_and_ways_of_writing_do_not_matter(model):
    one = infer(model, None, "C[C@@H](N)C(=O)O", [44.05, 90.055], [100, 10])
    two = infer(model, None, "NC(C)C(O)=O", [44.05, 90.055], [100, 10])
    close(one, two)
    assert "stereo is kept in the text and ignored by the score" in one.notes


def test_several_spectra_of_one_compound_are_judged_together(model):
    spectra = [Spectrum(MZS, INTENSITIES), Spectrum(MZS[:2], [5, 100], collision_energy="40 eV")]
    together = infer(model, None, [ASPIRIN, CAFFEINE], spectra=spectra)
    assert {match.rank for match in together} == {1, 2}
    assert together[0].collision_energy == "40 eV"
    mzs = [peak.mz for peak in together[1].peaks]
    assert mzs == sorted(set(mzs))
    assert len(mzs) == 3
    weak, strong = INTENSITIES[1] / max(INTENSITIES), 1.0  # of the second peak in the two
    assert weak < strong == next(p.intensity for p in together[1].peaks if p.mz == MZS[1])
    one = infer(model, None, CAFFEINE, spectra=[spectra[0], spectra[0]])
    close(one, infer(model, None, CAFFEINE, spectra=[spectra[0]]))


def test_an_answer_on_several_spectra_is_of_all_of_them(model):
    first = Spectrum([*MZS, 300.0], [*INTENSITIES, 25.0], collision_energy="20 eV")
    second = Spectrum([138.0662, 250.0], [1.0, 1.0], collision_energy="40 eV")
    alone = [infer(model, None, CAFFEINE, spectra=[spectrum]) for spectrum in (first, second)]
    both = infer(model, None, CAFFEINE, spectra=[first, second])
    assert both.explained_intensity == pytest.approx((0.875 + 0.5) / 2)
    assert both.score == pytest.approx(np.mean([match.score for match in alone]), abs=1e-4)
    assert both.impossible_mzs == (300.0, 250.0)
    assert both.collision_energy == "20 eV; 40 eV"


def test_a_simulation_has_the_precursor_and_the_charge_of_its_adduct(model):
    simulated = infer(model, None, CAFFEINE, adduct="[M+Na]+", collision_energy="20 eV")
    assert max(simulated.intensities) == 1.0
    assert list(simulated.mzs) == sorted(simulated.mzs)
    assert simulated.precursor_mz == pytest.approx(217.0696, abs=1e-4)
    assert any("Na" in formula for formula in simulated.formulas)
    assert simulated.adduct == "[M+Na]+"
    negative = infer(model, None, ASPIRIN, adduct="[M-H]-")
    assert all(formula.endswith("-") for formula in negative.formulas)


def test_a_simulation_without_an_energy_says_so_and_a_match_does_not(model):
    says = "no collision energy given: predicted as for spectra that do not state one"
    assert says in infer(model, None, CAFFEINE).notes
    assert says not in infer(model, None, CAFFEINE, collision_energy="20 eV").notes
    assert says not in infer(model, None, CAFFEINE, MZS, INTENSITIES).notes


def test_a_label_is_a_match_from_the_threshold_on(model):
    judged = copy.deepcopy(model)
    reached = infer(model, None, CAFFEINE, MZS, INTENSITIES).probability
    for threshold, label in ((reached, True), (float(np.nextafter(reached, 1)), False)):
        judged.match_head.threshold = torch.tensor(threshold, dtype=torch.float64)
        assert infer(judged, None, CAFFEINE, MZS, INTENSITIES).label is label


def test_threads_get_the_answers_of_one(model):
    expected = [infer(model, None, s, MZS, INTENSITIES) for s in (CAFFEINE, ASPIRIN)]
    answers = {}

    def ask(number):
        answers[number] = infer(model, None, (CAFFEINE, ASPIRIN)[number % 2], MZS, INTENSITIES)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[number] == expected[number % 2] for number in range(8))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((CAFFEINE, [1.0, 2.0], [1.0]), SpectrumError, "2 m/z values but 1 intensities"),
        ((CAFFEINE, [], []), SpectrumError, "no peaks"),
        ((CAFFEINE, [100.0], [-1.0]), SpectrumError, "negative"),
        ((CAFFEINE, [float("nan")], [1.0]), SpectrumError, "finite"),
        ((CAFFEINE, [100.0], [float("inf")]), SpectrumError, "finite"),
        ((CAFFEINE, [0.0], [1.0]), SpectrumError, "above 0"),
        ((CAFFEINE, [100.0], [0.0]), SpectrumError, "all intensities are 0"),
        ((CAFFEINE, [100.0] * 2001, [1.0] * 2001), SpectrumError, "2001 peaks"),
        ((CAFFEINE, [100.0], None), ConfigError, "mzs without intensities"),
        ((CAFFEINE, None, [1.0]), ConfigError, "intensities without mzs"),
        (("CC(=O", [100.0], [1.0]), MoleculeError, "position 3"),
        (("C" * 129, [100.0], [1.0]), MoleculeError, "129 heavy atoms"),
        (([CAFFEINE, "CCX"], [100.0], [1.0]), MoleculeError, "structure 2 of 2"),
        (([], [100.0], [1.0]), ConfigError, "no SMILES"),
        ((None, [100.0], [1.0]), ConfigError, "no SMILES"),
        (([CAFFEINE] * 3, [[100.0]] * 2, [[1.0]] * 2), ConfigError, "3 SMILES but 2 spectra"),
        ((CAFFEINE, [[100.0]], [1.0]), ConfigError, "list of lists"),
    ],
)
def test_wrong_input_is_one_clear_error(model, arguments, error, says):
    with pytest.raises(error, match=says) as caught:
        infer(model, None, *arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 2


def test_an_adduct_that_is_none_is_refused(model):
    with pytest.raises(AdductError, match="not understood"):
        infer(model, None, CAFFEINE, MZS, INTENSITIES, adduct="[X+Q]+")


def test_another_models_tokenizer_is_refused(model):
    from team5.chemistry.tokenizer import MoleculeTokenizer

    with pytest.raises(ConfigError, match="tokenizer is not the model's"):
        infer(model, MoleculeTokenizer(), CAFFEINE)


def test_an_absent_device_is_an_error_that_names_those_there_are():
    with pytest.raises(DeviceError, match=r"cuda:99.*There is: cpu"):
        parse_device("cuda:99")
    assert parse_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("smiles", "adduct", "says"),
    [
        ("CC(=O)O", "[M-3H2O+H]+", "loses 5 H, the structure has 4"),
        ("CCO", "[M-CO2-H]-", "loses 2 O, the structure has 1"),
        ("CCO", "[M-C2H6O+H]+", "leaves nothing"),
    ],
)
def test_an_adduct_that_loses_what_is_not_there_is_refused(model, smiles, adduct, says):
    with pytest.raises(AdductError, match=says):
        infer(model, None, smiles, adduct=adduct)


def test_no_predicted_ion_lacks_the_atoms_it_loses(model):
    for smiles, adduct in ((ASPIRIN, "[M-H2O+H]+"), ("CC(=O)O", "[M-CH3]-"), ("CCO", "[M-H2O+H]+")):
        predicted = infer(model, None, smiles, adduct=adduct)
        assert min(predicted.mzs) > 1
        assert all(formula[0].isalpha() for formula in predicted.formulas)


def test_an_energy_that_is_not_understood_is_said_to_be_left_out(model):
    without = infer(model, None, CAFFEINE, MZS, INTENSITIES)
    unknown = infer(model, None, CAFFEINE, MZS, INTENSITIES, collision_energy="abc")
    assert unknown.probability == without.probability
    assert any("'abc' is not understood" in note for note in unknown.notes)


@pytest.mark.parametrize("spectra", ["abc", [1]])
def test_spectra_must_be_spectra(model, spectra):
    with pytest.raises(ConfigError, match="Spectrum objects"):
        infer(model, None, CAFFEINE, spectra=spectra)


def test_an_array_of_smiles_is_a_list_of_them(model):
    ranked = infer(model, None, np.array([ASPIRIN, CAFFEINE]), MZS, INTENSITIES)
    assert [match.smiles for match in ranked] == [ASPIRIN, CAFFEINE]


@pytest.mark.parametrize(
    ("adduct", "says"), [("[M+2H]2+", "singly charged"), ("[2M+H]+", "one molecule"),
                         ("[M+H]-", "[M-H]-")]
)  # fmt: skip
def test_an_ion_that_the_model_has_not_learned_is_said_to_be_unusual(model, adduct, says):
    assert any(says in note for note in infer(model, None, CAFFEINE, adduct=adduct).notes)


@pytest.mark.parametrize(
    ("smiles", "conditions"),
    [
        (CAFFEINE, {"adduct": "[2M+H]+"}),
        (CAFFEINE, {"adduct": "[M+H]-"}),
        (CAFFEINE, {"precursor_mz": 217.0696, "collision_energy": "abc"}),
        ("C[N+](C)(C)CCO", {"adduct": "[M+H]+"}),
    ],
)
def test_each_note_stays_one_where_notes_are_joined_in_a_table(model, smiles, conditions):
    notes = infer(model, None, smiles, MZS, INTENSITIES, **conditions).notes
    assert notes
    assert "; ".join(notes).split("; ") == list(notes)


def test_a_match_says_whether_the_measured_precursor_fits(model):
    def fits(**known):
        return infer(model, None, CAFFEINE, MZS, INTENSITIES, **known).precursor_fits

    assert [fits(), fits(precursor_mz=195.0877), fits(precursor_mz=200.1)] == [None, True, False]


@pytest.mark.parametrize(("n_wrong", "n_more"), [(2, 0), (5, 0), (6, 1), (30, 25)])
def test_all_structures_that_cannot_be_parsed_are_named_at_once(model, n_wrong, n_more):
    smiles = [CAFFEINE, *(f"C{i}CX" for i in range(1, n_wrong + 1))]
    with pytest.raises(MoleculeError) as raised:
        infer(model, None, smiles, [100.0], [1.0])
    text = str(raised.value)
    named = [
        int(number) for number in re.findall(rf"structure (\d+) of {len(smiles)}: SMILES", text)
    ]
    assert named == list(range(2, n_wrong + 2 - n_more))
    assert ("more structure" in text) == (n_more > 0)
    assert not n_more or f"And {n_more} more structure" in text


def test_a_wrong_precursor_counts_by_its_share_of_the_spectra(model):
    spectrum = Spectrum([138.0662, 110.0713], [100.0, 15.0])
    wrong = replace(spectrum, precursor_mz=190.0)
    logits = [
        float(torch.logit(torch.tensor(match.probability, dtype=torch.float64)))
        for spectra in ([spectrum, spectrum], [spectrum, wrong], [wrong, wrong])
        for match in [infer(model, None, "Cn1cnc2c1c(=O)n(C)c(=O)n2C", spectra=spectra)]
    ]
    assert logits[0] - logits[1] == pytest.approx(6.0, abs=1e-3)
    assert logits[0] - logits[2] == pytest.approx(12.0, abs=1e-3)
