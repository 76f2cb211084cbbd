"""Which weights of peaks and which floor of log P rank best, on what versions have not seen.

    python benchmarks/score_rule.py QUERIES.parquet version=v0.3
    python benchmarks/score_rule.py versions=v0.4,v0.5 root=checkpoints archive=FILE folds=FILE \
        pool=FILE [at_most=500] [candidates=32] [cache_dir=FOLDER]

Candidates of the true structure's formula are scored once; each rule weighs the same log
probabilities. hit@1 of every rule beside that of the first (square roots of intensities, no floor),
with the 95 % interval of the difference over compounds; then the rule that is best on four fifths
of the compounds, on the other fifth, all fifths together. The networks stay as they were trained.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import command_line, machine_line
from numpy.typing import NDArray
from tqdm import tqdm

from team5.assessment.cross_folds import edited, held_out_queries, part_of
from team5.assessment.queries import Query, read_queries, shuffle_spectra
from team5.assessment.scoring import iter_query_scores
from team5.chemistry.molecule import parse_smiles
from team5.data.datamodule import SpectrumDataModule
from team5.data.preprocess import ScoreRule
from team5.evaluation.bootstrap import paired_bootstrap_interval
from team5.evaluation.retrieval import hit_probabilities
from team5.inference.inference import LoadedModel, load_model
from team5.models.model import UNEXPLAINED_LOG_PENALTY
from team5.registry.export import read_version

Array = NDArray[Any]

REPOSITORY = Path(__file__).resolve().parent.parent
WEIGHTS = [ScoreRule(a, b) for a in (0.15, 0.2, 0.25, 0.3, 0.4, 0.5) for b in (0.0, 0.5, 1.0)]
FLOORS = (None, -11.0, -10.0, -9.0, -8.0, -7.0)
LOWEST = [-np.inf if floor is None else floor for floor in FLOORS]
RULES = [replace(each, log_p_floor=floor) for each in WEIGHTS for floor in FLOORS]
FIRST = RULES.index(ScoreRule())


def main() -> int:
    """Score, then judge all rules on both panels and on shuffled spectra."""
    torch.set_num_threads(1)
    words, options = command_line()
    root = options.get("root", REPOSITORY / "checkpoints")
    if words:
        version = options.get("version")
        sources = [(load_model(version, device="cpu", root=root), read_queries(words[0]))]
    else:
        sources = [held_out(name, root, options)[:2] for name in options["versions"].split(",")]
    print(machine_line())
    hits: dict[str, list[Array]] = {"same formula": [], "edits": [], "exchanged": []}
    structures: dict[str, list[str]] = {panel: [] for panel in hits}
    for model, queries in sources:
        shuffled = shuffle_spectra(queries, seed=0)
        for query, other in zip(tqdm(queries, disable=None), shuffled, strict=True):
            of_formula = np.flatnonzero(query.same_formula)
            for panel, candidates in {
                "same formula": [query.candidates[i] for i in of_formula],
                "edits": [] if words else list(getattr(edited(query), "candidates", [])),
            }.items():
                if len(candidates) < 2:
                    continue
                truth = candidates.index(query.candidates[query.truth])
                measured, exchanged = _hits(model, query, other, candidates, truth)
                hits[panel].append(measured)
                structures[panel].append(query.inchikey14)
                if panel == "same formula":
                    hits["exchanged"].append(exchanged)
                    structures["exchanged"].append(query.inchikey14)
    for panel, rows in hits.items():
        if rows:
            _report(panel, np.stack(rows), np.array(structures[panel]))
    return 0


def held_out(
    name: str, root: str | Path, options: dict[str, str]
) -> tuple[LoadedModel, list[Query], SpectrumDataModule]:
    """Return a version, a spectrum of each compound that it has not seen, and its data."""
    version = read_version(root, name)
    data = SpectrumDataModule(
        "massbank",
        cross_fold=part_of(version),
        n_references=0,
        val_max_spectra=1,
        num_workers=0,
        seed=1,
        **{key: options.get(key) for key in ("archive", "folds", "pool", "cache_dir")},
    )
    data.prepare_data()
    data.setup()
    queries = held_out_queries(
        data,
        version,
        n_candidates=int(options.get("candidates", 32)),
        seed=0,
        at_most=int(options.get("at_most", 10**6)),
    )
    return load_model(name, device="cpu", root=root), queries, data


def _hits(
    model: LoadedModel, query: Query, shuffled: Any, candidates: list[str], truth: int
) -> tuple[Array, Array]:
    """Return for each rule whether the true structure is first, measured and shuffled."""
    molecules = [parse_smiles(smiles) for smiles in candidates]
    one = Query(
        query.spectrum, query.inchikey14, tuple(candidates), truth, np.ones(len(candidates), bool)
    )
    scores = np.full((2, len(RULES), len(candidates)), -np.inf)
    for scored, index, _ in iter_query_scores(model, molecules, [one], [shuffled]):
        for i, (pair, detail) in enumerate(zip(scored.pairs, scored.details, strict=True)):
            log_p = np.where(detail.matched, detail.log_p, detail.log_p + UNEXPLAINED_LOG_PENALTY)
            weights = np.stack(
                [each.weights(pair.peaks.mzs, pair.peaks.intensities) for each in WEIGHTS]
            )
            scores[i, :, index] = (weights @ np.maximum.outer(log_p, LOWEST)).ravel()
    return tuple(  # type: ignore[return-value]
        hit_probabilities(list(each), [truth] * len(RULES), 1) for each in scores
    )


def _report(panel: str, hits: Array, structures: Array) -> None:
    """Print the best rules, the first, and the cross-fitted choice."""
    means = hits.mean(axis=0)
    print(f"\n{panel}: {len(hits)} lists; the first rule {means[FIRST]:.3f}")
    for r in np.argsort(-means, kind="stable")[:8].tolist():
        _line(_name(RULES[r]), hits[:, r], hits[:, FIRST], structures)
    if panel == "exchanged":
        return
    for a, b, floor in ((0.25, 0.5, None), (0.25, 0.5, -9.0), (0.5, 0.0, -9.0)):
        r = RULES.index(ScoreRule(a, b, floor))
        _line(f"{_name(RULES[r])} (not chosen)", hits[:, r], hits[:, FIRST], structures)
    keys = np.unique(structures)
    part = np.random.default_rng(0).permutation(len(keys))[np.searchsorted(keys, structures)] % 5
    crossed = np.empty(len(hits))
    for p in range(5):
        best = int(hits[part != p].mean(axis=0).argmax())
        crossed[part == p] = hits[part == p, best]
        print(f"  chosen without fifth {p}: {_name(RULES[best])}")
    _line("cross-fitted", crossed, hits[:, FIRST], structures)


def _line(name: str, values: Array, first: Array, structures: Array) -> None:
    low, high = paired_bootstrap_interval(first, values, structures)
    print(
        f"  {name:44} {values.mean():.3f}  {values.mean() - first.mean():+.3f} "
        f"({low:+.3f} to {high:+.3f})"
    )


def _name(rule: ScoreRule) -> str:
    floor = "no floor" if rule.log_p_floor is None else f"floor {rule.log_p_floor:g}"
    return f"I^{rule.intensity_power:g} mz^{rule.mz_power:g}, {floor}"


if __name__ == "__main__":
    sys.exit(main())
