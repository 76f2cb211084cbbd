"""Versions that come and go, a computing process that is killed, and the end."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch

from team5.registry.export import export_version, read_version
from team5.registry.tracker import Tracker
from team5.registry.tracker_format import TrackerEntryFields
from tests.serving.conftest import (
    INTENSITIES,
    MZS,
    REPOSITORY,
    SMILES,
    Running,
    copy_of_shipped,
    running,
)

QUESTION = {"smiles": SMILES, "mzs": MZS, "intensities": INTENSITIES}


def export_another(root, seed, *, set_as_latest=True) -> str:
    """Export a version that answers otherwise, and return its name."""
    state = read_version(root, "v0.1")
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point() and "molecule_encoder" in name else tensor
        for name, tensor in state.weights.items()
    }  # fmt: skip
    return export_version(
        root,
        config={key: value for key, value in state.config.items() if key != "files"},
        weights=weights,
        entry=TrackerEntryFields(f"seed {seed}", 0.5, 0.5),
        set_as_latest=set_as_latest,
    )


def wait_until(condition, timeout_s=120.0):
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until, "it has not come to pass"
        time.sleep(0.02)
    return found


def ready(server) -> dict:
    answer = server.http.get("/health/ready")
    return {**answer.json(), "code": answer.status_code}


@pytest.fixture(scope="module")
def own():
    """A server whose versions these tests change; the last test ends it."""
    root = copy_of_shipped()
    with running("poll_s=0.05", "max_versions=2", root=root) as one:
        yield one
    shutil.rmtree(root.parent)


def test_new_latest_takes_over_and_older_ones_answer_beside_it(own: Running):
    before = own.http.post("/predict", json=QUESTION).json()
    name = export_another(own.root, 1)
    wait_until(lambda: ready(own)["version"] == name)
    after = own.http.post("/predict", json=QUESTION).json()
    assert (after["version"], name) == (name, "v0.2")
    assert after["score"] != before["score"]
    assert own.http.post("/predict?version=v0.1", json=QUESTION).json() == before
    # A third one and back again: what is least used is unloaded, and loaded when asked for.
    third = export_another(own.root, 2, set_as_latest=False)
    assert own.http.post(f"/predict?version={third}", json=QUESTION).json()["version"] == third
    assert own.http.post("/predict?version=v0.1", json=QUESTION).json() == before
    assert own.http.post("/predict", json=QUESTION).json() == after


def test_damaged_latest_is_refused_and_the_old_answers_on(own: Running):
    before = own.http.post("/predict", json=QUESTION).json()
    failures = own.metric("team5_version_load_failures_total")
    bad = export_another(own.root, 3, set_as_latest=False)
    path = own.root / bad / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    Tracker(own.root).set_latest(bad)
    state = wait_until(lambda: (now := ready(own)).get("refused") and now)
    assert (state["code"], state["version"]) == (200, before["version"])
    assert state["refused"]["type"] == "CheckpointError"
    assert "is damaged: SHA-256" in state["refused"]["message"]
    assert own.http.post("/predict", json=QUESTION).json() == before
    assert own.http.post(f"/predict?version={bad}", json=QUESTION).status_code == 503
    assert own.metric("team5_version_load_failures_total") == failures + 1
    Tracker(own.root).set_latest(before["version"])
    wait_until(lambda: "refused" not in ready(own))


def test_tracker_that_is_not_valid_changes_nothing(own: Running):
    tracker = own.root / "checkpoint_tracker.json"
    text = tracker.read_text()
    tracker.write_text("{")
    state = wait_until(lambda: (now := ready(own)).get("refused") and now)
    assert state["refused"]["type"] == "TrackerError"
    assert own.http.post("/predict", json=QUESTION).status_code == 200
    assert own.http.get("/versions").status_code == 503
    tracker.write_text(text)
    wait_until(lambda: "refused" not in ready(own))


def test_killed_worker_is_not_ready_until_it_is_back(own: Running):
    before = own.http.post("/predict", json=QUESTION).json()
    (worker,) = own.children()
    long_question = {**QUESTION, "smiles": [SMILES] * 5000}
    with ThreadPoolExecutor() as pool:
        under_way = pool.submit(own.http.post, "/predict", json=long_question)
        wait_until(lambda: own.metric("team5_queue_pairs") >= 5000)
        os.kill(worker, signal.SIGKILL)
        lost = under_way.result()
    assert lost.status_code == 503
    assert lost.json()["error"]["type"] == "WorkerError"
    assert int(lost.headers["retry-after"]) >= 1
    state = ready(own)
    assert (state["code"], state["status"]) == (503, "starting")
    assert own.http.get("/health/live").status_code == 200
    assert own.http.post("/predict", json=QUESTION).status_code == 503
    wait_until(lambda: ready(own)["code"] == 200)
    assert own.http.post("/predict", json=QUESTION).json() == before
    assert own.metric("team5_worker_restarts_total") == 1
    assert worker not in own.children()


@pytest.mark.slow
def test_worker_that_is_stuck_is_ended():
    with running("stuck_s=0.5", "poll_s=0.1") as server:
        (worker,) = server.children()
        os.kill(worker, signal.SIGSTOP)
        answer = server.http.post("/predict", json=QUESTION)
        assert answer.status_code == 503
        wait_until(lambda: ready(server)["code"] == 200)
        assert server.http.post("/predict", json=QUESTION).status_code == 200


def test_abandoned_request_stops_costing(own: Running):
    abandoned = own.metric("team5_abandoned_requests_total")
    before = own.metric("team5_batch_pairs_sum")
    with pytest.raises(httpx.ReadTimeout):
        own.http.post("/predict", json={**QUESTION, "smiles": [SMILES] * 5000}, timeout=0.3)
    wait_until(lambda: own.metric("team5_queue_pairs") == 0)
    assert own.metric("team5_abandoned_requests_total") == abandoned + 1

    def is_at_rest() -> bool:
        computed = own.metric("team5_batch_pairs_sum")
        time.sleep(0.5)  # as long as many batches take
        return own.metric("team5_batch_pairs_sum") == computed

    wait_until(is_at_rest)
    assert own.metric("team5_batch_pairs_sum") - before < 5000
    assert own.http.post("/predict", json=QUESTION).status_code == 200


def test_sigterm_answers_what_is_under_way_and_leaves_nothing(own: Running):
    children = own.children()
    question = {**QUESTION, "smiles": [SMILES] * 300}
    with ThreadPoolExecutor() as pool:
        under_way = pool.submit(httpx.post, f"{own.url}/predict", json=question, timeout=60)
        wait_until(lambda: own.metric("team5_queue_pairs") >= 300)
        own.process.send_signal(signal.SIGTERM)
        answer = under_way.result()
    assert answer.status_code == 200
    assert len(answer.json()) == 300
    assert own.process.wait(timeout=30) in (0, 143)
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    with socket.create_server(("127.0.0.1", own.port)):
        pass  # the port is free


@pytest.mark.slow
def test_killed_server_leaves_no_worker_behind():
    with running() as server:
        children = server.children()
        server.process.kill()
        server.process.wait()

        def gone(pid: int) -> bool:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  (one line of a pseudo file)
                return stat.read().rpartition(")")[2].split()[0] == "Z"

        wait_until(lambda: all(map(gone, children)))


@pytest.mark.parametrize(("settings", "code", "said"), [
    (["version=v9.9"], 2, 'VersionNotFoundError: no version "v9.9"'),
    (["version=../x"], 2, "VersionError"),
    (["port=99999"], 2, "ConfigError: port=99999"),
    (["host=192.0.2.1"], 2, "ConfigError: host=192.0.2.1"),
    (["limits.peaks=0"], 2, "ConfigError: limits.peaks=0"),
    (["batch_pairs=many"], 2, "ConfigError: batch_pairs=many"),
    (["prot=80"], 2, "closest: port"),
    (["checkpoints_root=/nowhere"], 2, "VersionNotFoundError"),
    (["device=tpu"], 2, "DeviceError"),
])  # fmt: skip
def test_wrong_settings_end_with_a_line_and_a_code(settings, code, said):
    given = {"port": "0", "device": "cpu", "checkpoints_root": "tests/files/checkpoints"}
    given |= dict(setting.split("=", 1) for setting in settings)
    done = subprocess.run(
        [sys.executable, "serve.py", *(f"{key}={value}" for key, value in given.items())],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") <= 2


def test_port_in_use_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "serve.py", f"port={port}"],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"port={port} cannot be used" in done.stderr


@pytest.mark.slow
def test_fifty_swaps_under_traffic_fail_no_request():
    root = copy_of_shipped()
    n_swaps, failed, served = 50, [], []
    for seed in range(3):
        export_another(root, seed, set_as_latest=False)
    with running("poll_s=0.05", root=root) as server:
        done = threading.Event()

        def traffic(number: int) -> None:
            rng = random.Random(number)
            with httpx.Client(base_url=server.url, timeout=60) as http:
                while not done.is_set():
                    smiles = rng.choice([SMILES, [SMILES, "CCO", "CCN"]])
                    answer = http.post("/predict", json={**QUESTION, "smiles": smiles})
                    served.append(answer.status_code)
                    if answer.status_code != 200:
                        failed.append(answer.text)

        with ThreadPoolExecutor(8) as pool:
            for number in range(8):
                pool.submit(traffic, number)
            for number in range(n_swaps):
                name = f"v0.{number % 4 + 1}" if number % 4 else "v0.1"
                Tracker(root).set_latest(name)
                wait_until(lambda name=name: ready(server)["version"] == name)
            done.set()
        assert failed == []
        assert len(served) > n_swaps
        print(f"{n_swaps} swaps, {len(served)} requests, none failed")
    shutil.rmtree(root.parent)
