"""Training in two processes against one: spectra per second over whole epochs, as a ratio.

    python benchmarks/ddp.py [PAIRS] [KEY=VALUE ...]

The two commands alternate, so that both meet the same load of the machine; each process has one
thread, so there should be two cores to spare. The clock is the log: from the export after the first
epoch, which warms up, to that after the last, with validation and export in between. Learns from
the demo set with the network as released, unless told otherwise (model=tiny).
"""

import datetime as dt
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
N_EPOCHS = 3
SETTINGS = [
    "data.train_compounds=192",  # an even number of batches: none is left out
    "data.max_spectra=1000",  # all that there are
    "data.val_max_spectra=1",
    "trainer.precision=32-true",
    f"trainer.max_epochs={N_EPOCHS}",
    "callbacks.export.save_optimizer=false",
    "~callbacks.progress",
    *(word for word in sys.argv[1:] if "=" in word),
]
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def spectra_per_s(words: list[str]) -> float:
    """Train once, and return the spectra learned from in a second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, str(REPOSITORY / "train.py"), *SETTINGS, *words,
            f"checkpoints_root={folder}/checkpoints", f"hydra.run.dir={folder}/run",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        log = Path(folder, "run/train.log").read_text() if done.returncode == 0 else ""
    ends = [
        dt.datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f")
        for when in re.findall(r"^\[(.+?)\].* is the best so far", log, re.MULTILINE)
    ]
    if len(ends) != N_EPOCHS:
        sys.exit(f"{' '.join(command)} did not export each epoch:\n{log}{done.stderr}")
    (n_spectra,) = re.findall(r"(\d+) spectra of \d+ compounds to train on", log)
    return int(n_spectra) * (N_EPOCHS - 1) / (ends[-1] - ends[0]).total_seconds()


def main() -> int:
    """Time the pairs and print a table."""
    n_pairs = max([5, *(int(word) for word in sys.argv[1:] if word.isdigit())])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print("pair   one process, 1/s   two processes, 1/s   ratio", flush=True)
    pairs = []
    for number in range(1, n_pairs + 1):
        one, two = spectra_per_s([]), spectra_per_s(TWO)
        pairs.append((one, two, two / one))
        print(f"{number:4}   {one:16.1f}   {two:18.1f}   {two / one:5.2f}", flush=True)
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    print(f"med.   {medians[0]:16.1f}   {medians[1]:18.1f}   {medians[2]:5.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
