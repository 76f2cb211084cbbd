"""What fragments explain: of the spectra of true structures, and of others of the same formula.

    python benchmarks/explained.py QUERIES.parquet

Each query's peaks are matched with the fragments of its true structure and of up to eight other
candidates of the same formula, by depth of the cuts and number of fragments, and with one more loss
or gain that any fragment may have. Shares are of the peaks' weight (square roots of intensities).
A kind of ion is of use only if it explains more of the true ones' spectra than of the others'.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from machine import command_line, print_table

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.collate import PreparedSpectrum, match_fragments, prepare_spectrum
from team5.errors import MoleculeError

MAX_OTHERS = 8  # of one query
SETS = [(2, 1_000), (3, 300), (3, 500), (3, 1_000), (3, 3_000), (4, 1_500)]  # depth, fragments
CHANGES = {
    "+H2O": 18.010565,
    "-CO": -27.994915,
    "-CO2": -43.989829,
    "-SO2": -63.961900,
    "-NO": -29.997989,
    "-HCN": -27.010899,
    "-NH3": -17.026549,
    "-CH3": -15.023475,
    "five and six hydrogens less": -2 * 1.007825,
    "five and six hydrogens more": 2 * 1.007825,
}  # in u


@dataclass(frozen=True)
class Query:
    """A spectrum, its true structure and others of the same formula."""

    spectrum: PreparedSpectrum
    smiles: str
    others: list[str]


def main() -> int:
    """Print both tables."""
    words, _ = command_line()
    if len(words) != 1:
        sys.exit(__doc__)
    queries = list(read_queries(words[0]))
    n_others = sum(len(query.others) for query in queries)
    print(f"{len(queries):,} queries, {n_others:,} other candidates")
    rows = []
    for depth, n in SETS:
        true, others = shares(queries, MoleculeTokenizer(TokenizerConfig(depth, n)), None)
        rows.append((f"{depth}, {n:,}", f"{true:.3f}", f"{others:.3f}", f"{true - others:.3f}"))
    print_table(("depth, fragments", "true structures", "others", "difference"), rows)
    print()
    tokenizer = MoleculeTokenizer()
    before = shares(queries, tokenizer, None)
    rows = []
    for name, change in CHANGES.items():
        true, others = np.subtract(shares(queries, tokenizer, change), before)
        rows.append((name, f"{true:+.3f}", f"{others:+.3f}", f"{true - others:+.3f}"))
    print_table(("more explained by", "true structures", "others", "difference"), rows)
    return 0


def read_queries(path: str) -> Iterator[Query]:
    """Yield the queries that have other candidates of the formula."""
    tokenizer = MoleculeTokenizer(TokenizerConfig(1, 1))
    for row in pl.read_parquet(path).iter_rows(named=True):
        others = [
            smiles
            for smiles, key, is_alike in zip(
                row["candidates"], row["candidate_inchikey14"], row["same_formula"], strict=True
            )
            if is_alike and key != row["inchikey14"]
        ]
        if not others:
            continue
        prepared = prepare_spectrum(
            tokenizer.encode(row["smiles"]).molecule.exact_mass,
            mzs=np.array(row["mzs"]),
            intensities=np.array(row["intensities"]),
            adduct=parse_adduct(row["adduct"]),
            collision_energy=row["collision_energy"],
            instrument_type=row["instrument_type"],
        )
        yield Query(prepared, row["smiles"], others[:MAX_OTHERS])


def shares(
    queries: list[Query], tokenizer: MoleculeTokenizer, change: float | None
) -> tuple[float, float]:
    """Return the mean shares that true structures and others explain."""
    true, others = [], []
    for query in queries:
        true.append(share(query.spectrum, query.smiles, tokenizer, change))
        others.append(
            np.mean([share(query.spectrum, each, tokenizer, change) for each in query.others])
        )
    return float(np.mean(true)), float(np.mean(others))


def share(
    spectrum: PreparedSpectrum, smiles: str, tokenizer: MoleculeTokenizer, change: float | None
) -> float:
    """Return the share of the peaks' weight that a structure explains; 0 if it is not readable."""
    try:
        tokens = tokenizer.encode(smiles)
    except MoleculeError:
        return 0.0
    explained = match_fragments(spectrum, tokens, 0).match_peaks
    if change is not None:
        changed = replace(spectrum, offsets=spectrum.offsets + change)
        explained = np.append(explained, match_fragments(changed, tokens, 0).match_peaks)
    return float(spectrum.peaks.weights[np.unique(explained)].sum())


if __name__ == "__main__":
    sys.exit(main())
