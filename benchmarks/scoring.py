"""Candidates scored per second, cold and warm, on one core and on two, and where the time goes.

    python benchmarks/scoring.py [STRUCTURES.parquet|csv] [version=v0.2] [beside=v0.1] [root=FOLDER]

Drug-sized candidates (20 to 29 heavy atoms) of one mass each, for one spectrum: cold from their
SMILES; with their fragments on disk; with the network's word on them in memory, and with what they
give under these conditions as well; simulated, cold; and, for comparison, cold in padded batches as
on a GPU, and cold by another version (beside=). All take turns in one run. Without a table with a
column smiles, the built-in molecules are taken, which are few. What one core does is counted in
processor time, which other work changes least. Exits with 1 when a limit is missed.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import polars as pl
import torch
from machine import command_line, machine_line, print_table, spread
from measure import ROUNDS, alternate

from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.inference.encodings import Bounded, EncodingCache
from team5.inference.engine import iter_padded, iter_scores
from team5.inference.inference import LoadedModel, infer, load_model
from team5.inference.matches import to_simulation

REPOSITORY = Path(__file__).resolve().parent.parent
BUILT_IN = REPOSITORY / "team5" / "data" / "demo_molecules.csv"
CANDIDATES = 200
LIMITS = {"cold": 800, "encoded before": 8_000, "simulated, cold": 500}  # a second, one core


def main() -> int:
    """Time all ways in turns and print the tables."""
    torch.set_num_threads(1)
    words, options = command_line()
    path = Path(words[0]) if words else BUILT_IN
    smiles = drug_sized(path)
    root = options.get("root", str(REPOSITORY / "checkpoints"))
    model = load_model(options.get("version"), device="cpu", root=root)
    spectrum = spectrum_of(model, smiles[0])
    kept, encoded = EncodingCache(2**32), EncodingCache(2**32)
    encoded.outcomes = Bounded(0)

    def score(cache: EncodingCache, by: LoadedModel = model) -> None:
        molecules = [cache.parse(text) for text in smiles]
        for _ in iter_scores(by, molecules, [spectrum], cache):
            pass

    def score_padded() -> None:
        for _ in iter_padded(model, [parse_smiles(text) for text in smiles], [spectrum]):
            pass

    def simulate() -> None:
        molecules = [parse_smiles(text) for text in smiles]
        for scored in iter_scores(model, molecules, [spectrum], EncodingCache(0)):
            to_simulation(model, scored, spectrum)

    score(kept)
    score(encoded)
    ways = {
        "cold": lambda: score(EncodingCache(0)),
        "encoded before": lambda: score(encoded),
        "encoded and measured in this way before": lambda: score(kept),
        "simulated, cold": simulate,
        "cold, padded batches": score_padded,
    }
    if beside := options.get("beside"):
        other = load_model(beside, device="cpu", root=root)
        ways[f"cold, {beside}"] = lambda: score(EncodingCache(0), by=other)
    taken = alternate(list(ways.values()), clock=time.process_time)
    shares = shares_of_time(model, smiles, spectrum)
    one, two = two_cores(smiles, (options.get("version"), root), spectrum)

    print(machine_line())
    rates = {name: [len(smiles) / s for s in own] for name, own in zip(ways, taken, strict=True)}
    rows = [
        (name, spread(own, 0), spread([r / c for r, c in zip(own, rates["cold"], strict=True)]))
        for name, own in rates.items()
    ]
    print_table((f"{len(smiles)} candidates, one core", "candidates/s", "times cold"), rows)
    print()
    print_table(
        ("cold, two processes", "candidates/s", "times one"),
        [
            ("one", spread(one, 0), ""),
            ("two", spread(two, 0), spread([b / a for a, b in zip(one, two, strict=True)])),
        ],
    )
    print()
    print_table(
        ("share of time, cold", "share"), [(name, f"{s:.0%}") for name, s in shares.items()]
    )
    missed = 0
    for name, limit in LIMITS.items():
        is_met = statistics.median(rates[name]) >= limit
        missed += not is_met
        print(f"{name}, at least {limit:,} a second on one core: {'met' if is_met else 'NOT met'}")
    return 1 if missed else 0


def drug_sized(path: Path) -> list[str]:
    """Return structures of 20 to 29 heavy atoms, those of like mass one after another."""
    read = pl.read_parquet if path.suffix == ".parquet" else pl.read_csv
    table = read(path)
    found: list[tuple[float, str]] = []
    for text in table["smiles"].sample(fraction=1.0, shuffle=True, seed=0):
        molecule = parse_smiles(text)
        if 20 <= molecule.n_heavy_atoms < 30:
            found.append((molecule.exact_mass, text))
        if len(found) == CANDIDATES // 20:
            break
    if "exact_mass" not in table.columns:
        return [text for _, text in sorted(found)]
    smiles: list[str] = []
    for mass, _ in found:
        near = table.filter((pl.col("exact_mass") - mass).abs() <= 1e-5 * mass)
        smiles += near["smiles"].head(20).to_list()
    return smiles


def spectrum_of(model: LoadedModel, smiles: str) -> Spectrum:
    """Return what the model predicts for a structure, as if it had been measured."""
    predicted = infer(model, None, smiles, adduct="[M+H]+", collision_energy="35 eV")
    return Spectrum(predicted.mzs, predicted.intensities, adduct="[M+H]+", collision_energy="35 eV")


def shares_of_time(model: LoadedModel, smiles: list[str], spectrum: Spectrum) -> dict[str, float]:
    """Return what parsing, cutting, the network and the rest take, as shares of a cold run."""
    spent = {"parsing": [], "cutting": [], "network": [], "pairs": []}
    for _ in range(ROUNDS):
        began = time.process_time()
        molecules = [parse_smiles(text) for text in smiles]
        parsed = time.process_time()
        cut = [model.tokenizer.encode(molecule) for molecule in molecules]
        for tokens in cut:
            tokens.fragment_features()
        done = time.process_time()
        cache = EncodingCache(2**31)
        for _ in iter_scores(model, molecules, [spectrum], cache):
            pass
        scored = time.process_time()
        for _ in iter_scores(model, molecules, [spectrum], cache):
            pass
        again = time.process_time() - scored
        spent["parsing"].append(parsed - began)
        spent["cutting"].append(done - parsed)
        spent["network"].append(scored - done - (done - parsed) - again)
        spent["pairs"].append(again)
    medians = {name: statistics.median(own) for name, own in spent.items()}
    total = sum(medians.values())
    return {name: own / total for name, own in medians.items()}


def two_cores(
    smiles: list[str], version: tuple[str | None, str], spectrum: Spectrum
) -> tuple[list[float], list[float]]:
    """Return candidates a second of one process and of two at once, cold."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, _start, (version, smiles, spectrum)) as pool:
        pool.map(_score_cold, range(4), chunksize=1)

        def times(n: int) -> float:
            began = time.perf_counter()
            pool.map(_score_cold, range(n), chunksize=1)
            return n * len(smiles) / (time.perf_counter() - began)

        pairs = [(times(1), times(2)) for _ in range(ROUNDS)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _start(version: tuple[str | None, str], smiles: list[str], spectrum: Spectrum) -> None:
    torch.set_num_threads(1)
    model = load_model(version[0], device="cpu", root=version[1])
    globals()["_work"] = model, smiles, spectrum


def _score_cold(_: int) -> None:
    model, smiles, spectrum = globals()["_work"]
    molecules = [parse_smiles(text) for text in smiles]
    for _ in iter_scores(model, molecules, [spectrum], EncodingCache(0)):
        pass


if __name__ == "__main__":
    sys.exit(main())
