"""A server under load, held against direct inference on the same pairs in the same run.

    python benchmarks/serving_load.py --clients 64 --seconds 60

Starts serve.py on a free port and lets clients ask for matches, rankings and simulations of mixed
sizes, one in ten of them wrong on purpose. Every answer is compared with that of `infer`. Then the
same pairs are scored directly, in the same number of threads. Prints one JSON object; the exit code
is 1 if an answer was lost, mixed up or a 5xx.

With ``--hostile`` two more clients send what nobody should (`serving_attack`), and the longest time
without an answer of /health/live is printed, the memory of all of the server's processes at the
start, at its highest and at the end, and how many answers were lost or wrong.

Clients, server and worker share the machine: where it has no core for each, or other work to do,
``throughput_ratio`` suffers, and ``throughput_ratio_per_cpu_s`` (the worker's processor time
against that of direct inference) says what batching itself costs or gains.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from serving_attack import attack

REPOSITORY = Path(__file__).resolve().parents[1]
# Of probabilities and intensities; sums in float32 depend on what shares a batch.
TOLERANCE = 1e-3
BAD: list[tuple[Any, int]] = [
    ({"smiles": "C1CC"}, 422), ({"smiles": "CCO", "mzs": [], "intensities": []}, 422),
    ({"smiles": "CCO", "mzs": [1, 2], "intensities": [1]}, 422), ({"smile": "CCO"}, 422), (5, 422),
    ({"smiles": "CCO", "adduct": "x", "mzs": [47.0], "intensities": [1.0]}, 422),
]  # fmt: skip


def read_structures() -> list[str]:
    """Return the structures of the built-in demo set."""
    path = REPOSITORY / "team5" / "data" / "demo_molecules.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [row["smiles"] for row in csv.DictReader(file)]


def make_questions(n: int, seed: int) -> list[dict[str, Any]]:
    """Return questions of mixed kinds and sizes: mostly small, some of a hundred candidates."""
    structures = read_structures()
    rng = random.Random(seed)
    questions: list[dict[str, Any]] = []
    for _ in range(n):
        n_peaks = rng.choice([3, 10, 30, 100])
        mzs = sorted(rng.uniform(40, 300) for _ in range(n_peaks))
        spectrum = {"mzs": mzs, "intensities": [rng.uniform(1, 100) for _ in mzs]}
        kind = rng.random()
        if kind < 0.2:
            questions.append({"smiles": rng.choice(structures), "collision_energy": "30 eV"})
        elif kind < 0.6:
            questions.append({"smiles": rng.choice(structures), **spectrum})
        else:
            size = rng.choice([2, 5, 10, 20, 100])
            questions.append({"smiles": rng.sample(structures, size), **spectrum})
    return questions


def difference(found: Any, expected: Any) -> float:
    """Return the largest difference of numbers, relative where they are large; inf if they differ.

    Peaks of a simulated spectrum that are at the edge of being shown may be in one answer only,
    and structures whose scores are that close may change places.
    """
    if isinstance(expected, dict):
        if "formulas" in expected:
            return _spectrum_difference(found, expected)
        if not isinstance(found, dict) or found.keys() != expected.keys():
            return float("inf")
        keys = expected.keys() - {"rank"}
        return max((difference(found[key], expected[key]) for key in keys), default=0.0)
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return float("inf")
        if expected and isinstance(expected[0], dict) and expected[0].get("rank") is not None:
            by_rank = [sorted(one, key=lambda match: match["rank"]) for one in (found, expected)]
            scores = [[match["score"] for match in one] for one in by_rank]
            return max(difference(*scores), *map(difference, found, expected))
        return max(map(difference, found, expected), default=0.0)
    if isinstance(expected, float) and isinstance(found, float):
        return abs(found - expected) / max(1.0, abs(expected))
    return 0.0 if found == expected else float("inf")


def _spectrum_difference(found: dict[str, Any], expected: dict[str, Any]) -> float:
    if found.get("smiles") != expected["smiles"]:
        return float("inf")
    peaks = [dict(zip(one["mzs"], one["intensities"], strict=True)) for one in (found, expected)]
    return max(
        abs(peaks[0].get(mz, 0.01) - peaks[1].get(mz, 0.01)) for mz in {*peaks[0], *peaks[1]}
    )


def n_pairs(question: dict[str, Any]) -> int:
    """Return how many pairs of a structure and a spectrum a question is."""
    return len(question["smiles"]) if isinstance(question["smiles"], list) else 1


class Server:
    """serve.py in a process of its own."""

    def __init__(self, root: str, settings: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "serve.py", "port=0", f"checkpoints_root={root}", *settings],
            cwd=REPOSITORY, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None  # noqa: S101
        line = self.process.stderr.readline()
        found = re.search(r"on (http://\S+)", line)
        if found is None:
            raise SystemExit(f"the server has not started: {line}")
        self.url = found[1]

    @property
    def pids(self) -> list[int]:
        """The server's process, then those it has started."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *map(int, children.split())]

    def cpu_s(self) -> list[float]:
        """Return the processor time of each process so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        stats = [
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids
        ]
        return [(int(stat[11]) + int(stat[12])) / ticks for stat in stats]

    def memory_mb(self) -> float:
        """Return what server and worker hold in memory together."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


