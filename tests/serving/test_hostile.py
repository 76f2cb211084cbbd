"""The same wrong input gives the same typed error from Python, the command line and HTTP."""

import json
import runpy
import sys

import pytest

from team5.data.spectrum import Spectrum
from team5.errors import Team5Error
from team5.inference.inference import infer
from tests.serving.conftest import REPOSITORY, SHIPPED, TOLERANCE
from tests.serving.hostile import HOSTILE, HOSTILE_BODIES

IDS = [hostile.name for hostile in HOSTILE]
TYPED = [hostile for hostile in HOSTILE if hostile.is_typed]


def said_by_python(model, item) -> Team5Error:
    given = {"smiles": None, **item}
    if "spectra" in given:
        given["spectra"] = [Spectrum(**one) for one in given["spectra"]]
    with pytest.raises(Team5Error) as raised:
        infer(model, None, **given)
    return raised.value


@pytest.mark.parametrize("hostile", HOSTILE, ids=IDS)
def test_http_says_what_python_says(hostile, server, model):
    error = said_by_python(model, hostile.item)
    assert type(error) is hostile.error
    body = json.dumps(hostile.item)  # writes NaN and Infinity as Python reads them
    answer = server.http.post("/predict", content=body)
    assert answer.status_code == 422
    detail = answer.json()["error"]
    assert detail["type"] == type(error).__name__
    assert detail["message"] == str(error)


@pytest.mark.parametrize("hostile", TYPED, ids=[hostile.name for hostile in TYPED])
def test_command_line_says_what_python_says(hostile, model, monkeypatch, capsys):
    error = said_by_python(model, hostile.item)
    argv = ["predict.py", f"checkpoints_root={SHIPPED}", *hostile.words()]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as exited:
        runpy.run_path(str(REPOSITORY / "predict.py"), run_name="__main__")
    assert exited.value.code == 2
    assert capsys.readouterr().err == f"{type(error).__name__}: {error}\n"


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_body_that_is_no_item_is_refused(name, server):
    body, status = HOSTILE_BODIES[name]
    answer = server.http.post("/predict", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["type"].endswith("Error")


def test_server_is_well_after_all_that(server):
    assert server.process.poll() is None
    assert server.http.get("/health/ready").json()["status"] == "ready"
    assert server.metric("team5_worker_restarts_total") == 0
    answer = server.http.post("/predict", json={"smiles": "CCO"})
    assert answer.status_code == 200


def test_bad_items_get_their_own_errors_and_their_neighbours_answers(server, model):
    good = {"smiles": "CC(=O)Oc1ccccc1C(=O)O", "mzs": [121.0284], "intensities": [1.0]}
    items = []
    for hostile in HOSTILE:
        if len(json.dumps(hostile.item)) < 100_000:
            items += [hostile.item, good]
    answers = server.http.post("/predict", content=json.dumps(items)).json()
    expected = infer(model, None, **good).to_dict()
    assert len(answers) == len(items)
    for number, (item, answer) in enumerate(zip(items, answers, strict=True)):
        if item is good:
            found = answer["answer"]["probability"]
            assert found == pytest.approx(expected["probability"], rel=TOLERANCE)
        else:
            assert answer["error"]["where"].startswith(f"items[{number}]")
