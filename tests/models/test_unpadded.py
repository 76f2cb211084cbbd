"""One molecule at a time without padding, against the padded batch."""

import numpy as np
import pytest
import torch

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import pad_molecules
from team5.data.collate import collate_pairs, match_fragments, prepare_spectrum
from team5.data.preprocess import FIRST_RULE, N_OUTCOMES, ScoreRule
from team5.models.heads import MATCH_FEATURES
from team5.models.model import ModelConfig, Team5Model
from team5.models.unpadded import encode_structures, outcome_weights, outcomes_of, score_pair

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C",
    "[Na+].[Cl-]",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "OCC1OC(OC2C(O)C(O)C(O)OC2CO)C(O)C(O)C1O",
    "c1ccc2c(c1)ccc1ccccc12",
    "O=C(O)c1ccccc1-c1c2ccc(=O)cc-2oc2cc(O)ccc12",
    "C" * 70,
]
ADDUCTS = ["[M+H]+", "[M-H]-", "[M+Na]+", "[M+NH4]+", "[M+HCOO]-", "[M+2H]2+", "[2M+H]+"]


MODELS = {
    "usual": (ModelConfig(d_model=32, d_hidden=48, n_layers=2, n_blocks=2, rank=6), FIRST_RULE),
    "other rule": (ModelConfig(32, 48, 2, 2, 6), ScoreRule(0.3, 0.5, -6.0)),
    "least": (ModelConfig(d_model=1, d_hidden=1, n_layers=0, n_blocks=1, rank=1), FIRST_RULE),
    "odd": (ModelConfig(d_model=7, d_hidden=5, n_layers=1, n_blocks=3, rank=2), FIRST_RULE),
    "conditions at atoms": (
        ModelConfig(32, 48, 2, 2, rank=6, conditions_at_atoms=True),
        FIRST_RULE,
    ),
    "conditions at atoms alone": (
        ModelConfig(8, 8, 0, 1, rank=1, conditions_at_atoms=True),
        FIRST_RULE,
    ),
    "wide": (ModelConfig(d_model=300, d_hidden=700, n_layers=1, n_blocks=1, rank=3), FIRST_RULE),
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request) -> Team5Model:
    torch.manual_seed(0)
    sizes, rule = MODELS[request.param]
    network = Team5Model(sizes, rule=rule)
    features = torch.randn(200, len(MATCH_FEATURES))
    if (conditions := network.molecule_encoder.conditions) is not None:
        torch.nn.init.normal_(conditions.out.weight, std=0.5)  # untrained, it tells nothing
    network.match_head.fit(features, (features[:, 0] + torch.randn(200) > 0).float())
    return network.eval().requires_grad_(False)


def some_spectrum(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    # Half of the peaks where ions of small pieces are, so that many of them match.
    n = int(random.integers(1, 40))
    exact = random.integers(2, 20, n) * 12 + random.integers(1, 30, n) * 1.00782503 - 0.00054858
    mzs = np.sort(np.where(random.random(n) < 0.5, exact, random.uniform(30, 500, n)))
    return mzs, random.uniform(0.01, 1.0, n)


@pytest.mark.parametrize("adduct", ADDUCTS)
def test_what_is_computed_without_padding_is_what_the_padded_batch_says(model, adduct):
    ion = parse_adduct(adduct)
    tokens = [t for t in map(model.tokenizer.encode, SMILES) if ion.precursor_mz(
        t.molecule.exact_mass) > 30]  # fmt: skip
    held = [
        [
            prepare_spectrum(
                each.molecule.exact_mass,
                mzs=mzs,
                intensities=intensities,
                adduct=ion,
                collision_energy=energy,
                instrument_type=None,
                rule=model.rule,
            )
            for (mzs, intensities), energy in (
                (some_spectrum(1), "35 eV"), (some_spectrum(2), None), (some_spectrum(3), "20 %")
            )
        ]
        for each in tokens
    ]  # fmt: skip
    pairs = [match_fragments(h, t, i) for i, (t, hs) in enumerate(zip(tokens, held, strict=True))
             for h in hs]  # fmt: skip
    padded = model(collate_pairs(pad_molecules(tokens), pairs))
    row = 0
    with torch.inference_mode():
        for each, spectra in zip(tokens, held, strict=True):
            for spectrum in spectra:
                pair = pairs[row]
                (weights,) = outcome_weights(model, [spectrum])
                (encoded,) = encode_structures(model, [(each, weights.embedding)])
                found = score_pair(outcomes_of(encoded, weights), pair, model.rule.log_p_floor)
                n = len(pair.peaks.mzs)
                np.testing.assert_allclose(found.log_p, padded.log_p[row, :n], rtol=1e-4, atol=1e-4)
                np.testing.assert_array_equal(found.matched, padded.matched[row, :n])
                np.testing.assert_allclose(
                    found.features, padded.features[row], rtol=2e-4, atol=2e-4
                )
                ions = len(encoded.tokens.fragments) * N_OUTCOMES
                expected = padded.log_p_outcomes[row].numpy()
                np.testing.assert_allclose(
                    found.outcomes.log_p_outcomes,
                    np.append(expected[:ions], expected[-1]),
                    rtol=1e-4,
                    atol=1e-4,
                )
                row += 1
    assert row == len(pairs)


def test_the_first_match_feature_is_the_score():
    # What ranks candidates is taken from there.
    assert MATCH_FEATURES[0] == "score"


def test_a_structure_is_encoded_alike_alone_and_among_others_to_the_last_digit(model):
    random = np.random.default_rng(0)
    work = [
        (model.tokenizer.encode(smiles), random.normal(size=model.config.d_model).astype("f4"))
        for smiles in SMILES
    ]
    with torch.inference_mode():
        for each, encoded in zip(work, list(encode_structures(model, work)), strict=True):
            (alone,) = encode_structures(model, [each])
            np.testing.assert_array_equal(alone.kinds, encoded.kinds)
            np.testing.assert_array_equal(alone.none, encoded.none)


def test_conditions_are_read_alike_alone_and_among_others_to_the_last_digit(model):
    held = [
        prepare_spectrum(
            300.0 + i,
            mzs=np.array([100.0]),
            intensities=np.array([1.0]),
            adduct=parse_adduct(adduct),
            collision_energy=f"{10 * i} eV",
            instrument_type=None,
        )
        for i, adduct in enumerate(ADDUCTS)
    ]
    for each, among in zip(held, outcome_weights(model, held), strict=True):
        (alone,) = outcome_weights(model, [each])
        for name, value in vars(alone).items():
            np.testing.assert_array_equal(getattr(among, name), value)


def test_a_pair_that_is_scored_leaves_the_encoding_as_it_was(model):
    tokens = model.tokenizer.encode(SMILES[0])
    mzs, intensities = some_spectrum(4)
    held = prepare_spectrum(
        tokens.molecule.exact_mass,
        mzs=mzs,
        intensities=intensities,
        adduct=parse_adduct("[M+H]+"),
        collision_energy=None,
        instrument_type=None,
    )
    with torch.inference_mode():
        (weights,) = outcome_weights(model, [held])
        (encoded,) = encode_structures(model, [(tokens, weights.embedding)])
        before = encoded.kinds.copy()
        pair = match_fragments(held, tokens, 0)
        first = score_pair(outcomes_of(encoded, weights), pair)
        again = score_pair(outcomes_of(encoded, weights), pair)
    np.testing.assert_array_equal(encoded.kinds, before)
    np.testing.assert_array_equal(first.features, again.features)
