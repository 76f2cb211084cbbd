"""Whether the adduct is found where it is not known, and what not knowing it costs.

    python benchmarks/adducts.py QUERIES.parquet POOL.parquet [version=v0.2] [candidates=50]

Each spectrum is searched in the pool with its adduct hidden (``adduct=auto``; its ion mode stays
known), and once more with all the adducts of both ion modes. Of the structures of each adduct's
mass at most so many are scored, drawn by seed. True structures that the pool lacks, permanent
cations above all, are added to it. Beside it: the same with the adduct known; without
``adduct=``, so that the usual one is assumed; and without priors. Spectra of which the pool holds
no other structure of the true adduct's mass are left out of hit@1.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import torch
from machine import command_line, machine_line, print_table
from tqdm import tqdm

from team5.chemistry.adducts import default_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.hypotheses import AUTO
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, MoleculeError
from team5.evaluation.bootstrap import bootstrap_interval
from team5.inference.adduct_priors import prior_score
from team5.inference.engine import iter_scores
from team5.inference.inference import load_model
from team5.inference.question import check_ions
from team5.library.library import open_library

REPOSITORY = Path(__file__).resolve().parent.parent
MEASURED = ("mzs", "intensities", "precursor_mz", "collision_energy", "instrument_type")
AUTO_MODE, AUTO_ALL, NO_PRIOR, KNOWN, ASSUMED = (
    "adduct=auto",
    "adduct=auto, ion mode not known",
    "adduct=auto, without priors",
    "adduct known",
    "adduct of the ion mode assumed",
)


def main() -> int:
    """Search and print."""
    torch.set_num_threads(1)
    words, options = command_line()
    if len(words) != 2:
        sys.exit(__doc__)
    model = load_model(options.get("version"), device="cpu", root=REPOSITORY / "checkpoints")
    queries = pl.read_parquet(words[0]).sort("inchikey14", "identifier")
    n_candidates = int(options.get("candidates", 50))
    with tempfile.TemporaryDirectory() as folder:
        library = open_library(write_pool(words[1], queries, Path(folder) / "pool.parquet"))
        outcomes = [
            search(model, library, row, n_candidates)
            for row in tqdm(queries.iter_rows(named=True), total=len(queries), disable=None)
        ]
    print(machine_line())
    report(queries, outcomes, f"{model.version}, {n_candidates} candidates of each adduct at most")
    return 0


def write_pool(path: str, queries: pl.DataFrame, to: Path) -> Path:
    """Write the pool with the true structures that it lacks, sorted by mass."""
    pool = pl.read_parquet(path).with_columns(charge=pl.lit(0, pl.Int8))
    true = queries.unique("inchikey14", maintain_order=True).join(pool, on="inchikey14", how="anti")
    molecules = [parse_smiles(smiles) for smiles in true["smiles"]]
    lacking = pl.DataFrame(
        {
            "smiles": [molecule.smiles for molecule in molecules],
            "inchikey14": [molecule.inchikey14 for molecule in molecules],
            "formula": [molecule.formula for molecule in molecules],
            "exact_mass": [molecule.exact_mass for molecule in molecules],
            "charge": [molecule.charge for molecule in molecules],
        },
        schema=pool.schema,
    )
    pl.concat([pool, lacking]).sort("exact_mass").write_parquet(to)
    return to


def search(model, library, row: dict, n_candidates: int) -> dict:
    """Return by way of asking whether structure and adduct of the first place are right.

    And the confidence of the first place; nothing where the pool does not hold the structure.
    """
    measured = {name: row[name] for name in MEASURED}
    known = Spectrum(**measured, adduct=row["adduct"])
    auto = Spectrum(**measured, adduct=AUTO)
    molecules, adducts = [], []
    random = np.random.default_rng(0)
    for adduct in auto.hypotheses:
        found = library.of_precursor(row["precursor_mz"], adduct)
        keys = np.array(found.inchikey14.to_pylist(), dtype=object)
        drawn = random.permutation(np.flatnonzero(keys != row["inchikey14"]))[: n_candidates - 1]
        for smiles in found.smiles.take(drawn).to_pylist():
            try:
                molecule = model.encodings.parse(smiles)
                check_ions([molecule], [auto])
            except (MoleculeError, AdductError):
                continue
            molecules.append(molecule)
            adducts.append(adduct)
        if adduct == known.adduct and (keys == row["inchikey14"]).any():
            molecules.insert(0, model.encodings.parse(row["smiles"]))
            adducts.insert(0, adduct)
    is_true = np.array([m.inchikey14 == row["inchikey14"] for m in molecules])
    if not is_true.any():
        return {}
    scores, priors = np.empty(len(molecules)), np.empty(len(molecules))
    for scored in iter_scores(model, molecules, [auto], model.encodings):
        scores[scored.index] = scored.scores[0]
        priors[scored.index] = prior_score(model, scored, [auto])
    is_right = np.array([adduct == known.adduct for adduct in adducts])
    in_mode = np.isin(adducts, known_mode(auto, known))
    usual = np.array(
        [
            adduct == default_adduct(known.ion_mode, molecule.charge)
            for adduct, molecule in zip(adducts, molecules, strict=True)
        ]
    )

    def first(asked: np.ndarray, values: np.ndarray) -> tuple[bool, bool, float]:
        if not asked.any():
            return False, False, 0.0
        values = np.where(asked, values, -np.inf)
        confidence = model.confidence.of(values, same_formula=False).max()
        best = int(values.argmax())
        return bool(is_true[best]), bool(is_right[best]), float(confidence)

    outcome = {
        AUTO_MODE: first(in_mode, scores + priors),
        AUTO_ALL: first(np.ones_like(in_mode), scores + priors),
        NO_PRIOR: first(in_mode, scores),
        ASSUMED: first(usual, scores),
        KNOWN: first(is_right, scores),
    }
    counted = {"n": int(is_right.sum()), "n_scored": int(in_mode.sum())}
    return outcome | counted | {"structure": row["inchikey14"]}


def known_mode(auto: Spectrum, known: Spectrum) -> list[str]:
    """Return the hypotheses of the ion mode."""
    return [
        adduct
        for adduct in auto.hypotheses
        if Spectrum([1.0], [1.0], adduct=adduct).ion_mode == known.ion_mode
    ]


def report(queries: pl.DataFrame, outcomes: list[dict], title: str) -> None:
    """Print the shares right."""
    usable = [outcome for outcome in outcomes if outcome]
    ranked = [outcome for outcome in usable if outcome["n"] > 1]
    print(
        f"{title}: {len(usable)} of {len(queries)} spectra whose structure has the precursor, "
        f"{np.mean([o['n_scored'] for o in usable]):.0f} candidates on average; {len(ranked)} with "
        "others of the true adduct's mass"
    )
    ways = KNOWN, AUTO_MODE, NO_PRIOR, AUTO_ALL, ASSUMED
    rows = []
    for way in ways:
        adduct = np.mean([outcome[way][1] for outcome in usable])
        hits = [outcome[way][0] for outcome in ranked]
        low, high = bootstrap_interval(hits, [outcome["structure"] for outcome in ranked])
        sure = np.mean([outcome[way][2] for outcome in ranked])
        hit = f"{np.mean(hits):.3f} ({low:.3f} to {high:.3f})"
        rows.append((way, f"{adduct:.3f}", hit, f"{sure:.3f}"))
    names = "asked with", "adduct found", "hit@1", "mean confidence of the first place"
    print_table(names, rows)
    of_adduct = Counter(queries["adduct"])
    rows = [
        (
            adduct,
            sum(bool(o) for o in its),
            *(f"{np.mean([o[w][1] for o in its if o]):.2f}" for w in (AUTO_MODE, AUTO_ALL)),
            *(f"{np.mean([o[w][0] for o in its if o]):.2f}" for w in (KNOWN, AUTO_MODE)),
        )
        for adduct, _ in of_adduct.most_common()
        if any(its := [o for o, a in zip(outcomes, queries["adduct"], strict=True) if a == adduct])
    ]
    names = "adduct", "spectra", "found", "found, ion mode not known", "hit@1 known", "hit@1 auto"
    print_table(names, rows)


if __name__ == "__main__":
    sys.exit(main())
