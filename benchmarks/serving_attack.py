"""Requests that nobody should send: small to make, dear to answer."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
_FORM = "multipart/form-data; boundary=x"
_PART = b'--x\r\nContent-Disposition: form-data; name="spectra"; filename="a.mgf"\r\n\r\n'


@dataclass(frozen=True)
class Attack:
    """A request, and the statuses that it may get beside 503."""

    path: str
    make_body: Callable[[], bytes]
    statuses: tuple[int, ...] = (422,)
    content_type: str = "application/json"


def _item(**values: object) -> bytes:
    return json.dumps({"smiles": "CCO", "mzs": [50.0], "intensities": [1.0], **values}).encode()


def _file(header: str, n_spectra: int, n_candidates: int, **options: object) -> bytes:
    """Return spectra of aspirin's mass, each with its own header, and aspirin many times."""
    spectra = "".join(
        f"BEGIN IONS\n{header.format(181.0495 + number * 1e-8)}121.0284 1\nEND IONS\n"
        for number in range(n_spectra)
    )
    candidates = "".join(f"{ASPIRIN} a{number}\n" for number in range(n_candidates))
    return json.dumps({"spectra": spectra, "candidates": candidates, **options}).encode()


def _ranking(smiles: str, n_candidates: int, mz: float) -> bytes:
    return _item(smiles=[smiles] * n_candidates, mzs=[mz] * 2000, intensities=[1.0] * 2000)


def _form(content: bytes) -> bytes:
    return _PART + content + b"\r\n--x--\r\n"


