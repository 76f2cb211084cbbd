"""Start-up of predict.py on one pair, against importing what it cannot do without.

    python benchmarks/startup.py [PAIRS] [version=v0.1 ...]

The two commands alternate, so that both meet the same load of the machine. Exits with 1 when the
median ratio is above the limit.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT = 2.0  # times the imports
IMPORTS = [sys.executable, "-c", "import torch, rdkit.Chem, hydra"]
PREDICT = [
    sys.executable,
    "predict.py",
    "smiles=CC(=O)Oc1ccccc1C(=O)O",
    "mzs=[121.028,139.039]",
    "intensities=[100,35]",
    *(word for word in sys.argv[1:] if "=" in word),
]


def wall_time_s(command: list[str]) -> float:
    """Run a command to its end and return how long it took, in seconds."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return taken


def main() -> int:
    """Time the pairs and print a table."""
    n_pairs = max([5, *(int(word) for word in sys.argv[1:] if word.isdigit())])
    for command in (IMPORTS, PREDICT):
        wall_time_s(command)  # fills the disk cache and numba's
    print("pair   imports s   predict s   ratio")
    pairs = []
    for number in range(1, n_pairs + 1):
        imports, predict = wall_time_s(IMPORTS), wall_time_s(PREDICT)
        pairs.append((imports, predict, predict / imports))
        print(f"{number:4}   {imports:9.2f}   {predict:9.2f}   {predict / imports:5.2f}")
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    verdict = "met" if medians[2] <= LIMIT else "NOT met"
    print(f"{'med.':>4}   {medians[0]:9.2f}   {medians[1]:9.2f}   {medians[2]:5.2f}")
    print(f"at most {LIMIT}: {verdict}")
    return 0 if medians[2] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