async def load(
    server: Server, questions: list[dict[str, Any]], n_clients: int, seconds: float
) -> tuple[list[tuple[int, Any]], list[float], Counter[int], float, list[float], list[str]]:
    """Ask from many clients until the time is up; return what each question was answered."""
    answers: list[tuple[int, Any]] = []
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    memory: list[float] = []
    lost: list[str] = []
    started = time.perf_counter()

    async def client(number: int) -> None:
        rng = random.Random(number)
        timeout = httpx.Timeout(120)
        async with httpx.AsyncClient(base_url=server.url, timeout=timeout) as http:
            while time.perf_counter() - started < seconds:
                is_bad = rng.random() < 0.1
                index = rng.randrange(len(questions))
                body, expected = rng.choice(BAD) if is_bad else (questions[index], 200)
                asked = time.perf_counter()
                try:
                    answer = await http.post("/predict", json=body)
                except httpx.HTTPError as error:
                    lost.append(f"{type(error).__name__}: {error}")
                    continue
                latencies.append(time.perf_counter() - asked)
                statuses[answer.status_code] += 1
                if answer.status_code != expected:
                    lost.append(f"{answer.status_code} in place of {expected}: {answer.text[:200]}")
                elif not is_bad:
                    answers.append((index, answer.content))

    async def watch() -> None:
        while True:
            memory.append(server.memory_mb())
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client(number) for number in range(n_clients)))
    watching.cancel()
    return answers, latencies, statuses, time.perf_counter() - started, memory, lost


def answer_directly(
    root: str, questions: list[dict[str, Any]]
) -> tuple[list[Any], list[tuple[float, float]]]:
    """Return what `infer` answers, and the seconds and processor seconds of each question."""
    from team5.inference.inference import infer, load_model

    model = load_model(root=root, device="cpu")
    infer(model, None, "CCO", [47.0], [1.0])  # what the first call compiles is not counted
    expected, spent = [], []
    for question in questions:
        began, began_cpu = time.perf_counter(), time.process_time()
        found = infer(model, None, **question)
        plain = [one.to_dict() for one in found] if isinstance(found, list) else found.to_dict()
        if isinstance(plain, list):  # the server lists what no structure can give once
            for one in plain[1:]:
                if one["impossible_mzs"] and one["impossible_mzs"] == plain[0]["impossible_mzs"]:
                    one["impossible_mzs"] = None
        text = json.dumps(plain)
        spent.append((time.perf_counter() - began, time.process_time() - began_cpu))
        expected.append(json.loads(text))
    return expected, spent


