import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from team5.assessment.queries import read_queries, shuffle_spectra
from team5.assessment.scoring import score_queries
from team5.assessment.structure_only import fit_molecule_only
from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.errors import AdductError
from team5.evaluation.metrics import compute_metrics
from team5.evaluation.records import COSINE, COSINE_WITHOUT, SAME_FORMULA, SIMILARITIES
from team5.evaluation.strata import EXPLAINED, stratum_of
from team5.inference.inference import infer
from tests.assessment.test_structure_only import ETHERS, pool, training
from tests.inference.queries import write_queries


@pytest.fixture
def queries(tmp_path):
    return read_queries(write_queries(tmp_path / "queries.parquet"))


def in_pairs(model, queries, **settings):
    by_identifier = {query.spectrum.identifier: query for query in queries}
    return [(by_identifier[s.identifier], s) for s in score_queries(model, queries, **settings)]


def test_scores_are_those_of_infer(model, queries):
    exchanged = {spectrum.identifier: spectrum for spectrum in shuffle_spectra(queries, seed=0)}
    for query, scored in in_pairs(model, queries):
        for source, spectrum in (
            ("model", query.spectrum),
            ("exchanged", exchanged[query.spectrum.identifier]),
        ):
            matches = infer(model, None, list(query.candidates), spectra=[spectrum])
            assert [matches[i].probability for i in (query.truth, scored.decoy)] == pytest.approx(
                scored.probabilities[source], abs=1e-5
            )
            assert [m.score for m in matches] == pytest.approx(scored.scores[source], abs=1e-4)


def test_queries_are_parted_by_what_their_structure_explains(model, queries):
    for query, scored in in_pairs(model, queries):
        truth = query.candidates[query.truth]
        share = infer(model, None, truth, spectra=[query.spectrum]).explained_intensity
        assert scored.conditions[EXPLAINED] == stratum_of(EXPLAINED, share)


def test_mass_errors_are_those_of_the_calculated_precursors(model, queries):
    for query, scored in in_pairs(model, queries):
        calculated = [
            parse_adduct("[M+H]+").precursor_mz(parse_smiles(smiles).exact_mass)
            for smiles in query.candidates
        ]
        errors = np.abs(np.array(calculated) - query.spectrum.precursor_mz)
        assert -scored.scores["mass_error"] == pytest.approx(errors, abs=6e-5)
        assert len(set(scored.scores["mass_error"].tolist())) == 1  # one formula


def test_bond_breaking_score_does_not_depend_on_the_weights(model, queries):
    scores = [s.scores["bond_breaking"] for _, s in in_pairs(model, queries)]
    before = model.match_head.bias.clone()
    model.match_head.bias.add_(3.0)
    try:
        again = [s.scores["bond_breaking"] for _, s in in_pairs(model, queries)]
    finally:
        model.match_head.bias.copy_(before)
    assert all(np.array_equal(a, b) for a, b in zip(scores, again, strict=True))
    assert all(((s > 0) & (s <= 1)).all() for s in scores)


def test_simulated_spectra_are_compared_with_and_without_the_precursor(model, queries):
    for _, scored in in_pairs(model, queries):
        assert set(scored.similarities) == set(SIMILARITIES)
        for by_source in scored.similarities.values():
            assert set(by_source) == {"model", "exchanged", "precursor_alone"}
            assert all(0 <= value <= 1 for value in by_source.values())
        assert scored.similarities[COSINE]["precursor_alone"] > 0
        assert scored.similarities[COSINE_WITHOUT]["precursor_alone"] == 0


def test_molecule_only_control_and_similarities_join_where_they_are_given(model, queries):
    plain = [s for _, s in in_pairs(model, queries)]
    assert "molecule_only" not in plain[0].scores
    assert set(plain[0].conditions) == {
        "adduct",
        "ion mode",
        "collision energy",
        "intensity that the true structure explains",
    }

    blind = fit_molecule_only(training(), pool(ETHERS))
    similarities = {query.inchikey14: 0.5 for query in queries}
    for query, scored in in_pairs(
        model, queries, molecule_only=blind, training_similarity=similarities
    ):
        log_odds = blind.log_odds([parse_smiles(smiles) for smiles in query.candidates])
        assert np.array_equal(scored.scores["molecule_only"], log_odds)
        of_pair = log_odds[[query.truth, scored.decoy]]
        assert scored.probabilities["molecule_only"] == pytest.approx(1 / (1 + np.exp(-of_pair)))
        assert scored.conditions["similarity to the nearest training structure"] == "0.45 to 0.55"


def test_metrics_are_the_same_each_time_and_have_chance_as_control(model, queries):
    found = [compute_metrics(list(score_queries(model, queries)), threshold=0.5) for _ in range(2)]
    assert found[0] == found[1]
    same_formula = found[0][SAME_FORMULA]
    assert [row.name for row in same_formula] == ["hit@1", "hit@5", "hit@20", "MRR"]
    assert same_formula[0].chance == pytest.approx(np.mean([1 / 3, 1 / 3, 1 / 4]))
    assert same_formula[0].mass_error == pytest.approx(same_formula[0].chance)
    for rows in found[0].values():
        for row in rows:
            assert all(math.isfinite(v) for v in asdict(row).values() if isinstance(v, float))
            assert row.low <= row.value <= row.high or row.low == row.high


def without_hydrogens(query, **changes):
    """Make one candidate a molecule that cannot lose the H of [M-H]-."""
    candidates = (*query.candidates[:-1], "FC1(F)C(F)(F)C(F)(F)C1(F)F")
    spectrum = replace(query.spectrum, adduct="[M-H]-", ion_mode=None)
    return replace(query, candidates=candidates, spectrum=spectrum, **changes)


def test_a_candidate_that_cannot_form_the_ion_comes_last(model, queries):
    changed = [without_hydrogens(queries[0]), replace(queries[1], candidates=queries[0].candidates)]
    impossible, possible = score_queries(model, changed)
    (plain,) = score_queries(model, [replace(changed[0], candidates=queries[0].candidates)])

    assert impossible.scores["model"][-1] == impossible.scores["exchanged"][-1] == -np.inf
    assert impossible.scores["bond_breaking"][-1] == 0
    as_decoy = score_queries(model, [replace(changed[0], candidates=changed[0].candidates[::2])])
    assert next(as_decoy).probabilities["model"][1] == 0
    assert impossible.scores["model"][:-1] == pytest.approx(plain.scores["model"][:-1], abs=1e-5)
    assert np.isfinite(possible.scores["model"]).all()
    found = compute_metrics([impossible], threshold=0.5)
    assert all(0 <= row.value <= 1 for rows in found.values() for row in rows)


def test_candidates_that_only_some_spectra_of_a_list_allow(model, queries):
    negative = without_hydrogens(queries[0])
    positive = replace(negative, spectrum=queries[0].spectrum)
    first, second = score_queries(model, [negative, positive])

    assert np.isfinite(first.scores["model"]).tolist() == [True, True, False]
    assert np.isfinite(second.scores["model"]).all()
    assert second.similarities[COSINE]["model"] is not None


def test_a_structure_that_cannot_form_its_own_ion_is_an_error_that_names_the_query(model, queries):
    broken = without_hydrogens(queries[0], truth=2)
    with pytest.raises(AdductError, match=f"^{re.escape(broken.spectrum.identifier)}: adduct"):
        list(score_queries(model, [broken]))
