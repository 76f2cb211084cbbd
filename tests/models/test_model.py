import contextlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.collate import Pair, collate, make_pair
from team5.data.preprocess import HYDROGEN_SHIFTS, N_OUTCOMES, ScoreRule
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, CheckpointError, ConfigError
from team5.models.model import UNEXPLAINED_LOG_PENALTY, ModelConfig, Team5Model
from tests.chemistry.structures import SMILES

SIZES = ModelConfig(d_model=24, d_hidden=16, n_layers=2, n_blocks=2, rank=6)
ADDUCTS = ["[M+H]+", "[M-H]-", "[M+Na]+", "[M+Cl]-", "[M-H2O+H]+"]


@pytest.fixture(scope="module")
def model() -> Team5Model:
    torch.manual_seed(0)
    return Team5Model(SIZES, MoleculeTokenizer(TokenizerConfig(2, 80))).eval()


def pair_of(tokens, mzs, intensities, adduct="[M+H]+", index=0, energy="20 eV") -> Pair:
    spectrum = Spectrum(mzs, intensities)
    return make_pair(
        tokens,
        index,
        mzs=spectrum.mzs,
        intensities=spectrum.intensities,
        adduct=parse_adduct(adduct),
        collision_energy=energy,
        instrument_type=None,
    )


@torch.no_grad()
def scores_of(model, smiles, mzs, intensities, adduct="[M+H]+", energy="20 eV"):
    tokens = model.tokenizer.encode(smiles)
    return model(collate([tokens], [pair_of(tokens, mzs, intensities, adduct, energy=energy)]))


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(SMILES)), min_size=1, max_size=4), st.sampled_from(ADDUCTS))
def test_probabilities_sum_to_one_and_impossible_ions_get_none(model, names, adduct):
    tokens = [model.tokenizer.encode(SMILES[name]) for name in names]
    usable, pairs = [], []
    for t in tokens:
        with contextlib.suppress(AdductError):  # it loses atoms that the structure has not
            pairs.append(pair_of(t, [50.0], [1.0], adduct, len(usable)))
            usable.append(t)
    if not usable:
        return
    with torch.no_grad():
        log_p = model(collate(usable, pairs)).log_p_outcomes
    assert not log_p.isnan().any()
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(len(usable)))
    for row, (t, pair) in enumerate(zip(usable, pairs, strict=True)):
        n = len(t.fragments)
        p = log_p[row, :-1].exp().numpy().reshape(-1, N_OUTCOMES)
        mzs = t.fragments.masses[:, None] + pair.offsets
        too_few = t.fragments.hydrogens[:, None] + np.array(HYDROGEN_SHIFTS) < 0
        impossible = np.isnan(mzs) | too_few | (mzs > pair.precursor_mz + 0.501)
        assert (p[n:] == 0).all()
        assert (p[:n][impossible] == 0).all()
        assert (p[:n][~impossible & (mzs < pair.precursor_mz + 0.499)] > 0).all()
        assert log_p[row, -1].isfinite()


def test_a_peak_counts_all_ions_within_its_tolerance(model):
    tokens = model.tokenizer.encode(SMILES["aspirin"])
    pair = pair_of(tokens, [121.0284, 139.0390], [1.0, 0.3])
    with torch.no_grad():
        scores = model(collate([tokens], [pair]))
    for peak in range(2):
        outcomes = pair.match_outcomes[pair.match_peaks == peak]
        assert len(outcomes) > 1
        expected = scores.log_p_outcomes[0, outcomes].exp().sum().log()
        assert scores.log_p[0, peak].item() == pytest.approx(expected.item(), abs=1e-5)
    weighted = (scores.log_p[0].numpy() * pair.peaks.weights).sum()
    assert scores.score.item() == pytest.approx(weighted, abs=1e-5)


def test_a_peak_nothing_explains_counts_as_none_with_a_penalty(model):
    scores = scores_of(model, "CCO", [33.5], [1.0])
    assert not scores.matched.any()
    none = scores.log_p_outcomes[0, -1]
    torch.testing.assert_close(scores.log_p[0, 0], none)
    assert scores.score.item() == pytest.approx(none.item() + UNEXPLAINED_LOG_PENALTY, abs=1e-5)


def test_no_peak_counts_less_than_the_floor(model):
    floored = Team5Model(SIZES, model.tokenizer, rule=ScoreRule(log_p_floor=-1.0)).eval()
    assert scores_of(floored, "CCO", [33.5], [1.0]).score.item() == pytest.approx(-1.0)


def test_benzene_with_peaks_it_cannot_give_is_no_match(model):
    """The guide's own example."""
    scores = scores_of(model, "C1=CC=CC=C1", [100.0, 200.0, 300.0], [0.5, 0.7, 0.9])
    assert scores.probability.item() < 1e-3
    assert not scores.matched.any()


def test_an_ion_above_the_precursor_explains_nothing(model):
    """The precursor with four more hydrogens fits the peak and is no ion of [M+H]+."""
    heavier = 180.04225873 + 4 * 1.00782503 - 0.00054858
    assert not scores_of(model, SMILES["aspirin"], [heavier], [1.0]).matched.any()


def test_exchanged_spectra_change_the_scores(model):
    aspirin = ([121.0284, 139.0390, 163.0390], [1.0, 0.4, 0.2])
    caffeine = ([138.0662, 110.0713, 195.0877], [1.0, 0.4, 0.2])
    for name in ("aspirin", "caffeine"):
        one, other = (scores_of(model, SMILES[name], *peaks) for peaks in (aspirin, caffeine))
        assert abs(one.score.item() - other.score.item()) > 0.1


