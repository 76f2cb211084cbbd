"""evaluate.py on files in MassSpecGym's own format."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = "tests/files/massspecgym.tsv"
CANDIDATES = "tests/files/massspecgym_candidates.json"
FILES = (f"data.massspecgym={TABLE}", f"data.candidates={CANDIDATES}")


def evaluate(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "evaluate.py", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def sha256(path: str) -> str:
    return hashlib.sha256((REPOSITORY / path).read_bytes()).hexdigest()


def test_the_first_version_is_measured_and_the_files_named(tmp_path):
    output = tmp_path / "figures.json"
    done = evaluate("version=v0.1", "data=massspecgym", *FILES, f"output={output}")
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert report["table"] == {"name": "massspecgym.tsv", "sha256": sha256(TABLE)}
    assert report["candidates"]["sha256"] == sha256(CANDIDATES)
    assert (report["n_rows"], report["n_queries"], report["n_structures"]) == (10, 4, 3)
    assert [figure["name"] for figure in report["figures"]] == ["hit@1", "hit@5", "hit@20"]
    for figure in report["figures"]:
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
        assert report["rows_left_out_as_misses"][figure["name"]] == figure["value"] * 4 / 10
    assert "4 of 10 rows, 3 structures" in done.stdout
    assert "no candidates for the SMILES (1)" in done.stdout
    assert sha256(TABLE) in done.stdout
    assert sha256(CANDIDATES) in done.stdout


def test_mces_stands_beside_the_hit_rates():
    pytest.importorskip("myopic_mces")
    done = evaluate("checkpoints_root=tests/files/checkpoints", *FILES, "data.mces=true")
    assert done.returncode == 0, done.stderr
    assert "MCES@1: lower is better; exact up to 15" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (FILES[:1], "ConfigError: data.candidates must be given with data.massspecgym"),
        (FILES[1:], "ConfigError: no spectra to measure on. Give data=file"),
        (
            (*FILES, "data.queries=a.parquet"),
            "ConfigError: data.queries and data.massspecgym exclude",
        ),
        (
            ("data.queries=a.parquet", "data.mces=true"),
            "ConfigError: data.mces goes with data.massspecgym; leave it out with data.queries",
        ),
        ((*FILES, "data.fold=valid"), "ConfigError: fold 'valid': choose one of train, val, test"),
        ((*FILES, "record=true"), "ConfigError: record goes with data=file or data.queries; leave"),
        ((*FILES, "card=true"), "ConfigError: card goes with data=file or data.queries; leave it"),
        ((*FILES, "at_most=3"), "ConfigError: at_most goes with versions or data=file; leave it"),
        ((*FILES, "output=figures.csv"), "ConfigError: output=figures.csv"),
        (
            ("data.massspecgym=none.tsv", FILES[1]),
            "DataFileNotFoundError: none.tsv: no such file. Give MassSpecGym.tsv",
        ),
        (
            (FILES[0], "data.candidates=README.md"),
            "DataError: README.md: not valid JSON",
        ),
    ],
)
def test_wrong_call_is_told_in_one_line(words, said):
    done = evaluate("checkpoints_root=tests/files/checkpoints", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
