from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from team5.assessment.structure_only import fit_molecule_only, training_similarities
from team5.chemistry.molecule import parse_smiles
from team5.data.decoys import CandidatePool
from team5.data.structures import TrainingStructures
from team5.errors import DataError

# Alcohols were trained on; the pool has ethers of their masses.
ALCOHOLS = ["CCCO", "CC(C)O", "CCCCO", "CCC(C)O", "CC(C)CO", "CCCCCO", "CCC(O)CC", "CCCC(C)O"]
ETHERS = ["CCOC", "CCOCC", "CCCOC", "COC(C)C", "CCCOCC", "CCCCOC", "CCOC(C)C", "COC(C)(C)C"]


def training(smiles=ALCOHOLS, held_out=()):
    molecules = {m.inchikey14: m for m in map(parse_smiles, smiles)}
    return TrainingStructures(molecules, frozenset(held_out), ())


def pool(smiles):
    molecules = [parse_smiles(text) for text in smiles]
    return CandidatePool.from_structures(
        smiles, *zip(*[(m.inchikey14, m.formula, m.exact_mass) for m in molecules], strict=True)
    )


def test_it_tells_what_was_trained_on_from_others_of_the_mass():
    model = fit_molecule_only(training(), pool(ETHERS))

    assert (model.n_positive, model.n_negative) == (8, 8)
    alcohol, ether = model.log_odds([parse_smiles("CCCCC(C)O"), parse_smiles("CCCCOCC")])
    assert alcohol > ether


def test_structures_of_other_folds_are_never_taken_as_false_ones():
    held_out = [parse_smiles(smiles).inchikey14 for smiles in ETHERS[1:]]
    model = fit_molecule_only(training(held_out=held_out), pool(ETHERS))

    assert model.n_negative == 2  # CCOC alone is left, for the two alcohols of its mass
    with pytest.raises(DataError, match="no structure of the masses"):
        fit_molecule_only(training(held_out=held_out), pool(ETHERS[1:]))


def test_fit_is_the_same_each_time_and_in_any_order():
    first = fit_molecule_only(training(), pool(ETHERS))
    again = fit_molecule_only(training(ALCOHOLS[::-1]), pool(ETHERS[::-1]))

    molecules = [parse_smiles(smiles) for smiles in ALCOHOLS + ETHERS]
    assert np.array_equal(first.log_odds(molecules), again.log_odds(molecules))


def test_similarity_is_that_to_the_nearest_training_structure():
    found = training_similarities({"own": "OCCC", "far": "c1ccccc1"}, training())

    assert found["own"] == 1.0
    assert found["far"] == 0.0


def test_a_structure_of_the_pool_that_is_none_is_named_with_its_file():
    wrong = pa.array(["C("] * len(ETHERS), pa.large_string())
    with pytest.raises(DataError, match=r"pool\.parquet: SMILES 'C\('"):
        fit_molecule_only(training(), replace(pool(ETHERS), smiles=wrong, unparsed="pool.parquet"))
