"""Answers that take long say how far they are."""

import json

from tests.serving.conftest import INTENSITIES, MZS, SMILES, TOLERANCE, lines_of, running
from tests.serving.test_predict import same

LONG = {"smiles": [SMILES] * 3000, "mzs": MZS, "intensities": INTENSITIES}
SPECTRUM = "BEGIN IONS\nPEPMASS=181.0495\nCHARGE=1+\n121.0284 100\n139.039 35\nEND IONS\n"


def split(lines):
    """Return how far it was said to be, and what remains."""
    told = [line["progress"] for line in lines if "progress" in line]
    return told, [line for line in lines if "progress" not in line]


def check(told, n_pairs):
    assert told
    assert {one["of"] for one in told} == {n_pairs}
    done = [one["pairs"] for one in told]
    assert done == sorted(done)
    assert 0 < done[-1] < n_pairs


def test_a_long_ranking_says_how_far_it_is_and_then_its_answer(server):
    lines = lines_of(server.http.post("/predict?progress=true", json={"items": [LONG]}))
    told, (body,) = split(lines)
    check(told, 3000)
    plain = server.http.post("/predict", json={"items": [LONG]}).json()
    assert same(body["items"][0]["answer"], plain["items"][0]["answer"], TOLERANCE)


def test_a_list_says_how_far_it_is_for_the_spectrum_under_way(server):
    sent = {"spectra": SPECTRUM, "candidates": f"{SMILES} aspirin\n" * 3000, "keep": 5}
    told, (ranking,) = split(lines_of(server.http.post("/rank/file?progress=true", json=sent)))
    check(told, 3000)
    assert (ranking["n_scored"], len(ranking["candidates"])) == (3000, 5)
    plain = lines_of(server.http.post("/rank/file", json=sent))
    assert same([ranking], plain, TOLERANCE)


def test_what_is_wrong_has_its_status_and_later_a_line():
    with running("limits.request_s=2.5") as one:
        answer = one.http.post("/predict?progress=true", json={"smiles": "C1CC"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "MoleculeError")
        longer = {**LONG, "smiles": [SMILES] * 10_000}
        lines = lines_of(one.http.post("/predict?progress=true", content=json.dumps(longer)))
        told, (last,) = split(lines)
        assert told
        assert last["error"]["type"] == "LateError"
        assert one.http.post("/predict", json={"smiles": SMILES}).status_code == 200