ATTACKS = {
    "five million numbers": Attack("/predict", lambda: b"[" + b"1," * 4_999_990 + b"1]"),
    "five million numbers, no list": Attack("/predict", lambda: b"1," * 4_999_990 + b"1"),
    "a key of nine megabytes": Attack("/predict", lambda: b'{"' + b"a" * 9_000_000 + b'": 1}'),
    "a million empty lists": Attack("/predict", lambda: b"[" + b"[]," * 999_999 + b"[]]"),
    "a million empty objects": Attack("/predict", lambda: b"[" + b"{}," * 999_999 + b"{}]"),
    "a million lists of structures": Attack(
        "/predict", lambda: b'{"smiles": [' + b"[]," * 999_999 + b"[]]}"
    ),
    "a million lists of peaks": Attack(
        "/predict", lambda: b'{"smiles": "C", "mzs": [[1]], "intensities": ['
        + b"[]," * 999_999 + b"[]]}"
    ),
    "ten thousand wrong items": Attack(
        "/predict", lambda: json.dumps([{}] * 10_000).encode(), (200,)
    ),
    "brackets, opened and not closed": Attack(
        "/predict", lambda: json.dumps({"smiles": ["[" * 4000] * 2400}).encode()
    ),
    "nine million brackets": Attack("/predict", lambda: b"[" * 9_000_000),
    "an adduct of nine megabytes": Attack("/predict", lambda: _item(adduct="[M" * 4_500_000)),
    "a structure of nine megabytes": Attack("/predict", lambda: _item(smiles="C" * 9_000_000)),
    "peaks as a text of nine megabytes": Attack("/predict", lambda: _item(mzs="1 " * 4_500_000)),
    "a number of nine million digits": Attack(
        "/predict", lambda: b'{"smiles": "C", "precursor_mz": ' + b"9" * 9_000_000 + b"}"
    ),
    "2,000 impossible peaks for 9,990 structures": Attack(
        "/predict", lambda: _ranking(ASPIRIN, 9990, 500.0), (200,)
    ),
    "2,000 explained peaks for 5,000 structures": Attack(
        "/predict", lambda: _ranking(ASPIRIN, 5000, 121.0284), (200, 413)
    ),
    "390,000 spectra": Attack(
        "/spectra/read", lambda: _form(b"BEGIN IONS\n50 1\nEND IONS\n" * 390_000), (422,), _FORM
    ),
    "three million candidates": Attack(
        "/rank/file", lambda: json.dumps(
            {"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "C\n" * 3_300_000}
        ).encode(),
    ),
    "9,990 windows of 9,990 candidates each": Attack(
        "/rank/file", lambda: _file("PEPMASS={}\n", 9990, 9990),
    ),
    "9,990 spectra without a precursor": Attack(
        "/rank/file", lambda: _file("TITLE={}\n", 9990, 9990),
    ),
    "9,990 spectra of one feature": Attack(
        "/rank/file", lambda: _file("FEATURE_ID=1\n", 9990, 1, group_by="auto"), (200,)
    ),
    "a form of a million parts": Attack(
        "/spectra/read", lambda: b"--x\r\nA: b\r\n\r\n\r\n" * 500_000 + b"--x--", (422,), _FORM
    ),
    "a form that is one header": Attack(
        "/spectra/read", lambda: b"--x\r\n" + b"A" * 9_000_000, (422,), _FORM
    ),
    "a drawing of 1,000 parts": Attack(
        "/draw", lambda: json.dumps({"smiles": ".".join(["C"] * 1000)}).encode(), (200, 422)
    ),
}  # fmt: skip

_PULSE_S = 0.02
# Until memory is looked at again after an attack.
_REST_S = 20.0


def processes_mb(pid: int) -> list[float]:
    """Return what a process and all it has started hold in memory, shared pages in shares."""
    held, pids = [], [pid]
    while pids:
        folder = Path(f"/proc/{pids.pop(0)}")
        try:
            rollup = (folder / "smaps_rollup").read_text().splitlines()
            held.append(sum(int(one.split()[1]) for one in rollup if one.startswith("Pss:")) / 1000)
            for children in folder.glob("task/*/children"):
                pids += map(int, children.read_text().split())
        except (OSError, ValueError):
            continue  # it has just ended
    return held


def _measure_pulse(url: str, results: Connection) -> None:
    """Ask whether a server is alive until told to stop; send the longest time without an answer."""
    longest_s, last = 0.0, time.monotonic()
    with httpx.Client(base_url=url, timeout=120) as http:
        while not results.poll(_PULSE_S):
            http.get("/health/live").raise_for_status()
            now = time.monotonic()
            longest_s, last = max(longest_s, now - last), now
    results.send(longest_s)


async def attack(
    url: str,
    pid: int,
    questions: list[dict[str, Any]],
    *,
    n_clients: int,
    n_hostile: int,
    seconds: float,
) -> tuple[list[tuple[int, bytes]], dict[str, Any]]:
    """Let clients ask while others attack; return what each question was answered, and figures."""
    bodies = {name: one.make_body() for name, one in ATTACKS.items()}
    # Start what is slow to start, and fill what is remembered.
    async with httpx.AsyncClient(base_url=url, timeout=300) as http:
        for name, body in bodies.items():
            kind = {"content-type": ATTACKS[name].content_type}
            await http.post(ATTACKS[name].path, content=body, headers=kind)
        for question in questions:
            await http.post("/predict", json=question)
    memory = [sum(processes_mb(pid))]
    answers: list[tuple[int, bytes]] = []
    statuses: Counter[int] = Counter()
    n_later, lost, unexpected = 0, [], []
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        nonlocal n_later
        rng = random.Random(number)
        async with httpx.AsyncClient(base_url=url, timeout=300) as http:
            while time.monotonic() < until:
                index = rng.randrange(len(questions))
                try:
                    answer = await http.post("/predict", json=questions[index])
                except httpx.HTTPError as error:
                    lost.append(f"{type(error).__name__}: {error}")
                    continue
                if answer.status_code in (429, 503) and "retry-after" in answer.headers:
                    n_later += 1
                    await asyncio.sleep(min(float(answer.headers["retry-after"]), 2))
                elif answer.status_code == 200:
                    answers.append((index, answer.content))
                else:
                    lost.append(f"{answer.status_code}: {answer.text[:200]}")

    async def attacker(number: int) -> None:
        rng = random.Random(number)
        async with httpx.AsyncClient(base_url=url, timeout=300) as http:
            while time.monotonic() < until:
                name = rng.choice(list(ATTACKS))
                one = ATTACKS[name]
                kind = {"content-type": one.content_type}
                try:
                    answer = await http.post(one.path, content=bodies[name], headers=kind)
                except httpx.HTTPError as error:
                    unexpected.append(f"{name}: {type(error).__name__}: {error}")
                    continue
                statuses[answer.status_code] += 1
                if answer.status_code not in (*one.statuses, 429, 503):
                    unexpected.append(f"{name}: {answer.status_code}: {answer.text[:200]}")

    async def watch() -> None:
        while True:
            memory.append(sum(await asyncio.to_thread(processes_mb, pid)))
            await asyncio.sleep(0.5)

    ours, theirs = multiprocessing.Pipe()
    pulse = multiprocessing.get_context("spawn").Process(target=_measure_pulse, args=(url, theirs))
    pulse.start()
    watching = asyncio.create_task(watch())
    attackers = [asyncio.create_task(attacker(number)) for number in range(n_hostile)]
    await asyncio.gather(*map(client, range(n_clients)))
    for task in attackers:
        task.cancel()  # and with it what the server does for them
    await asyncio.gather(*attackers, return_exceptions=True)
    ours.send("stop")
    longest_s = await asyncio.to_thread(ours.recv)
    pulse.join()
    await asyncio.sleep(_REST_S)
    watching.cancel()
    return answers, {
        "longest_silence_s": round(longest_s, 3),
        "memory_mb_start": round(memory[0]),
        "memory_mb_highest": round(max(memory)),
        "memory_mb_end": round(memory[-1]),
        "memory_mb_by_tenth": [
            round(float(np.median(part))) for part in np.array_split(memory, 10)
        ],
        "memory_mb_end_by_process": [round(one) for one in processes_mb(pid)],
        "answers": len(answers),
        "answers_lost": len(lost),
        "told_to_come_back": n_later,
        "attacks": dict(sorted(statuses.items())),
        "unexpected": len(unexpected),
        "server_errors": sum(
            n for status, n in statuses.items() if status >= 500 and status != 503
        ),
        "first_faults": [*lost[:3], *unexpected[:3]],
    }
