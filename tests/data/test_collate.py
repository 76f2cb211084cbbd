from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.collate import Batch, collate, make_pair
from team5.data.spectrum import Spectrum
from team5.errors import AdductError
from team5.models.model import ModelConfig, Team5Model
from tests.chemistry.structures import SMILES

NAMES = ["methane", "aspirin", "caffeine", "spiro", "cation", "sugars_100_atoms", "halogens"]
tokenizer = MoleculeTokenizer(TokenizerConfig(max_depth=2, max_fragments=120))
TOKENS = {name: tokenizer.encode(SMILES[name]) for name in NAMES}


@pytest.fixture(scope="module")
def model() -> Team5Model:
    torch.manual_seed(3)
    sizes = ModelConfig(d_model=24, d_hidden=24, n_layers=2, n_blocks=2, rank=6)
    model = Team5Model(sizes, tokenizer).eval()
    model.match_head.weight.normal_(std=0.1)
    return model


def pair_of(name, mzs, intensities, adduct="[M+H]+", index=0, energy="20 eV", **arguments):
    spectrum = Spectrum(mzs, intensities)  # sorted and to base peak 1, as all that come in
    return make_pair(
        TOKENS[name],
        index,
        mzs=spectrum.mzs,
        intensities=spectrum.intensities,
        adduct=parse_adduct(adduct),
        collision_energy=energy,
        instrument_type="LC-ESI-QTOF",
        **arguments,
    )


def spectra_of(name: str) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    """Peaks at ions of the structure and anywhere."""
    ions = (TOKENS[name].fragments.masses + 1.00728).tolist()
    mzs = st.lists(st.sampled_from(ions) | st.floats(20, 1_000), min_size=1, max_size=20,
                   unique=True)  # fmt: skip
    return mzs.flatmap(
        lambda m: st.tuples(
            st.just(m), st.lists(st.floats(0.01, 1), min_size=len(m), max_size=len(m))
        )
    )


queries = st.sampled_from(NAMES).flatmap(
    lambda name: st.tuples(
        st.just(name), spectra_of(name), st.sampled_from(["[M+H]+", "[M+Na]+", "[M-H]-"])
    )
)


@torch.no_grad()
def scores_of(model: Team5Model, batch: Batch) -> dict[str, np.ndarray]:
    scores = model(batch)
    return {
        "score": scores.score.numpy(),
        "logit": scores.logit.numpy(),
        "features": scores.features.numpy(),
    }


def assert_same(one, other, rows=slice(None)) -> None:
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name][rows], atol=1e-5, rtol=1e-5, err_msg=name)


@settings(max_examples=25)
@given(st.lists(queries, min_size=2, max_size=5))
def test_a_batch_of_one_equals_its_row_in_a_batch_of_many(model, many):
    pairs = [
        pair_of(name, *peaks, adduct, index) for index, (name, peaks, adduct) in enumerate(many)
    ]
    together = scores_of(model, collate([TOKENS[name] for name, *_ in many], pairs))
    for row, (pair, (name, *_)) in enumerate(zip(pairs, many, strict=True)):
        alone = scores_of(model, collate([TOKENS[name]], [replace(pair, molecule_index=0)]))
        assert_same(alone, together, slice(row, row + 1))


@settings(max_examples=25)
@given(queries, st.randoms(use_true_random=False))
def test_the_order_of_peaks_changes_nothing(model, query, random):
    name, (mzs, intensities), adduct = query
    order = list(range(len(mzs)))
    random.shuffle(order)
    shuffled = [mzs[i] for i in order], [intensities[i] for i in order]
    one = scores_of(model, collate([TOKENS[name]], [pair_of(name, mzs, intensities, adduct)]))
    other = scores_of(model, collate([TOKENS[name]], [pair_of(name, *shuffled, adduct)]))
    assert_same(one, other)


@settings(max_examples=15)
@given(queries)
def test_more_padding_changes_nothing(model, query):
    name, peaks, adduct = query
    alone = scores_of(model, collate([TOKENS[name]], [pair_of(name, *peaks, adduct)]))
    wide = pair_of("sugars_100_atoms", np.linspace(20, 900, 64), np.ones(64), index=1)
    padded = scores_of(
        model,
        collate([TOKENS[name], TOKENS["sugars_100_atoms"]], [pair_of(name, *peaks, adduct), wide]),
    )
    assert_same(alone, padded, slice(0, 1))


