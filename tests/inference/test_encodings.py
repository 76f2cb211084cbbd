"""What is kept of structures: bounded, and never of other weights."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.inference.encodings import Bounded, EncodingCache
from team5.inference.engine import iter_padded, iter_scores
from team5.inference.inference import infer, load_model
from team5.models.model import ModelConfig, Team5Model

SPECTRUM = Spectrum([100.0, 121.028], [1.0, 0.5])
SMILES = ["CCO", "CCN", "CCCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "CCOC(=O)C", "CCCCN"]


@pytest.fixture
def model() -> Team5Model:
    torch.manual_seed(0)
    config = ModelConfig(d_model=8, d_hidden=8, n_layers=1, n_blocks=1, rank=2)
    return Team5Model(config).eval().requires_grad_(False)


def scores(model: Team5Model, smiles: list[str], cache: EncodingCache | None = None) -> list[float]:
    molecules = [parse_smiles(text) for text in smiles]
    found = {s.index: float(s.scores[0]) for s in iter_scores(model, molecules, [SPECTRUM], cache)}
    return [found[i] for i in range(len(smiles))]


def test_kept_encodings_change_no_score(model):
    cache = EncodingCache()
    expected = scores(model, SMILES)
    assert scores(model, SMILES, cache) == expected
    assert len(cache.structures) == len(cache.outcomes) == len(SMILES)
    assert scores(model, SMILES[::-1], cache) == expected[::-1]


def test_a_question_asked_again_has_the_answer_of_before_to_the_last_digit():
    model = load_model("v0.1", root=Path(__file__).parents[1] / "files" / "checkpoints")
    first = [infer(model, None, smiles, [100.0, 121.028], [1.0, 0.5]) for smiles in SMILES]
    infer(model, None, SMILES[::-1], [100.0, 121.028], [1.0, 0.5])
    again = [infer(model, None, smiles, [100.0, 121.028], [1.0, 0.5]) for smiles in SMILES]
    assert again == first


def test_an_encoding_told_of_conditions_serves_those_alone(model):
    sizes = ModelConfig(8, 8, 1, 1, rank=2, conditions_at_atoms=True)
    told = Team5Model(sizes).eval().requires_grad_(False)
    told.load_state_dict(model.state_dict(), strict=False)
    torch.nn.init.normal_(told.molecule_encoder.conditions.out.weight)
    molecules = [parse_smiles(text) for text in SMILES]
    energies = ["10 eV", "60 eV", "10 eV"]
    spectra = [replace(SPECTRUM, collision_energy=energy) for energy in energies]
    cache = EncodingCache()
    kept = {s.index: s.scores for s in iter_scores(told, molecules, spectra[:1], cache)}
    together = {s.index: s.scores for s in iter_scores(told, molecules, spectra, cache)}
    padded = {s.index: s.scores for s in iter_padded(told, molecules, spectra)}
    assert len(cache.structures) == len(SMILES)
    assert len(cache.outcomes) == 2 * len(SMILES)
    for index, (first, second, third) in together.items():
        assert first == third == kept[index][0] != second
        np.testing.assert_allclose(padded[index], together[index], rtol=1e-4)


def test_a_structure_written_otherwise_is_known(model):
    cache = EncodingCache()
    scores(model, ["OCC"], cache)
    scores(model, ["CCO", "C(O)C"], cache)
    assert len(cache.structures) == 1


def test_memory_stays_below_the_bound(model):
    cache = EncodingCache()
    scores(model, SMILES, cache)
    bound = cache.structures.n_bytes
    small = EncodingCache(bound)
    for _ in range(3):
        assert scores(model, SMILES, small) == scores(model, SMILES)
        for part in (small.structures, small.outcomes):
            assert 0 < part.n_bytes <= bound // 2
    nothing = EncodingCache(0)
    scores(model, SMILES, nothing)
    assert len(nothing.structures) == len(nothing.outcomes) == 0


def test_molecules_are_remembered_up_to_so_many_bytes():
    cache = EncodingCache()
    assert cache.parse("C" * 100) is cache.parse("C" * 100)
    cache.molecules = Bounded(3 * cache.parse("C" * 100).n_bytes)
    for n_atoms in range(1, 100):
        cache.parse("C" * n_atoms)
        assert cache.molecules.n_bytes <= cache.molecules.max_bytes
    assert len(cache.molecules) >= 3


def test_other_weights_find_nothing_that_was_kept(model):
    cache = EncodingCache()
    before = scores(model, SMILES, cache)
    model.molecule_encoder.kept_sum.weight.mul_(2.0)
    after = scores(model, SMILES, cache)
    assert after == scores(model, SMILES)
    assert after != before


def test_copies_begin_empty(model):
    cache = EncodingCache(12_345_678)
    scores(model, SMILES, cache)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert len(other.structures) == len(other.outcomes) == 0
        assert other.max_bytes == cache.max_bytes


def test_threads_share_a_cache(model):
    cache = EncodingCache(EncodingCache().max_bytes)
    expected = scores(model, SMILES)
    small = EncodingCache(20_000)
    with ThreadPoolExecutor(4) as pool:
        for shared in (cache, small):
            for found in pool.map(lambda _, c=shared: scores(model, SMILES, c), range(16)):
                assert found == pytest.approx(expected, abs=1e-5)


def test_another_way_of_measuring_finds_nothing_that_was_kept(model):
    cache = EncodingCache()
    ways = [{}, {"collision_energy": "10 eV"}, {"collision_energy": "60 eV"}, {"adduct": "[M+Na]+"},
            {"instrument_type": "LC-ESI-QTOF"}]  # fmt: skip
    spectra = [Spectrum([100.0, 121.028], [1.0, 0.5], **way) for way in ways]
    molecule = parse_smiles(SMILES[4])
    for spectrum in spectra:
        (kept,) = iter_scores(model, [molecule], [spectrum], cache)
        (anew,) = iter_scores(model, [molecule], [spectrum])
        assert kept.scores.tolist() == anew.scores.tolist()
    assert len(cache.structures) == 1
    assert len(cache.outcomes) == len(ways)


def test_other_peaks_measured_the_same_way_are_not_mistaken(model):
    cache = EncodingCache()
    molecule = parse_smiles(SMILES[4])
    for mzs in ([100.0, 121.028], [121.028, 139.039], [50.0]):
        spectrum = Spectrum(mzs, [1.0] * len(mzs))
        (kept,) = iter_scores(model, [molecule], [spectrum], cache)
        (anew,) = iter_scores(model, [molecule], [spectrum])
        assert kept.features.tolist() == anew.features.tolist()
    assert len(cache.outcomes) == 1
