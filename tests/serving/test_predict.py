"""POST /predict answers as infer does."""

import asyncio
import json
import random

import httpx
import pytest

from team5.data.spectrum import Spectrum
from team5.inference.inference import infer
from tests.serving.conftest import INTENSITIES, ISOMER, MZS, SMILES, TOLERANCE

SPECTRA = [
    {"mzs": MZS, "intensities": INTENSITIES, "collision_energy": "20 eV"},
    {"mzs": MZS[1:], "intensities": INTENSITIES[1:], "collision_energy": 40, "adduct": "[M+H]+"},
]
QUESTIONS = {
    "match": {"smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES},
    "match in full": {
        "smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES, "adduct": "[M+Na]+",
        "precursor_mz": 203.0315, "collision_energy": "35 NCE", "instrument_type": "QTOF"},
    "rank": {"smiles": [SMILES, ISOMER, "CCO"], "mzs": MZS, "intensities": INTENSITIES},
    "a list of one": {"smiles": [SMILES], "mzs": MZS, "intensities": INTENSITIES},
    "pairs": {"smiles": [SMILES, ISOMER], "mzs": [MZS, MZS[1:]],
              "intensities": [INTENSITIES, INTENSITIES[1:]]},
    "several spectra": {
        "smiles": SMILES, "mzs": [MZS, MZS[1:]], "intensities": [INTENSITIES, INTENSITIES[1:]]},
    "together": {"smiles": [SMILES, ISOMER], "spectra": SPECTRA},
    "simulate": {"smiles": SMILES, "collision_energy": "35 eV"},
    "simulate several": {"smiles": [SMILES, ISOMER, "CCO"], "adduct": "[M-H]-"},
    "an unknown adduct": {
        "smiles": [SMILES, ISOMER, "CC(=O)Nc1ccc(O)cc1"], "mzs": MZS, "intensities": INTENSITIES,
        "adduct": "auto", "precursor_mz": 203.0315},
    "one of several adducts": {
        "smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES,
        "adduct": ["[M+H]+", "[M+Na]+"], "precursor_mz": 203.0315},
    "spectra of unknown adduct": {"smiles": [SMILES, ISOMER], "spectra": [
        {"mzs": MZS, "intensities": INTENSITIES, "adduct": "[M+H]+,[M+Na]+", "precursor_mz": mz}
        for mz in (181.0495, 203.0315)]},
    "salt": {"smiles": "[Na+].CC(=O)[O-]", "mzs": [59.01], "intensities": [1]},
}  # fmt: skip


def answer_of_infer(model, question):
    given = dict(question)
    if "spectra" in given:
        given["spectra"] = [Spectrum(**one) for one in given["spectra"]]
    found = infer(model, None, **given)
    return [one.to_dict() for one in found] if isinstance(found, list) else found.to_dict()


def same(found, expected, tolerance=0.0):
    """Whether two answers are equal, numbers within a tolerance."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[key], expected[key], tolerance) for key in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(
            same(a, b, tolerance) for a, b in zip(found, expected, strict=True)
        )
    if isinstance(expected, float) and isinstance(found, float) and tolerance:
        return found == pytest.approx(expected, rel=tolerance, abs=tolerance)
    return found == expected


@pytest.mark.parametrize("name", QUESTIONS)
def test_alone_the_answer_is_that_of_infer_to_the_last_digit(name, server, model):
    question = QUESTIONS[name]
    answer = server.http.post("/predict", json=question)
    assert answer.status_code == 200
    # What infer computes one by one here shares a batch.
    tolerance = TOLERANCE if name in ("pairs", "several spectra", "simulate several") else 0.0
    expected = json.loads(json.dumps(answer_of_infer(model, question)))
    assert same(answer.json(), expected, tolerance)


def test_list_in_list_out_in_order(server, model):
    questions = list(QUESTIONS.values())
    answers = server.http.post("/predict", json=questions).json()
    wrapped = server.http.post("/predict", json={"items": questions}).json()["items"]
    assert len(answers) == len(wrapped) == len(questions)
    for question, *found in zip(questions, answers, wrapped, strict=True):
        expected = answer_of_infer(model, question)
        for one in found:
            assert same(one["answer"], expected, TOLERANCE)


def test_empty_list_has_no_answers(server):
    assert server.http.post("/predict", json=[]).json() == []
    assert server.http.post("/predict", json={"items": []}).json() == {"items": []}


def test_answers_of_many_callers_are_not_mixed_up(server, model):
    questions = list(QUESTIONS.values())
    expected = [answer_of_infer(model, question) for question in questions]

    async def ask_all() -> list:
        rng = random.Random(0)
        asked = [rng.randrange(len(questions)) for _ in range(60)]
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            answers = await asyncio.gather(
                *(http.post("/predict", json=questions[number]) for number in asked)
            )
        return list(zip(asked, answers, strict=True))

    for number, answer in asyncio.run(ask_all()):
        assert same(answer.json(), expected[number], TOLERANCE)
    assert server.metric("team5_batch_items_sum") > server.metric("team5_batch_items_count")


def test_every_answer_names_version_and_hash(server, model):
    ready = server.http.get("/health/ready").json()
    assert ready["version_hash"] == model.version_hash
    for question in QUESTIONS.values():
        found = server.http.post("/predict", json=question).json()
        for one in found if isinstance(found, list) else [found]:
            assert (one["version"], one["version_hash"]) == ("v0.1", model.version_hash)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/ld+json", "application/x-www-form-urlencoded", ""]
)
def test_json_may_be_declared_as_curl_does_or_not_at_all(server, kind):
    answer = server.http.post(
        "/predict", content=b'{"smiles": "CCO"}', headers={"content-type": kind}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "version", ["../../etc", "v0.1/../../x", "%2e%2e%2f", "/etc/passwd", "", "v0.01", "\0", "v0.1 "]
)
def test_version_that_is_none_names_no_path(server, version):
    answer = server.http.post("/predict", params={"version": version}, json={"smiles": "CCO"})
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "VersionError"
    assert answer.json()["error"]["where"] == "version"


def test_version_that_is_not_there(server):
    answer = server.http.post("/predict?version=v7.7", json={"smiles": "CCO"})
    assert answer.status_code == 404
    assert 'no version "v7.7"' in answer.json()["error"]["message"]
    assert server.http.get("/versions/v7.7").status_code == 404


def test_versions_are_listed(server):
    listed = server.http.get("/versions").json()
    assert (listed["latest"], listed["serving"]) == ("v0.1", "v0.1")
    assert server.http.get("/versions/v0.1").json() == listed["versions"][0]
    assert server.http.get("/versions/latest").json()["performance"]["accuracy"] == 0.5


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/nowhere", 404, "path_not_found"), ("GET", "/docs/nowhere", 404, "path_not_found"),
    ("PUT", "/predict", 405, "method_not_allowed"), ("GET", "/predict", 405, "method_not_allowed"),
    ("GET", "/docs/../../pyproject.toml", 404, "path_not_found"),
    ("GET", "/%2e%2e/%2e%2e/app.py", 404, "path_not_found"),
    ("POST", "/docs/", 405, "method_not_allowed"),
])  # fmt: skip
def test_what_there_is_not_is_refused_in_json(server, method, path, status, code):
    answer = server.http.request(method, path)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"type", "message", "code", "argument", "where"}
    assert error["code"] == code
    if path == "/predict":
        assert answer.headers["allow"] == "POST"
        assert f"/predict takes POST, not {method}" in error["message"]
