"""Start-up of predict.py on one pair, against importing what it cannot do without.

    python benchmarks/startup.py [PAIRS] [version=v0.1 ...]

The two commands alternate, so that both meet the same load of the machine, and processor time is
compared, which other work on it changes least. Exits with 1 when the median ratio is above the
limit.
"""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT = 1.8  # times the imports
IMPORTS = [sys.executable, "-c", "import torch, rdkit.Chem, hydra"]
PREDICT = [
    sys.executable,
    "predict.py",
    "smiles=CC(=O)Oc1ccccc1C(=O)O",
    "mzs=[121.028,139.039]",
    "intensities=[100,35]",
    *(word for word in sys.argv[1:] if "=" in word),
]


def times_s(command: list[str]) -> tuple[float, float]:
    """Run a command to its end and return its processor and wall time, in seconds."""
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime, taken


def main() -> int:
    """Time the pairs and print a table."""
    n_pairs = max([5, *(int(word) for word in sys.argv[1:] if word.isdigit())])
    for command in (IMPORTS, PREDICT):
        times_s(command)  # fills the disk cache and numba's
    print("pair   imports s (wall)   predict s (wall)   ratio")
    row = "{:>4}   {:9.2f} ({:.2f})   {:9.2f} ({:.2f})   {:5.2f}"
    pairs = []
    for number in range(1, n_pairs + 1):
        imports, predict = times_s(IMPORTS), times_s(PREDICT)
        pairs.append((*imports, *predict, predict[0] / imports[0]))
        print(row.format(number, *pairs[-1]))
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    verdict = "met" if medians[-1] <= LIMIT else "NOT met"
    print(row.format("med.", *medians))
    print(f"at most {LIMIT}: {verdict}")
    return 0 if medians[-1] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