def test_spectra_of_one_molecule_are_scored_as_if_each_were_alone(model):
    lists = [([105.03, 121.028], [1, 0.5]), ([139.039], [1.0]), ([43.0, 300.0], [1.0, 1.0])]
    pairs = [pair_of("aspirin", *peaks, energy=f"{10 * i} eV") for i, peaks in enumerate(lists, 1)]
    batch = collate([TOKENS["aspirin"]], pairs)
    assert batch.slot.tolist() == [0, 1, 2]
    together = scores_of(model, batch)
    for row, pair in enumerate(pairs):
        assert_same(
            scores_of(model, collate([TOKENS["aspirin"]], [pair])),
            together,
            slice(row, row + 1),
        )


def test_matches_point_at_their_spectrum_and_peak():
    mzs = TOKENS["aspirin"].fragments.masses[:3][::-1] + 1.00728
    pairs = [pair_of("caffeine", [50.0], [1.0]), pair_of("aspirin", mzs, [1, 1, 1], index=1)]
    batch = collate([TOKENS["caffeine"], TOKENS["aspirin"]], pairs, labels=[0, 1])
    assert set(batch.match_rows.tolist()) == {3, 4, 5}
    assert batch.labels.tolist() == [0, 1]
    assert batch.peak_padding_mask.tolist() == [[False, True, True], [False] * 3]
    assert batch.weights.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_a_spectrum_without_a_single_match_still_gets_a_score(model):
    scores = scores_of(model, collate([TOKENS["methane"]], [pair_of("methane", [500.0], [1.0])]))
    assert all(np.isfinite(values).all() for values in scores.values())


def test_a_pair_that_lost_all_its_peaks_adds_nothing_to_the_loss(model):
    from team5.models.losses import peak_likelihood_loss

    pair = pair_of("methane", [500.0], [1.0], keep_impossible=False)
    batch = collate([TOKENS["methane"]], [pair])
    assert peak_likelihood_loss(model(batch).log_p, batch.weights).item() == 0


def test_to_moves_every_tensor():
    batch = collate([TOKENS["aspirin"]], [pair_of("aspirin", [121.0], [1.0])])
    moved = batch.to("meta")
    tensors = [*vars(moved).values(), *vars(moved.molecules).values()]
    assert all(t.device.type == "meta" for t in tensors if isinstance(t, torch.Tensor))
    assert len(moved.molecules) == 1


@pytest.mark.parametrize("adduct", ["[M+H-C6H10O5]+", "[M-H2O-H]-"])
def test_an_adduct_that_loses_more_than_the_structure_has_is_named(adduct):
    with pytest.raises(AdductError, match="it loses more than the structure weighs") as raised:
        pair_of("methane", [15.0], [1.0], adduct)
    assert "'C'" in str(raised.value)
    assert adduct in str(raised.value)


def test_batch_made_by_a_worker_is_the_one_made_here():
    def batch_of(names: list[str]) -> Batch:
        pairs = [pair_of(name, [60.0, 80.5], [1.0, 0.5], index=i) for i, name in enumerate(names)]
        return collate([TOKENS[name] for name in names], pairs, [1] * len(names))

    names = ["methane", "aspirin", "sugars_100_atoms", "caffeine"]
    loader = DataLoader(names, batch_size=2, num_workers=1, collate_fn=batch_of)
    for here, there in zip([batch_of(names[:2]), batch_of(names[2:])], loader, strict=True):
        for part, other in ((here, there), (here.molecules, there.molecules)):
            for name, tensor in vars(part).items():
                if isinstance(tensor, torch.Tensor):
                    found = getattr(other, name)
                    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape), name
                    # Bytes, because there are NaNs.
                    assert found.numpy().tobytes() == tensor.numpy().tobytes(), name
        assert [t.molecule.smiles for t in there.molecules.tokens] == [
            t.molecule.smiles for t in here.molecules.tokens
        ]
        assert there.weights.untyped_storage().data_ptr() == (
            there.molecules.inside.untyped_storage().data_ptr()
        )
