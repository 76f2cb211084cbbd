"""evaluate.py with the small version on a small table."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.inference.queries import write_queries

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "tests/files/checkpoints"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_queries(tmp_path_factory.mktemp("queries") / "queries.parquet")


def evaluate(*words: str) -> subprocess.CompletedProcess:
    if not any(word.startswith("checkpoints_root=") for word in words):
        words = (f"checkpoints_root={SHIPPED}", *words)
    return subprocess.run(
        [sys.executable, "evaluate.py", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_figures_stand_beside_chance_and_exchanged_spectra(table, tmp_path):
    output = tmp_path / "figures.json"
    done = evaluate("version=v0.1", f"data.queries={table}", f"output={output}", "format=json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(output.read_text())
    assert report["version"] == "v0.1"
    assert len(report["version_hash"]) == 12
    assert set(report["figures"]) == {
        "rank, all candidates",
        "rank, candidates of the same formula",
        "match, one decoy of the same mass",
        "simulate, bins of 0.01",
    }
    for rows in report["figures"].values():
        for row in rows:
            assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
            assert 0 <= row["exchanged"] <= 1
            assert row["n_queries"] == 6


def test_the_same_call_prints_the_same_figures(table):
    first, second = (evaluate(f"data.queries={table}") for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert "hit@1" in first.stdout
    assert "exchanged" in first.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data.queries=none.parquet",), "DataFileNotFoundError: none.parquet"),
        ((), "ConfigError: data.queries must be given"),
        (("data.queries=README.md",), "DataError: README.md: not a readable Parquet file"),
        (("data.queries=README.md", "output=figures.csv"), "ConfigError: output=figures.csv"),
        (("data.querys=README.md",), "ConfigError: no setting"),
    ],
)
def test_wrong_call_is_told_in_one_line(words, said):
    done = evaluate(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_query_whose_truth_is_missing_is_named(table, tmp_path):
    rows = pl.read_parquet(table).with_columns(pl.lit("AAAAAAAAAAAAAA").alias("inchikey14"))
    path = tmp_path / "broken.parquet"
    rows.write_parquet(path)
    done = evaluate(f"data.queries={path}")
    assert done.returncode == 2
    assert f"{path}, row 1" in done.stderr


def test_record_puts_the_figures_into_the_tracker_and_nothing_else(table, tmp_path):
    root = shutil.copytree(SHIPPED, tmp_path / "checkpoints")
    before = json.loads((root / "checkpoint_tracker.json").read_text())
    words = (f"checkpoints_root={root}", f"data.queries={table}", "record=true", "format=json")
    done = evaluate(*words)
    assert done.returncode == 0, done.stderr
    match = json.loads(done.stdout)["figures"]["match, one decoy of the same mass"]
    figures = {row["name"]: row["value"] for row in match}
    after = json.loads((root / "checkpoint_tracker.json").read_text())
    entry = after["checkpoints"][0]
    assert entry["performance"]["accuracy"] == figures["accuracy"]
    assert entry["performance"]["f1_score"] == figures["F1"]
    assert {"hit_rate@1", "same_formula_hit_rate@1", "mrr", "cosine"} <= set(entry["performance"])
    assert entry.pop("measured_on") == "queries.parquet, 6 queries, seed 0"
    entry["performance"] = before["checkpoints"][0]["performance"]
    assert after == before
