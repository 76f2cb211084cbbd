"""A server that strangers reach: no request silences it, takes its memory or its turn for long."""

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from benchmarks.serving_attack import ASPIRIN, ATTACKS
from tests.serving.conftest import INTENSITIES, MZS, SMILES, Running, copy_of_shipped, running
from tests.serving.test_lifecycle import wait_until

QUESTION = {"smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES}
MGF = "BEGIN IONS\nPEPMASS=181.05\n121.0284 1\nEND IONS\n"
# Of the server's processor time between two signs of life, so that a busy machine fails no test.
LONGEST_SILENCE_S = 0.5


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  (one line of a pseudo file)
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Pulse(threading.Thread):
    """Asks whether a server is alive, again and again, and notes what it did in between."""

    def __init__(self, server: Running) -> None:
        super().__init__()
        self.server = server
        self.longest_s = 0.0
        self.highest_mb = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        pid = self.server.process.pid
        with httpx.Client(base_url=self.server.url, timeout=120) as http:
            before = cpu_s(pid)
            while not self.done.wait(0.02):
                http.get("/health/live").raise_for_status()
                after = cpu_s(pid)
                self.longest_s = max(self.longest_s, after - before)
                self.highest_mb = max(self.highest_mb, memory_mb(pid))
                before = after

    def __enter__(self) -> "Pulse":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


@pytest.fixture(scope="module")
def attacked():
    with running() as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_no_request_silences_the_server(attacked: Running, name):
    attack = ATTACKS[name]
    body = attack.make_body()
    assert len(body) <= 10_000_000
    before_mb = memory_mb(attacked.process.pid)
    with Pulse(attacked) as pulse:
        answer = attacked.http.post(
            attack.path, content=body, headers={"content-type": attack.content_type}, timeout=300
        )
    assert answer.status_code in (*attack.statuses, 503), answer.text[:500]
    if answer.status_code != 200:
        assert len(answer.content) < 50_000
        assert answer.json()["error"]["code"]
    assert pulse.longest_s <= LONGEST_SILENCE_S
    assert pulse.highest_mb - before_mb < 300
    assert len(answer.content) < 100_000_000


def test_impossible_peaks_of_many_candidates_are_listed_once(attacked: Running):
    mzs = [100.0 + i for i in range(200)]
    question = {"smiles": [ASPIRIN] * 30, "mzs": mzs, "intensities": [1.0] * 200}
    first, *others = attacked.http.post("/predict", json=question).json()
    assert len(first["impossible_mzs"]) > 100
    assert all(match["impossible_mzs"] is None for match in others)
    ethanol = {**question, "smiles": [ASPIRIN, "CCO"]}
    first, second = attacked.http.post("/predict", json=ethanol).json()
    assert len(second["impossible_mzs"]) > len(first["impossible_mzs"])


@pytest.mark.parametrize("values", [
    {"collision_energy": {"a": 1}}, {"instrument_type": [1]}, {"collision_energy": [1]},
    {"instrument_type": {"a": 1}}, {"precursor_mz": float("inf")}, {"adduct": {"a": 1}},
])  # fmt: skip
def test_values_of_a_wrong_kind_are_refused(attacked: Running, values):
    body = json.dumps({**QUESTION, **values})
    answer = attacked.http.post("/predict", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["argument"] == next(iter(values))


def test_bodies_beyond_the_memory_there_is_come_back_later():
    """Large ones are refused while they come, and small ones answered beside them."""
    with running("limits.memory_mb=300", "limits.body_s=20") as server:
        head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n"
        socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]

        def send(sock: socket.socket) -> None:
            with contextlib.suppress(ConnectionError):  # refused before all of it was sent
                sock.sendall(head + b" " * 8_000_000)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, socks))
        answers = []
        for sock in socks:
            sock.settimeout(1)
            try:
                answers.append(sock.recv(10_000))
            except (TimeoutError, ConnectionError):
                answers.append(b"")
        assert any(answer.startswith(b"HTTP/1.1 503") for answer in answers)
        refused = next(answer for answer in answers if answer.startswith(b"HTTP/1.1 503"))
        assert b"retry-after" in refused.lower()
        assert b"OverloadedError" in refused
        assert server.http.post("/predict", json=QUESTION).status_code == 200
        for sock in socks:
            sock.close()
        wait_until(
            lambda: server.http.post("/predict", content=b" " * 9_000_000).status_code == 422
        )


