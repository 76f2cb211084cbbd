"""Who may ask, how much at once, and connections that nobody may hold open."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.serving.conftest import INTENSITIES, MZS, REPOSITORY, SMILES, Running, running

QUESTION = {"smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES}
TOKEN = "a-token-of-its-own"


@pytest.fixture(scope="module")
def strict():
    """A server with a token and small limits."""
    limits = {
        "body_mb": 0.2,
        "peaks": 10,
        "atoms": 50,
        "candidates": 400,
        "together": 20,
        "queue_requests": 4,
        "queue_pairs": 600,
        "request_s": 3,
        "headers_s": 1,
        "body_s": 1,
        "connections": 40,
    }
    settings = [f"limits.{name}={value}" for name, value in limits.items()]
    with running(*settings, "cors_origins=[https://lab.example.org]", token=TOKEN) as one:
        yield one


@pytest.mark.parametrize("given", [
    None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer  {TOKEN}",
    TOKEN, f"Basic {TOKEN}", "Bearer \xff\xfe",
])  # fmt: skip
def test_without_the_token_nothing_is_answered(strict: Running, given):
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    with httpx.Client(base_url=strict.url) as stranger:
        for method, path in (
            ("POST", "/predict"), ("POST", "/rank/file"), ("POST", "/spectra/read"),
            ("POST", "/draw"), ("GET", "/versions"), ("GET", "/versions/v0.1"), ("GET", "/metrics"),
            ("POST", "//predict"), ("GET", "/nowhere"),
        ):  # fmt: skip
            answer = stranger.request(method, strict.url + path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "UnauthorizedError"
            assert answer.headers["www-authenticate"] == "Bearer"


def test_page_docs_and_health_are_open(strict: Running):
    with httpx.Client(base_url=strict.url, follow_redirects=True) as stranger:
        for path in (
            "/",
            "/docs",
            "/docs/docs.js",
            "/openapi.json",
            "/health/live",
            "/health/ready",
        ):
            assert stranger.get(path).status_code == 200


def test_token_opens_and_is_written_nowhere(strict: Running):
    assert strict.http.post("/predict", json=QUESTION).status_code == 200
    assert TOKEN not in strict.http.get("/metrics").text
    assert TOKEN not in strict.log.read_text()
    command = (f"/proc/{pid}/cmdline" for pid in [strict.process.pid, *strict.children()])
    for path in command:
        with open(path) as file:  # noqa: PTH123
            assert TOKEN not in file.read()


def test_other_pages_may_ask_only_if_they_are_named(strict: Running, server: Running):
    def allowed(one: Running, origin: str) -> str | None:
        answer = one.http.options(
            "/predict",
            headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                     "Access-Control-Request-Headers": "authorization"},
        )  # fmt: skip
        return answer.headers.get("access-control-allow-origin")

    assert allowed(strict, "https://lab.example.org") == "https://lab.example.org"
    assert allowed(strict, "https://elsewhere.example.org") is None
    assert allowed(server, "https://lab.example.org") is None


@pytest.mark.parametrize(("item", "kind", "said"), [
    ({**QUESTION, "mzs": MZS * 3, "intensities": INTENSITIES * 3}, "SpectrumError", "15 peaks"),
    ({"smiles": SMILES, "spectra": [{"mzs": MZS * 3, "intensities": INTENSITIES * 3}]},
     "SpectrumError", "15 peaks"),
    ({"smiles": "C" * 51}, "MoleculeError", "51 atoms; at most 50"),
    ({"smiles": "[13CH3]" + "[13CH2]" * 60}, "MoleculeError", "61 atoms; at most 50"),
    ({**QUESTION, "smiles": [SMILES] * 401}, "ConfigError", "401 pairs"),
    ({"smiles": [SMILES] * 201, "spectra": [{"mzs": MZS, "intensities": INTENSITIES}] * 2},
     "ConfigError", "402 pairs"),
    ([QUESTION] * 401, "ConfigError", "401 pairs"),
    ({"smiles": SMILES, "spectra": [{"mzs": [121.0], "intensities": [1]}] * 21},
     "ConfigError", "21 spectra of one compound; at most 20"),
])  # fmt: skip
def test_beyond_a_limit_is_422(strict: Running, item, kind, said):
    answer = strict.http.post("/predict", json=item)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == kind
    assert said in answer.json()["error"]["message"]


def test_atoms_are_counted_as_rdkit_counts_them():
    from rdkit import Chem

    from team5.errors import MoleculeError
    from team5.serving.items import check_atoms
    from team5.serving.settings import Limits
    from tests.chemistry.structures import SMILES as STRUCTURES

    params = Chem.SmilesParserParams()
    params.removeHs = False
    for smiles in STRUCTURES.values():
        n_atoms = Chem.MolFromSmiles(smiles, params).GetNumAtoms()
        check_atoms(smiles, Limits(atoms=n_atoms))
        if n_atoms > 1:
            with pytest.raises(MoleculeError, match=f"{n_atoms} atoms"):
                check_atoms(smiles, Limits(atoms=n_atoms - 1))


def test_large_bodies_are_refused_while_they_come(strict: Running):
    large = b" " * 300_000
    assert strict.http.post("/predict", content=large).status_code == 413
    chunked = (b" " * 1000 for _ in range(300))
    answer = strict.http.post("/predict", content=chunked)
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "TooLargeError"
    files = {"spectra": ("a.mgf", large)}
    assert strict.http.post("/spectra/read", files=files).status_code == 413


def test_full_queue_sends_away_with_a_time_to_come_back(strict: Running):
    long_question = {**QUESTION, "smiles": [SMILES] * 400}
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda _: strict.http.post("/predict", json=long_question), range(12))
        )
    statuses = {answer.status_code for answer in answers}
    assert 200 in statuses
    assert statuses <= {200, 429, 503}
    assert 429 in statuses
    for answer in answers:
        if answer.status_code != 200:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.json()["error"]["type"] in ("BusyError", "LateError")


@pytest.mark.slow
def test_small_questions_are_answered_beside_a_large_one(server: Running):
    with ThreadPoolExecutor() as pool:
        large = pool.submit(
            httpx.post, f"{server.url}/predict", json={**QUESTION, "smiles": [SMILES] * 3000},
            timeout=120,
        )  # fmt: skip
        while server.metric("team5_queue_pairs") < 3000:
            pass
        for _ in range(5):
            assert server.http.post("/predict", json=QUESTION).status_code == 200
        assert not large.done()
        ranks = [match["rank"] for match in large.result().json()]
    assert ranks == list(range(1, 3001))


def connection(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def test_connections_beyond_the_limit_are_told_to_come_back():
    with running("limits.connections=4", "limits.headers_s=60") as own, httpx.Client() as first:
        assert first.get(f"{own.url}/health/live").status_code == 200  # its connection stays open
        idle = [connection(own) for _ in range(3)]
        with httpx.Client(base_url=own.url) as beyond:
            answer = beyond.post("/predict", json=QUESTION)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["connection"] == "close"
            assert answer.json()["error"]["type"] == "CrowdedError"
            assert beyond.get("/health/ready").json()["status"] == "ready"
        assert first.post(f"{own.url}/predict", json=QUESTION).status_code == 200
        idle += [connection(own) for _ in range(80)]
        assert idle[-1].recv(1) == b""  # so far beyond that nothing is said
        assert first.post(f"{own.url}/predict", json=QUESTION).status_code == 200
        for sock in idle:
            sock.close()
        until = time.monotonic() + 60
        while httpx.post(f"{own.url}/predict", json=QUESTION).status_code != 200:
            assert time.monotonic() < until


@pytest.mark.parametrize("sent", [
    b"", b"POST /pre", b"POST /predict HTTP/1.1\r\nHost: [::1]\r\n",
    b"POST /predict HTTP/1.1\r\nHost: [::1]\r\nA: " + b"b" * 100,
])  # fmt: skip
def test_headers_that_do_not_come_close_the_connection(strict: Running, sent):
    with connection(strict) as sock:
        sock.sendall(sent)
        assert sock.recv(1000) == b""  # the end of the connection itself


def test_dripping_headers_does_not_help(strict: Running):
    with connection(strict) as sock:
        for _ in range(1200):
            try:
                sock.sendall(b"A")
            except OSError:  # the end of the connection
                return
            time.sleep(0.05)
    raise AssertionError("the connection is still open")


def test_body_that_does_not_come_is_refused(strict: Running):
    head = (
        f"POST /predict HTTP/1.1\r\nHost: [::1]\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Connection: close\r\nContent-Length: 100\r\n\r\n{"
    )
    with connection(strict) as sock:
        sock.sendall(head.encode())
        answer = b"".join(iter(lambda: sock.recv(10_000), b""))
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"did not come within 1 s" in answer


@pytest.mark.parametrize("sent", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01", b"hello\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Length: -1\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]\r\nA: " + b"b" * 2_000_000 + b"\r\n\r\n",
])  # fmt: skip
def test_what_is_no_http_is_refused(server: Running, sent):
    with connection(server) as sock:
        try:
            sock.sendall(sent)
            answer = sock.recv(10_000)
        except ConnectionError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert server.http.get("/health/live").status_code == 200


def test_answer_that_is_half_asked_for_leaves_the_server_well(server: Running):
    body = json.dumps(QUESTION).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head, head + body[:20], head + body):
        with connection(server) as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(100_000)
        with connection(server) as sock:
            sock.sendall(sent)
    assert server.http.post("/predict", json=QUESTION).status_code == 200


def test_two_requests_in_one_packet_get_two_answers(server: Running):
    body = json.dumps(QUESTION).encode()
    one = f"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connection(server) as sock:
        sock.sendall((one + body) * 2)
        received = b""
        while received.count(b"HTTP/1.1 200") < 2:
            chunk = sock.recv(100_000)
            assert chunk, "the connection is closed after one answer"
            received += chunk


def test_python_says_which_extra_is_missing(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['serve.py']; "
        "import runpy; runpy.run_path('serve.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "serving needs the extra serve: pip install" in done.stderr
