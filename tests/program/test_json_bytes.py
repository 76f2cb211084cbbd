"""format=json is the same to the last byte in every process that is asked the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = REPOSITORY / "tests/files"
PEAKS = ("mzs=[121.0284,43.018,139.039,105.0335]", "intensities=[100,10,35,5]")
TWO = "smiles=CC(=O)Oc1ccccc1C(=O)O,O=C(O)c1ccc(OC(C)=O)cc1"


def answer(*words: str, hash_seed: int, threads: int) -> bytes:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
    done = subprocess.run(
        [sys.executable, "predict.py", f"checkpoints_root={FILES / 'checkpoints'}", "device=cpu",
         "format=json", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)} | dict.fromkeys(names, str(threads)),
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize(
    "words",
    [
        (TWO, *PEAKS),
        ("smiles=CC(=O)Oc1ccccc1C(=O)O", "collision_energy=35 eV"),
        (f"spectra={FILES / 'massspecgym.mgf'}",),
    ],
    ids=["rank", "simulate", "file"],
)
def test_hash_seed_and_threads_change_no_byte(words):
    first = answer(*words, hash_seed=0, threads=1)
    assert first == answer(*words, hash_seed=12345, threads=3)
    assert json.loads(first)
