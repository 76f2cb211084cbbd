import dataclasses
import json
import pickle

import pytest

from team5.inference.results import AnswerList, ExplainedPeak, Match, Simulation

PEAK = ExplainedPeak(121.0284, 1.0, 121.0284, 0.2, "C7H5O2+", (0, 1, 2), ((2, 3), (4, 5)), 0.4)
MATCH = Match(
    smiles="CC(=O)Oc1ccccc1C(=O)O",
    probability=0.87,
    label=True,
    threshold=0.5,
    rank=None,
    score=-1.5,
    explained_intensity=0.82,
    peaks=(PEAK,),
    impossible_mzs=(300.0,),
    formula="C9H8O4",
    adduct="[M+H]+",
    precursor_mz=181.0495,
    precursor_fits=None,
    collision_energy="35 eV",
    version="v0.2",
    version_hash="0123456789ab",
    notes=("stereo is ignored",),
)
SIMULATION = Simulation(
    smiles="CCO",
    mzs=(29.0386, 47.0491),
    intensities=(0.4, 1.0),
    formulas=("C2H5+", "C2H7O+"),
    formula="C2H6O",
    adduct="[M+H]+",
    precursor_mz=47.0491,
    collision_energy=None,
    version="v0.2",
    version_hash="0123456789ab",
    notes=(),
)
RESULTS = [PEAK, MATCH, SIMULATION]


@pytest.mark.parametrize("result", RESULTS)
def test_dict_survives_json_unchanged(result):
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()


@pytest.mark.parametrize("result", RESULTS)
def test_dict_has_every_field_in_order(result):
    assert list(result.to_dict()) == [field.name for field in dataclasses.fields(result)]


@pytest.mark.parametrize("result", RESULTS)
def test_result_is_frozen_and_can_be_pickled(result):
    assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, None)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (PEAK, "121.0284 is C7H5O2+ (+0.2 ppm)"),
        (
            MATCH,
            (
                "CC(=O)Oc1ccccc1C(=O)O (C9H8O4, [M+H]+): probability 0.870, a match at 0.500; "
                "82% of the intensity explained (v0.2)"
            ),
        ),
        (
            SIMULATION,
            (
                "CCO (C2H6O, [M+H]+, no collision energy given): 2 predicted peaks, "
                "base peak 47.0491 C2H7O+ (v0.2)"
            ),
        ),
    ],
)
def test_text_is_one_readable_line(result, line):
    assert str(result) == line


def test_answers_keep_the_order_given_until_they_are_ranked():
    answers = AnswerList(dataclasses.replace(MATCH, rank=rank) for rank in (2, 3, 1))
    assert [match.rank for match in answers.ranked()] == [1, 2, 3]
    assert [match.rank for match in answers] == [2, 3, 1]