def test_stereo_salt_and_hydrogens_change_nothing(model):
    peaks = ([44.0495, 45.0, 90.0550], [1.0, 0.1, 0.4])
    expected = scores_of(model, "CC(N)C(=O)O", *peaks).score
    for same in ("C[C@H](N)C(=O)O", "[Na+].CC(N)C(=O)[O-]", "CC([NH3+])C(=O)O", "CC(N)C(=O)O[H]"):
        torch.testing.assert_close(
            scores_of(model, same, *peaks).score, expected, atol=1e-5, rtol=1e-5
        )


def test_how_a_structure_is_written_changes_nothing(model):
    peaks = ([44.0495, 45.0, 90.0550], [1.0, 0.1, 0.4])
    expected = scores_of(model, "CC(N)C(=O)O", *peaks).score
    for same in ("OC(=O)C(C)N", "NC(C)C(O)=O"):
        torch.testing.assert_close(scores_of(model, same, *peaks).score, expected, atol=0, rtol=0)


def test_conditions_change_the_distribution(model):
    one = scores_of(model, SMILES["aspirin"], [121.0284], [1.0], energy="10 eV").log_p_outcomes
    other = scores_of(model, SMILES["aspirin"], [121.0284], [1.0], energy="60 eV").log_p_outcomes
    possible = one > -math.inf
    assert (possible == (other > -math.inf)).all()
    assert (one[possible] - other[possible]).abs().max() > 1e-3


def test_config_round_trip_through_json(model):
    stored = json.loads(json.dumps(model.to_config()))
    again = Team5Model.from_config(stored).eval()
    assert again.config == model.config
    assert again.tokenizer.config == model.tokenizer.config
    again.load_weights(model.state_dict(), "memory")
    one, other = (scores_of(m, SMILES["spiro"], [99.0441], [1.0]) for m in (model, again))
    torch.testing.assert_close(one.score, other.score, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context": {"adducts": ["[M+H]+"]}}, "the version's context differ"),
        ({"hydrogen_shifts": [0]}, "the version's hydrogen_shifts differ"),
        ({"references": {"isomers": 2}}, "the version's references differ"),
        ({"context": None}, "the version's context differ"),
        ({"model": {"d_model": 8, "n_heads": 4}}, "does not describe a model.*n_heads"),
        ({"model": None}, "does not describe a model"),
        ({"tokenizer": {}}, "does not describe a model.*max_depth"),
    ],
)
def test_a_config_of_another_release_is_refused(model, change, said):
    with pytest.raises(ConfigError, match=said):
        Team5Model.from_config({**model.to_config(), **change})


def test_a_config_without_a_part_is_refused(model):
    for part in model.to_config().keys() - {"references", "score"}:
        stored = model.to_config()
        del stored[part]
        with pytest.raises(ConfigError, match=part):
            Team5Model.from_config(stored)


def test_a_version_that_does_not_say_how_peaks_count_has_the_first_rule(model):
    stored = model.to_config()
    del stored["score"]
    assert Team5Model.from_config(stored).rule == ScoreRule(0.5, 0.0, None)
    stored["score"] = {"intensity_power": 0.3, "mz_power": 0.5, "log_p_floor": -9.0}
    assert Team5Model.from_config(stored).to_config()["score"] == stored["score"]


def test_a_version_from_before_there_were_references_loads_without(model):
    stored = model.to_config()
    del stored["references"]
    weights = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(("isomer_head", "candidate_head"))
    }
    old = Team5Model.from_config(stored)
    old.load_weights(weights, "v0.1/model.safetensors")
    assert not old.isomer_head.is_fitted
    assert not old.candidate_head.is_fitted


def test_weights_that_do_not_fit_are_all_named(model):
    weights = dict(model.state_dict())
    del weights["match_head.bias"]
    weights["extra.weight"] = torch.zeros(1)
    weights["fragment_head.none.weight"] = torch.zeros(2, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as raised:
        model.load_weights(weights, "v0.7/model.safetensors")
    text = str(raised.value)
    assert text.startswith("v0.7/model.safetensors: ")
    assert "match_head.bias is missing" in text
    assert "extra.weight is additional" in text
    assert "fragment_head.none.weight has shape (2, 3), expected (6, 24)" in text
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_many_faults_are_counted(model):
    with pytest.raises(CheckpointError, match=r"and \d+ more"):
        model.load_weights({}, "empty")


def test_sizes_are_those_of_the_config():
    small = Team5Model(replace(SIZES, rank=3), MoleculeTokenizer(TokenizerConfig(1, 10)))
    assert small.state_dict()["fragment_head.outcomes.weight"].shape == (N_OUTCOMES * 3, 24)


@pytest.mark.gpu
def test_scores_on_a_gpu_are_those_on_the_cpu(model):
    import copy

    tokens = [model.tokenizer.encode(SMILES[name]) for name in ("aspirin", "caffeine")]
    pairs = [pair_of(t, [121.0284, 138.0662], [1.0, 0.5], index=i) for i, t in enumerate(tokens)]
    batch = collate(tokens, pairs)
    with torch.no_grad():
        there = copy.deepcopy(model).cuda()(batch.to("cuda"))
        here = model(batch)
    torch.testing.assert_close(there.score.cpu(), here.score, atol=1e-4, rtol=1e-4)