def run_attack(given: argparse.Namespace, questions: list[dict[str, Any]]) -> int:
    """Attack a server while others ask, and print what was measured."""
    server = Server(given.root, given.settings)
    try:
        answers, result = asyncio.run(
            attack(
                server.url,
                server.process.pid,
                questions,
                n_clients=given.clients,
                n_hostile=2,
                seconds=given.seconds,
            )
        )
    finally:
        result_code = server.close()
    expected, _ = answer_directly(given.root, questions)
    differences = [difference(json.loads(text), expected[index]) for index, text in answers]
    result["answers_wrong"] = sum(one > TOLERANCE for one in differences)
    result["exit_code"] = result_code
    print(json.dumps(result, indent=1))
    faults = ("answers_lost", "answers_wrong", "unexpected", "server_errors")
    return int(any(result[name] for name in faults))


def main() -> int:
    """Run the load and print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--questions", type=int, default=200, help="different ones")
    parser.add_argument("--root", default="checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hostile", action="store_true", help="attack the server meanwhile")
    parser.add_argument("settings", nargs="*", help="further settings of serve.py")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    questions = make_questions(given.questions, given.seed)
    if given.hostile:
        return run_attack(given, questions)
    server = Server(given.root, given.settings)
    cpu_before = server.cpu_s()
    try:
        answers, latencies, statuses, seconds, memory, lost = asyncio.run(
            load(server, questions, given.clients, given.seconds)
        )
        front_s, worker_s, *_ = (
            after - before for before, after in zip(cpu_before, server.cpu_s(), strict=True)
        )
        metrics = httpx.get(f"{server.url}/metrics").text
    finally:
        code = server.close()

    expected, spent = answer_directly(given.root, questions)
    differences = [difference(json.loads(text), expected[index]) for index, text in answers]
    pairs = sum(n_pairs(questions[index]) for index, _ in answers)
    direct_s, direct_cpu_s = (sum(spent[index][i] for index, _ in answers) for i in (0, 1))
    batches = dict(re.findall(r"^team5_batch_(pairs|items)_(?:sum) (\S+)", metrics, re.M))
    n_batches = float(re.findall(r"^team5_batch_pairs_count (\S+)", metrics, re.M)[0])
    third = max(len(memory) // 3, 1)
    result = {
        "clients": given.clients,
        "seconds": round(seconds, 1),
        "requests": len(latencies),
        "requests_per_s": round(len(latencies) / seconds, 1),
        "statuses": dict(sorted(statuses.items())),
        "lost_or_wrong": len(lost) + sum(d > TOLERANCE for d in differences),
        "first_faults": lost[:3],
        "largest_difference_to_infer": max(differences, default=0.0),
        "pairs_per_s": round(pairs / seconds, 1),
        "pairs_per_s_direct": round(pairs / direct_s, 1),
        "throughput_ratio": round(direct_s / seconds, 3),
        "worker_cpu_s": round(worker_s, 1),
        "server_cpu_s": round(front_s, 1),
        "direct_cpu_s": round(direct_cpu_s, 1),
        "throughput_ratio_per_cpu_s": round(direct_cpu_s / worker_s, 3),
        "latency_p50_s": round(float(np.percentile(latencies, 50)), 3),
        "latency_p99_s": round(float(np.percentile(latencies, 99)), 3),
        "pairs_per_batch": round(float(batches["pairs"]) / n_batches, 1),
        "items_per_batch": round(float(batches["items"]) / n_batches, 1),
        "memory_mb_second_third": round(float(np.mean(memory[third : 2 * third])), 1),
        "memory_mb_last_third": round(float(np.mean(memory[2 * third :])), 1),
        "memory_mb_highest": round(max(memory), 1),
        "exit_code": code,
    }
    print(json.dumps(result, indent=1))
    return int(result["lost_or_wrong"] > 0 or any(status >= 500 for status in statuses))


if __name__ == "__main__":
    sys.exit(main())
