"""Peak memory of ranking many candidates, and of reading and training on long tables of spectra.

    python benchmarks/memory.py [--pool FILE] [--candidates 2000 4000] [--rows 30000 150000]
    python benchmarks/memory.py --tasks search --candidates 10000 100000 --repeats 1
    python benchmarks/memory.py --tasks read train --rows 100000 1000000 --repeats 1

Every figure is that of a process of its own. *private* is the memory that only it has and that the
system cannot drop: RssAnon of /proc/<pid>/status, looked at every few milliseconds, so that a peak
between two looks is missed. *resident* is the peak of ru_maxrss, children included: pages of mapped
files count in it while they are there, though all processes share them and the system may drop
them. Growth and the verdict go by private memory; where there is no /proc, by what is resident.

*rank* ranks candidates for one spectrum as predict.py candidates=FILE does, those of the pool that
are nearest in mass, repeated if it has too few, and *search* finds the best 100 of them as
predict.py library=FOLDER does; the pool is a table with smiles and exact_mass, by default that of
TEAM5_TEST_DATA, without which the built-in molecules are repeated. *read* goes
through a Parquet table with MassSpecGym's column names and 20 peaks a spectrum as predict.py
spectra=FILE does; *train* prepares it with data=file, sets the training up and takes one batch.
Growth is the difference of the medians per candidate or row; ratio is that of the medians. Smaller
sizes say little: the cache of encodings fills at some 1,300 candidates, and Parquet is read in
pieces of some ten thousand rows. Exits with 1 when a growth is above its limit.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from machine import Table, machine_line

REPOSITORY = Path(__file__).resolve().parent.parent
# kB that the peak may grow by: for each candidate the answer holds its structure and its match, to
# be ranked; a search holds a few numbers and the key that says what is the same; reading is to hold
# nothing of a row, training its name and where its peaks lie, with a few copies while rows are
# sorted.
LIMITS = {"rank": 20.0, "search": 2.0, "read": 0.1, "train": 0.5}
N_PEAKS = 20
_ROWS_AT_ONCE = 10_000
_LOOK_EVERY_S = 0.005
_QUERY = {"mzs": [110.0713, 138.0662, 195.0877], "intensities": [20.0, 60.0, 100.0]}
_QUERY_MASS = 194.0804


def own_peak_mb() -> float:
    """Return the highest memory of this process and of any it has started and waited for."""
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(one).ru_maxrss for one in who) * unit / 1e6


def private_mb(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process and return the highest private memory that was seen; 0 without /proc."""
    status = Path(f"/proc/{process.pid}/status")
    highest = 0
    while process.poll() is None:
        if status.exists():
            # A process that is just ending has none any more.
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text(encoding="utf-8"))
            highest = max(highest, int(found[1]) if found else 0)
        time.sleep(_LOOK_EVERY_S)
    return highest * 1024 / 1e6


def rank(path: str, folder: str) -> None:
    """Rank the candidates of a file for one spectrum."""
    from team5.data.spectrum import Spectrum
    from team5.inference.inference import infer, load_model
    from team5.search.reading import iter_candidates

    model = load_model(root=REPOSITORY / "checkpoints", device="cpu")
    candidates = iter_candidates(path, parse=model.encodings.parse)
    smiles = [candidate.smiles for candidate, _ in candidates]
    infer(model, None, smiles, spectra=[Spectrum(**_QUERY)])


def search(path: str, folder: str) -> None:
    """Find the best of many candidates for one spectrum."""
    from team5.data.spectrum import Spectrum
    from team5.inference.inference import load_model
    from team5.search.shortlist import shortlist

    model = load_model(root=REPOSITORY / "checkpoints", device="cpu")
    candidates = Path(path).read_text(encoding="utf-8").split()
    shortlist(model, Spectrum(**_QUERY), candidates, [None] * len(candidates))


def read(path: str, folder: str) -> None:
    """Go through the spectra of a file."""
    from team5.search.reading import numbered_records

    for _ in numbered_records(path, sys.exit):
        pass


def train(path: str, folder: str) -> None:
    """Prepare a file of spectra for training and take one batch."""
    from hydra.utils import instantiate

    from team5.cli.run import compose_config

    words = [f"output_dir={folder}", "data=file", f"data.path={path}", f"data.cache_dir={folder}"]
    data = instantiate(compose_config("train", words).data, num_workers=0)
    data.prepare_data()
    data.setup("fit")
    next(iter(data.train_dataloader()))


TASKS = {"rank": rank, "search": search, "read": read, "train": train}
OF_CANDIDATES = {"rank", "search"}