@pytest.mark.slow
def test_answers_that_nobody_reads_take_no_more_than_the_budget():
    question = json.dumps({"smiles": [SMILES] * 400, "mzs": [121.0284] * 500,
                           "intensities": [1.0] * 500}).encode()  # fmt: skip
    with running("limits.memory_mb=300") as server:
        head = f"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {len(question)}\r\n\r\n"
        socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(head.encode() + question)
        wait_until(lambda: server.metric("team5_queue_pairs") == 0, timeout_s=200)
        (worker,) = server.children()
        assert memory_mb(server.process.pid) < 700
        assert memory_mb(worker) < 1500
        assert server.http.post("/predict", json=QUESTION).status_code == 200
        for sock in socks:
            sock.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uploads", "drawings"])
def test_costly_calls_hold_up_nobody(attacked: Running, kind):
    """Six at a time, for more processes than there are, and a small one beside them."""
    if kind == "uploads":
        path, dear = "/spectra/read", {"spectra": "BEGIN IONS\n50 1\nEND IONS\n" * 300_000}
        cheap = {"spectra": MGF}
    else:
        path, dear = "/draw", {"smiles": ".".join(["C"] * 1000)}
        cheap = {"smiles": "CCO"}
    assert attacked.http.post(path, json=cheap).status_code == 200  # its process is there
    with ThreadPoolExecutor(6) as pool:
        costly = [
            pool.submit(httpx.post, attacked.url + path, json=dear, timeout=200) for _ in range(6)
        ]
        time.sleep(1)
        answer = attacked.http.post(path, json=cheap)
        assert answer.status_code == 200
        n_done = sum(future.done() for future in costly)
        assert n_done < 6 or kind == "uploads"
        for future in costly:
            assert future.result().status_code in (200, 422, 503)


def test_sigterm_during_long_rankings_answers_or_refuses_and_ends():
    question = {**QUESTION, "smiles": [SMILES] * 9000}
    with running("shutdown_s=2") as server, ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(httpx.post, f"{server.url}/predict", json=question, timeout=100)
            for _ in range(2)
        ]
        wait_until(lambda: server.metric("team5_queue_pairs") >= 18_000)
        server.process.send_signal(signal.SIGTERM)
        answers = [future.result() for future in asked]
        assert server.process.wait(timeout=30) in (0, 143)
    for answer in answers:
        assert answer.status_code in (200, 503)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["type"] == "WorkerError"


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_tracker_on_a_hung_disk_hangs_no_answer_and_no_process():
    root = copy_of_shipped()
    with running("poll_s=0.1", "limits.registry_s=0.5", root=root) as server:
        tracker = root / "checkpoint_tracker.json"
        tracker.unlink()
        os.mkfifo(tracker)  # whoever opens it waits for a writer that never comes
        named = server.http.post("/predict?version=latest", json=QUESTION)
        assert named.status_code == 503
        assert named.json()["error"]["type"] == "StorageError"
        assert server.http.get("/versions").status_code == 503
        assert server.http.post("/predict", json=QUESTION).status_code == 200
        assert server.http.get("/health/ready").status_code == 200
        processes = server.children()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: all(map(is_gone, processes)))
    shutil.rmtree(root.parent)


def test_sigterm_ends_a_server_whose_disk_hangs():
    root = copy_of_shipped()
    with running("limits.registry_s=0.5", root=root) as server:
        (root / "checkpoint_tracker.json").unlink()
        os.mkfifo(root / "checkpoint_tracker.json")
        assert server.http.get("/versions").status_code == 503
        processes = server.children()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) in (0, 143)
        wait_until(lambda: all(map(is_gone, processes)))
    shutil.rmtree(root.parent)
