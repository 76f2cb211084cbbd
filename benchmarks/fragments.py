"""Enumeration of fragments against the same algorithm in plain Python, by size of molecule.

    python benchmarks/fragments.py [STRUCTURES.parquet|csv]

The plain one is the tests' reference, tests/chemistry/reference_fragments.py; that both give the
same fragments is tested there. Without a table with a column smiles, the built-in molecules are
taken. Exits with 1 when the median ratio for drug-sized molecules is below the limit.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
from pathlib import Path

import polars as pl
from machine import machine_line, print_table, spread
from measure import alternate

from team5.chemistry.fragments import MAX_DEPTH, MAX_FRAGMENTS, cut_graph, molecule_graph
from team5.chemistry.molecule import parse_smiles

REPOSITORY = Path(__file__).resolve().parent.parent
BUILT_IN = REPOSITORY / "team5" / "data" / "demo_molecules.csv"
SIZES = ((5, 10), (10, 20), (20, 30), (30, 45), (45, 64))  # heavy atoms, from and below
DRUG_SIZED = (20, 30)
MOLECULES = 6
REPEATS = 20  # of ours in one timing, which is too short to be timed once
LIMIT = 100.0  # times plain Python


def main() -> int:
    """Time both by size and print a table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILT_IN
    read = pl.read_parquet if path.suffix == ".parquet" else pl.read_csv
    smiles = read(path)["smiles"].sample(fraction=1.0, shuffle=True, seed=0)
    by_size = {size: [] for size in SIZES}
    for text in smiles:
        molecule = parse_smiles(text)
        for size in SIZES:
            if size[0] <= molecule.n_heavy_atoms < size[1] and len(by_size[size]) < MOLECULES:
                by_size[size].append(molecule_graph(molecule))
        if all(len(graphs) == MOLECULES for graphs in by_size.values()):
            break
    plain = reference()
    rows, ratios = [], {}
    for size, graphs in by_size.items():
        if not graphs:
            continue
        limits = MAX_DEPTH, MAX_FRAGMENTS
        ours = [cut_graph(graph, *limits) for graph in graphs]  # compiles, too

        def fast(graphs: list = graphs, limits: tuple = limits) -> None:
            for _ in range(REPEATS):
                for graph in graphs:
                    cut_graph(graph, *limits)

        def slow(graphs: list = graphs, limits: tuple = limits) -> None:
            for graph in graphs:
                plain(graph, *limits)

        fast_s, slow_s = alternate([fast, slow])
        ratios[size] = [s / (f / REPEATS) for f, s in zip(fast_s, slow_s, strict=True)]
        rate = [len(graphs) * REPEATS / f for f in fast_s]
        rows.append(
            (
                f"{size[0]} to {size[1] - 1}",
                round(statistics.mean(len(found) for found in ours)),
                spread(rate, 0),
                spread([len(graphs) / s for s in slow_s], 0),
                spread(ratios[size], 0),
            )
        )
    print(machine_line())
    print_table(("heavy atoms", "fragments", "molecules/s", "plain Python", "ratio"), rows)
    reached = statistics.median(ratios[DRUG_SIZED])
    verdict = "met" if reached >= LIMIT else "NOT met"
    print(f"at least {LIMIT:.0f} times for {DRUG_SIZED[0]} to {DRUG_SIZED[1] - 1} atoms: {verdict}")
    return 0 if reached >= LIMIT else 1


def reference():
    """Return the plain enumeration of the tests."""
    path = REPOSITORY / "tests" / "chemistry" / "reference_fragments.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.reference_fragments


if __name__ == "__main__":
    sys.exit(main())
