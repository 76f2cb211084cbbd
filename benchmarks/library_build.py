"""Speed and peak memory of building a candidate library, for two numbers of structures.

    python benchmarks/library_build.py POOL.parquet [--rows 100000 1000000] [--workers 2] [--trust]

Structures are computed, an InChIKey each; with ``--trust`` the pool's own columns are taken, which
leaves reading and sorting. More rows than the pool has are the pool over and over, with masses
moved a little. Each build is a process of its own, which says how much memory it and the largest
of its workers had at most.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from team5.library.build import build_library

LIMIT_MB = 2_000  # of the main process, for any number of structures
SHIFT = 0.0003  # u between copies: none is the same structure
KIB = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in


def build_one(source: Path, output: Path, n_workers: int, trust: bool) -> None:
    """Build a library and print what it took, as JSON."""
    began = time.perf_counter()
    manifest = build_library([source], output, n_workers=n_workers, trust_columns=trust)
    seconds = time.perf_counter() - began
    peaks = [
        resource.getrusage(who).ru_maxrss * KIB / 1e6
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(json.dumps({"seconds": seconds, "n_rows": manifest.n_rows, "peaks": peaks}))


def write_source(pool: pa.Table, n_rows: int, path: Path) -> None:
    """Write a random sample of the pool, or copies of it in random order."""
    rng = np.random.default_rng(0)
    at = pool.schema.get_field_index("exact_mass")
    with pq.ParquetWriter(path, pool.schema) as writer:
        for copy in range(-(-n_rows // len(pool))):
            chosen = rng.permutation(len(pool))[: n_rows - copy * len(pool)]
            rows = pool.take(pa.array(chosen))
            masses = rows["exact_mass"].to_numpy() + copy * SHIFT
            writer.write_table(rows.set_column(at, "exact_mass", pa.array(masses)), 100_000)


def main() -> int:
    """Build both libraries and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--rows", type=int, nargs=2, default=[100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        build_one(options.pool, options.one, options.workers, options.trust)
        return 0
    table = pq.read_table(options.pool)
    print(f"{'rows':>11} {'seconds':>8} {'rows/s':>8} {'main MB':>8} {'worker MB':>10}")
    peaks = []
    for n_rows in options.rows:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "source.parquet"
            write_source(table, n_rows, source)
            done = subprocess.run(
                [
                    sys.executable, __file__, str(source), "--one", f"{name}/out",
                    "--workers", str(options.workers), *(["--trust"] if options.trust else []),
                ],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            sys.exit(done.stderr)
        found = json.loads(done.stdout)
        peaks.append(found["peaks"])
        print(
            f"{n_rows:>11,} {found['seconds']:>8.1f} {n_rows / found['seconds']:>8,.0f} "
            f"{found['peaks'][0]:>8.0f} {found['peaks'][1]:>10.0f}",
            flush=True,
        )
    peak = max(main for main, _ in peaks)
    verdict = "met" if peak <= LIMIT_MB else "NOT met"
    print(f"{peak:,.0f} MB in the main process; at most {LIMIT_MB:,}: {verdict}")
    return 0 if peak <= LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
