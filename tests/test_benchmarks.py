"""The benchmarks start and say what they take; how fast anything is, no test measures."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((REPOSITORY / "benchmarks").glob("*.py"))
# Those that take options; the others take words alone, or are parts of these.
PROGRAMS = [script for script in SCRIPTS if "ArgumentParser" in script.read_text(encoding="utf-8")]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_benchmark_says_what_it_measures(script):
    assert ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))


@pytest.mark.parametrize("script", PROGRAMS, ids=lambda script: script.stem)
def test_every_benchmark_starts(script):
    done = run(str(script), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


@pytest.mark.parametrize("name", ["training", "export"])
def test_what_trains_on_massbank_says_what_it_misses(name):
    done = run(f"benchmarks/{name}.py", TEAM5_TEST_DATA="")
    assert done.returncode == 1
    assert "Give data.archive=FILE data.folds=FILE data.pool=FILE" in done.stderr


def test_reading_a_table_is_measured():
    words = ["--tasks", "read", "--rows", "20", "40", "--repeats", "1"]
    done = run("benchmarks/memory.py", *words)
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("read")]
    assert [row[1] for row in rows] == ["20", "40"], done.stderr
    assert all(float(row[2].replace(",", "")) > 0 for row in rows)