def write_candidates(path: Path, n: int, pool: Path | None) -> None:
    """Write so many structures, those of the pool nearest to the query's mass first."""
    import polars as pl

    if pool is None:
        texts = demo_structures()
    else:
        distance = (pl.col("exact_mass") - _QUERY_MASS).abs()
        texts = pl.scan_parquet(pool).sort(distance).head(n).collect()["smiles"].to_list()
    path.write_text("\n".join(islice(cycle(texts), n)) + "\n", encoding="utf-8")


def demo_structures() -> list[str]:
    """Return the SMILES of the built-in demo set."""
    import csv

    with (REPOSITORY / "team5" / "data" / "demo_molecules.csv").open(encoding="utf-8") as file:
        return [row["smiles"] for row in csv.DictReader(file)]


def write_table(path: Path, n: int) -> None:
    """Write a table of computed spectra of the built-in molecules, as many as asked for."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from team5.chemistry.adducts import parse_adduct
    from team5.chemistry.molecule import parse_smiles

    molecules = [parse_smiles(smiles) for smiles in demo_structures()]
    protonated = parse_adduct("[M+H]+")
    precursors = np.array([protonated.precursor_mz(m.exact_mass) for m in molecules])
    texts = np.array([molecule.smiles for molecule in molecules])
    random = np.random.default_rng(0)
    writer = None
    for start in range(0, n, _ROWS_AT_ONCE):
        size = min(_ROWS_AT_ONCE, n - start)
        which = (start + np.arange(size)) % len(molecules)
        shares = np.sort(random.uniform(0.2, 0.99, (size, N_PEAKS)), axis=1)
        table = pa.table(
            {
                "identifier": [f"spectrum{i}" for i in range(start, start + size)],
                "mzs": list(shares * precursors[which, None]),
                "intensities": list(random.uniform(0.01, 1.0, (size, N_PEAKS))),
                "smiles": texts[which],
                "adduct": ["[M+H]+"] * size,
                "precursor_mz": precursors[which],
                "instrument_type": ["Orbitrap"] * size,
                "collision_energy": random.choice([20.0, 40.0], size),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def peak_mb(task: str, path: Path) -> tuple[float, float]:
    """Return the highest private and resident memory of a process that does a task."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        command = [sys.executable, __file__, "--task", task, str(path), folder]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=said, stderr=said)
        private = private_mb(process)
        said.seek(0)
        output = said.read().decode(errors="replace")
    if process.returncode != 0:
        sys.exit(f"{task} of {path.name} failed with {process.returncode}:\n{output[-2000:]}")
    resident = float(output.splitlines()[-1])
    return private or resident, resident


def pool_of(given: str | None) -> Path | None:
    """Return the table of candidate structures, if there is one."""
    if given is not None:
        return Path(given)
    named = os.environ.get("TEAM5_TEST_DATA")
    found = Path(named) / "candidate_pool.parquet" if named else None
    return found if found and found.is_file() else None


def main() -> int:
    """Measure each task with each size and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pool", help="table of candidates")
    parser.add_argument("--candidates", type=int, nargs=2, default=[2_000, 4_000])
    parser.add_argument("--rows", type=int, nargs=2, default=[30_000, 150_000])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    pool = pool_of(given.pool)
    print(machine_line())
    print(f"candidates from {pool.name if pool else 'the built-in molecules, repeated'}")
    table = Table("task", "size", "private MB", "min", "max", "resident MB", "ratio", "growth kB")
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for task in given.tasks:
            small, large = sorted(given.candidates if task in OF_CANDIDATES else given.rows)
            medians: list[float] = []
            for size in (small, large):
                path = Path(folder) / "input"
                if task in OF_CANDIDATES:
                    write_candidates(path, size, pool)
                else:
                    write_table(path, size)
                peaks = [peak_mb(task, path) for _ in range(given.repeats)]
                middle, low, high = Table.spread([private for private, _ in peaks])
                resident, *_ = Table.spread([resident for _, resident in peaks])
                medians.append(middle)
                if len(medians) == 1:
                    table.row(task, size, middle, low, high, resident, "", "")
            growth = 1000 * (medians[1] - medians[0]) / (large - small)
            ratio = medians[1] / medians[0]
            table.row(task, large, middle, low, high, resident, ratio, growth)
            if growth > LIMITS[task]:
                missed.append(task)
    limits = ", ".join(f"{LIMITS[task]} kB for {task}" for task in given.tasks)
    print(f"growth at most {limits}: {'NOT met by ' + ', '.join(missed) if missed else 'met'}")
    return 1 if missed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--task"]:
        TASKS[sys.argv[2]](*sys.argv[3:])
        print(own_peak_mb())
        sys.exit(0)
    sys.exit(main())
