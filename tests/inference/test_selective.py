import json
from dataclasses import replace

import numpy as np
import pytest

from team5.errors import ConfigError
from team5.inference.inference import infer
from team5.inference.selective import why_withheld

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
ISOMER = "CCCN1C2=C(NC=N2)C(=O)NC1=O"
PEAKS = [195.0877, 138.0662, 110.0713], [100.0, 60.0, 15.0]


def hold_back(match, calibration, max_error):
    sure = max(match.probability, 1 - match.probability)
    return replace(match, abstained=why_withheld("match", sure, calibration, max_error))


def calibration(n: int = 400) -> dict[str, dict[str, list[float]]]:
    """Answers below 0.8 are wrong half of the time, those above never."""
    sure = np.linspace(0.5, 1.0, n)
    answers = {
        "confidences": sure.tolist(),
        "wrong": [int(c < 0.8 and i % 2 == 0) for i, c in enumerate(sure)],
        "groups": list(range(n)),
    }
    return {"match": answers, "rank": answers}


@pytest.fixture
def calibrated(model):
    model.calibration = calibration()
    yield model
    model.calibration = None


def test_a_match_is_held_back_where_it_is_not_sure_enough(calibrated):
    match = infer(calibrated, None, CAFFEINE, *PEAKS)
    assert match.abstained is None
    for probability, held in ((0.95, False), (0.02, False), (0.6, True), (0.45, True)):
        answer = hold_back(replace(match, probability=probability), calibrated.calibration, 0.1)
        assert (answer.abstained is not None) is held
    assert "the label is 55% sure" in answer.abstained
    assert "withheld" in str(answer)
    assert answer.to_dict()["abstained"] == answer.abstained


def test_a_ranking_is_held_back_as_a_whole(calibrated):
    two_alike = infer(calibrated, None, [CAFFEINE, CAFFEINE], *PEAKS, max_error=0.1)
    assert {match.abstained for match in two_alike} == {
        "the first place is not sure enough for an error of at most 10%"
    }
    clear = infer(calibrated, None, [CAFFEINE, ISOMER], *PEAKS, max_error=0.4)
    assert all(match.abstained is None for match in clear)


def test_the_more_error_is_accepted_the_fewer_answers_are_held_back(calibrated):
    match = infer(calibrated, None, CAFFEINE, *PEAKS)
    answers = [replace(match, probability=p) for p in np.linspace(0.5, 1, 50)]
    held = [
        sum(hold_back(a, calibrated.calibration, e).abstained is not None for a in answers)
        for e in (0.02, 0.1, 0.2, 0.4)
    ]
    assert held == sorted(held, reverse=True)
    assert held[0] > held[-1]


def test_an_error_that_was_never_shown_holds_back_every_answer(calibrated):
    calibrated.calibration = calibration(n=20)
    match = infer(calibrated, None, CAFFEINE, *PEAKS, max_error=0.01)
    assert "no answer of this version is sure enough" in match.abstained


def test_pairs_are_held_back_one_by_one(calibrated):
    two = [PEAKS[0]] * 2, [PEAKS[1]] * 2
    matches = infer(calibrated, None, [CAFFEINE, "CC(=O)Oc1ccccc1C(=O)O"], *two, max_error=0.1)
    assert [match.rank for match in matches] == [None, None]
    json.dumps([match.to_dict() for match in matches])


@pytest.mark.parametrize("max_error", [0, 1, -1, 2, "a", float("nan")])
def test_an_error_rate_is_a_share(calibrated, max_error):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        infer(calibrated, None, CAFFEINE, *PEAKS, max_error=max_error)


def test_a_version_without_calibration_says_so(model):
    with pytest.raises(ConfigError, match="needs a version that stores"):
        infer(model, None, CAFFEINE, *PEAKS, max_error=0.1)


def test_there_is_nothing_to_hold_back_in_a_simulation(calibrated):
    with pytest.raises(ConfigError, match="Leave it out to simulate"):
        infer(calibrated, None, CAFFEINE, max_error=0.1)
