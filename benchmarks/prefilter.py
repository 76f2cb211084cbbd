"""What the prefilter costs in recall and saves in time, on queries with candidates of a library.

    python benchmarks/prefilter.py QUERIES.parquet LIBRARY [version=v0.2] [queries=80]

The library is a Parquet file with smiles, inchikey14 and exact_mass sorted by mass, or one built by
``python -m team5.library build``. Of each query whose 10 ppm window holds long enough a list, the
true structure among them, all candidates are scored in full, and again those that the prefilter
keeps. Exits with 1 when fewer than 0.995 of the true structures among the first 20 stay there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from machine import command_line, machine_line, print_table, spread
from tqdm import tqdm

from team5.data.spectrum import Spectrum
from team5.errors import MoleculeError
from team5.inference.encodings import EncodingCache
from team5.inference.engine import iter_scores
from team5.inference.inference import load_model
from team5.library.library import open_library
from team5.search.prefilter import MIN_CANDIDATES, promising

REPOSITORY = Path(__file__).resolve().parent.parent
RECALL = 0.995
AMONG = 20
MAX_CANDIDATES = 600  # scored of one query, drawn by seed


def main() -> int:
    """Score with and without the prefilter and print what it keeps."""
    torch.set_num_threads(1)
    words, options = command_line()
    if len(words) != 2:
        sys.exit(__doc__)
    library = open_library(words[1])
    model = load_model(options.get("version"), device="cpu", root=REPOSITORY / "checkpoints")
    queries = pl.read_parquet(words[0]).sample(fraction=1.0, shuffle=True, seed=0)
    kept_shares, ratios, before, after = [], [], 0, 0
    wanted = int(options.get("queries", 80))
    bar = tqdm(total=wanted, disable=None)
    for row in queries.iter_rows(named=True):
        molecules = candidates_of(library, row)
        if len(molecules) < MIN_CANDIDATES:
            continue
        spectrum = Spectrum(
            row["mzs"],
            row["intensities"],
            adduct=row["adduct"],
            collision_energy=row["collision_energy"],
            instrument_type=row["instrument_type"],
        )
        began = time.perf_counter()
        scores = np.full(len(molecules), -np.inf)
        for scored in iter_scores(model, molecules, [spectrum], EncodingCache(0)):
            scores[scored.index] = scored.scores[0]
        full_s = time.perf_counter() - began
        began = time.perf_counter()
        kept = promising(molecules, spectrum)
        look_s = time.perf_counter() - began
        kept_shares.append(kept.mean())
        ratios.append(full_s / (look_s + kept.mean() * full_s))
        if (scores > scores[0]).sum() < AMONG:
            before += 1
            after += bool(kept[0])
        bar.update()
        if len(ratios) == wanted:
            break
    bar.close()
    print(machine_line())
    print_table(
        (f"{len(ratios)} queries with {MIN_CANDIDATES} candidates and more", ""),
        [
            ("share of candidates kept", spread(kept_shares)),
            ("time without over time with, parsing left out", spread(ratios)),
            (f"true structure among the first {AMONG}, without", before),
            ("of these, with", after),
        ],
    )
    reached = after / before if before else 0.0
    verdict = "met" if reached >= RECALL else "NOT met"
    print(f"hit@{AMONG} kept: {reached:.3f}; at least {RECALL}: {verdict}")
    return 0 if reached >= RECALL else 1


def candidates_of(library, row: dict) -> list:
    """Return the true structure and others of its window, at most ``MAX_CANDIDATES``."""
    found = library.of_precursor(row["precursor_mz"], row["adduct"])
    keys = np.array(found.inchikey14.to_pylist(), dtype=object)
    others = np.flatnonzero(keys != row["inchikey14"])
    drawn = np.random.default_rng(0).permutation(others)[: MAX_CANDIDATES - 1]
    cache = EncodingCache(0)
    molecules = [cache.parse(row["smiles"])]
    for smiles in found.smiles.take(drawn).to_pylist():
        try:
            molecules.append(cache.parse(smiles))
        except MoleculeError:
            continue
    return molecules


if __name__ == "__main__":
    sys.exit(main())
