"""Lookups in candidate libraries of 10^6 and 10^7 structures, and in the pool's file as it is.

    python benchmarks/library_lookup.py POOL.parquet [--rounds 5] [--group-rows 8192]

The libraries are made in a temporary folder from the pool's rows, over and over with masses moved
a little. Rounds over all of them alternate, so that all meet the same load of the machine. Each
asks for random structures of the library, 10 ppm, `[M+H]+`: once with nothing kept (every row group
is decoded) and once more with the library's own cache. Exits with 1 if the median of the kept ones
is above the limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from team5.chemistry.adducts import parse_adduct
from team5.library.build import build_library
from team5.library.library import Library, open_library
from team5.library.sorting import ROWS_PER_GROUP, PartSizes

LIMIT_MS = 20.0
SHIFT = 0.0003  # u between copies: none is the same structure, all are within the window
PROTONATED = parse_adduct("[M+H]+")


@dataclass
class Case:
    """One library and what was measured."""

    name: str
    path: Path
    library: Library
    mzs: list[float]
    decoded_ms: list[float] = field(default_factory=list)
    decoded_p95_ms: list[float] = field(default_factory=list)
    kept_ms: list[float] = field(default_factory=list)
    n_candidates: float = 0.0
    n_groups: float = 0.0
    n_bytes: float = 0.0


def make_library(pool: Path, n_rows: int, folder: Path, group_rows: int) -> Path:
    """Build a library of `n_rows` from copies of the pool."""
    source = folder / f"{n_rows}.parquet"
    table = pq.read_table(pool)
    with pq.ParquetWriter(source, table.schema) as writer:
        left = n_rows
        for copy in range(-(-n_rows // len(table))):
            masses = table["exact_mass"].to_numpy() + copy * SHIFT
            at = table.schema.get_field_index("exact_mass")
            moved = table.set_column(at, "exact_mass", pa.array(masses))
            # Not the lightest ones: a sample of all masses.
            chosen = np.linspace(0, len(moved) - 1, min(left, len(moved))).astype(np.int64)
            writer.write_table(moved.take(pa.array(chosen)))
            left -= len(chosen)
    output = folder / f"{n_rows}.library"
    sizes = PartSizes(per_group=group_rows, per_part=group_rows * (1_048_576 // group_rows))
    manifest = build_library([source], output, trust_columns=True, sizes=sizes)
    source.unlink()
    print(f"built {manifest.n_rows:,} structures", file=sys.stderr)
    return output


def make_case(name: str, path: Path, n_lookups: int) -> Case:
    """Open a library and choose what to ask it."""
    library = open_library(path)
    rng = np.random.default_rng(0)
    masses = np.concatenate([part.exact_masses for part in library.scan()])
    chosen = rng.choice(masses, n_lookups, replace=False)
    return Case(name, path, open_library(path), [PROTONATED.precursor_mz(m) for m in chosen])


def times_ms(library: Library, mzs: list[float]) -> tuple[list[float], int]:
    """Return how long each lookup took, and how many candidates all had."""
    times, n_found = [], 0
    for mz in mzs:
        began = time.perf_counter()
        found = library.of_precursor(mz, PROTONATED)
        times.append((time.perf_counter() - began) * 1e3)
        n_found += len(found)
    return times, n_found


def measure(case: Case) -> None:
    """Do one round."""
    bare = open_library(case.path, cache_bytes=0)
    times, n_found = times_ms(bare, case.mzs)
    case.decoded_ms.append(statistics.median(times))
    case.decoded_p95_ms.append(float(np.percentile(times, 95)))
    n = len(case.mzs)
    case.n_candidates = n_found / n
    case.n_groups = bare.read_counts.n_groups / n
    case.n_bytes = bare.read_counts.n_bytes / n
    times_ms(case.library, case.mzs)
    case.kept_ms.append(statistics.median(times_ms(case.library, case.mzs)[0]))


def row(case: Case) -> str:
    """Return a line of the table."""
    return (
        f"{case.name:<12} {len(case.library):>11,} {statistics.median(case.decoded_ms):>11.2f} "
        f"{statistics.median(case.decoded_p95_ms):>8.2f} {statistics.median(case.kept_ms):>8.3f} "
        f"{case.n_candidates:>11,.0f} {case.n_groups:>7.2f} {case.n_bytes / 1e3:>8,.0f} "
        f"{case.library.index_bytes / 1e3:>9.1f}"
    )


def main() -> int:
    """Make the libraries, do the rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lookups", type=int, default=200)
    parser.add_argument("--group-rows", type=int, default=ROWS_PER_GROUP)
    parser.add_argument("--rows", type=int, nargs=2, default=[1_000_000, 10_000_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cases = [make_case("pool, file", options.pool, options.lookups)]
        for n_rows in options.rows:
            path = make_library(options.pool, n_rows, Path(name), options.group_rows)
            cases.append(make_case(f"{n_rows:.0e}", path, options.lookups))
        for _ in range(max(5, options.rounds)):
            for case in cases:
                measure(case)
    print(f"{options.lookups} lookups of 10 ppm, medians of {max(5, options.rounds)} rounds")
    print(
        f"{'library':<12} {'structures':>11} {'decoded ms':>11} {'p95 ms':>8} {'kept ms':>8} "
        f"{'candidates':>11} {'groups':>7} {'kB read':>8} {'index kB':>9}"
    )
    for case in cases:
        print(row(case))
    small, large = cases[1:]
    grown = len(large.library) / len(small.library)
    ratios = [b / a for a, b in zip(small.decoded_ms, large.decoded_ms, strict=True)]
    print(f"{grown:.0f} times the structures, {statistics.median(ratios):.2f} times the time")
    factor = 1e9 / len(large.library)
    n_candidates = large.n_candidates * factor
    n_groups = 1e9 / options.group_rows
    per_group = large.library.index_bytes / large.library.n_row_groups
    print(
        f"10^9, by arithmetic: {n_candidates:,.0f} candidates in the window, "
        f"{1 + n_candidates / options.group_rows:.1f} row groups read of {n_groups:,.0f}, "
        f"index {n_groups * per_group / 1e6:.1f} MB in memory"
    )
    worst = max(statistics.median(case.kept_ms) for case in cases[:2])
    verdict = "met" if worst <= LIMIT_MS else "NOT met"
    print(f"at most {LIMIT_MS:g} ms for the pool and a library of its size: {verdict}")
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
