"""What /docs says is so."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.conftest import Running

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


@pytest.fixture(scope="module")
def document(server: Running) -> dict:
    return server.http.get("/openapi.json").json()


def test_every_body_has_an_example_and_every_example_works_when_pasted(server, document):
    posts = {path: of["post"] for path, of in document["paths"].items() if "post" in of}
    assert set(posts) == {"/predict", "/rank/file", "/spectra/read", "/draw"}
    for path, operation in posts.items():
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        assert examples
        for example in examples.values():
            answer = server.http.post(path, json=example["value"])
            assert answer.status_code == 200, answer.text


def test_examples_ask_each_question(server, document):
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]

    def answers(name):
        return server.http.post("/predict", json=examples[name]["value"]).json()

    assert "probability" in answers("match")
    assert [match["rank"] for match in answers("rank")] != [None, None]
    assert "formulas" in answers("simulate")
    assert len(answers("together")) == 2
    assert [set(one) for one in answers("items")["items"]] == [{"answer"}, {"answer"}]


def test_every_route_is_described(document):
    paths = {path: set(of) for path, of in document["paths"].items()}
    assert paths == {
        **{path: {"post"} for path in ("/predict", "/rank/file", "/spectra/read", "/draw")},
        **{path: {"get"} for path in ("/versions", "/versions/{version}", "/metrics")},
        "/libraries": {"get"},
        **{path: {"get"} for path in ("/health/live", "/health/ready")},
    }


def test_every_reference_is_there(document):
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert named <= document["components"]["schemas"].keys()


@pytest.mark.parametrize("page", ["/", "/docs/", "/docs/docs.js", "/docs/docs.css"])
def test_pages_need_nothing_from_the_internet(server, page):
    answer = server.http.get(page)
    assert answer.status_code == 200
    outside = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^\s"')]+""", answer.text)
    assert outside == []
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("asset", ["/", "/main.js", "/style.css", "/docs/", "/docs/docs.js"])
def test_assets_are_sent_again_only_when_they_have_changed(server, asset):
    first = server.http.get(asset)
    again = server.http.get(asset, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = server.http.get(asset, headers={"If-None-Match": '"another"'})
    assert (other.status_code, other.content) == (200, first.content)
    for answer in (first, again, other):
        assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.slow
def test_answers_to_anything_fit_the_document(server: Running, tmp_path):
    """What the document allows, and what it does not: no 5xx, and every answer fits its schema."""
    done = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run", f"{server.url}/openapi.json",
         "--checks", ",".join(CHECKS),
         "--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "1",
         "--generation-deterministic", "--max-examples", "300",
         "--request-timeout", "60"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
