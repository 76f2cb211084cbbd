"""What several spectra of a compound gain over one of them, on what versions have not seen.

    python benchmarks/joint_spectra.py versions=v0.4,v0.5 root=checkpoints archive=FILE folds=FILE \
        pool=FILE [at_most=300] [spectra=12] [candidates=32] [cache_dir=FOLDER]

Compounds with two spectra or more, of any energy, adduct and instrument. hit@1 of one spectrum
alone (all in turn), of two, and of all of them by their mean score, which is what ``spectra=[...]``
answers; then of all of them by other weights, and with those of one adduct merged into one more.
Differences from the mean of all, with 95 % intervals over compounds, and hit@1 where each spectrum
has the peaks of another compound.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import command_line, machine_line
from numpy.typing import NDArray
from score_rule import REPOSITORY, held_out
from tqdm import tqdm

from team5.assessment.cross_folds import edited
from team5.assessment.queries import Query, draw_queries, shuffle_spectra
from team5.assessment.scoring import both_spectra, iter_query_scores
from team5.chemistry.molecule import parse_smiles
from team5.data.dataset import Query as Ranking
from team5.data.spectrum import Spectrum
from team5.evaluation.bootstrap import paired_bootstrap_interval
from team5.evaluation.retrieval import hit_probabilities
from team5.evaluation.simulation import merge_close_peaks
from team5.inference.inference import LoadedModel

Array = NDArray[Any]
ALL = "all, mean"


def main() -> int:
    """Score every spectrum, then join the scores of a compound on both panels."""
    torch.set_num_threads(1)
    _, options = command_line()
    root = options.get("root", REPOSITORY / "checkpoints")
    hits: dict[str, list[dict[str, Array]]] = defaultdict(list)
    structures: dict[str, list[str]] = defaultdict(list)
    print(machine_line())
    for name in options["versions"].split(","):
        model, lists = _lists(name, root, options)
        shuffled = iter(shuffle_spectra([query for group in lists for query in group], seed=0))
        for group in tqdm(lists, disable=None):
            others = [next(shuffled) for _ in group]
            for panel, queries in _panels(group):
                hits[panel].append(_hits(model, queries, others))
                structures[panel].append(group[0].inchikey14)
    for panel, rows in hits.items():
        _report(panel, rows, np.array(structures[panel]))
    return 0


def _lists(
    name: str, root: str | Path, options: dict[str, str]
) -> tuple[LoadedModel, list[list[Query]]]:
    """Return spectra of each compound with the same candidates; compounds with one left out."""
    model, queries, data = held_out(name, root, options)
    compounds = {compound.inchikey14: compound for compound in data.held_out}
    lists = []
    for query in queries:
        measurements = compounds[query.inchikey14].measurements
        rankings = [Ranking(each, query.candidates) for each in measurements]
        if len(rankings) > 1:
            lists.append(draw_queries(rankings, int(options.get("spectra", 12)), seed=0))
    return model, lists


def _panels(group: list[Query]) -> Iterator[tuple[str, list[Query]]]:
    """Yield the same spectra with candidates of the formula, and with edits."""
    first = group[0]
    candidates = [first.candidates[i] for i in np.flatnonzero(first.same_formula)]
    among_edits = edited(first)
    for panel, others in {
        "same formula": candidates,
        "edits": list(among_edits.candidates) if among_edits else [],
    }.items():
        if len(others) > 1:
            same = np.ones(len(others), bool)
            yield (
                panel,
                [Query(q.spectrum, q.inchikey14, tuple(others), 0, same) for q in group],
            )


def _hits(model: LoadedModel, queries: list[Query], others: list[Spectrum]) -> dict[str, Array]:
    """Return for each way to join the scores hit@1 of the measured and of the exchanged spectra."""
    molecules = [parse_smiles(smiles) for smiles in queries[0].candidates]
    queries = [*queries, replace(queries[0], spectrum=_merged([q.spectrum for q in queries]))]
    others = [*others, _merged(others)]
    scores = np.full((len(molecules), 2 * len(queries)), -np.inf)
    for scored, index, columns in iter_query_scores(model, molecules, queries, others):
        scores[index, both_spectra(columns)] = scored.scores
    measured, exchanged = (
        {way: _hit(joined) for way, joined in _joined(scores[:, start::2], spectra).items()}
        for start, spectra in ((0, [q.spectrum for q in queries]), (1, others))
    )
    return {way: np.array([measured[way], exchanged[way]]) for way in measured}


def _merged(spectra: list[Spectrum]) -> Spectrum:
    """Return the peaks of all spectra of the first one's adduct, at no energy in particular."""
    same = [spectrum for spectrum in spectra if spectrum.adduct == spectra[0].adduct]
    mzs, intensities = merge_close_peaks(
        np.concatenate([each.mzs for each in same]),
        np.concatenate([each.intensities / each.intensities.max() for each in same]),
        distance=0.005,
    )
    return replace(spectra[0], mzs=mzs, intensities=intensities, collision_energy=None)


def _joined(scores: Array, spectra: list[Spectrum]) -> dict[str, Array]:
    """Return scores (C, N) by way to join those of S spectra (C, S); hits are means over N.

    The last spectrum is merged from the others.
    """
    with_merged, merged = scores, scores[:, -1:]
    scores, spectra = scores[:, :-1], spectra[:-1]
    peaks = np.array([np.sqrt(s.intensities / s.intensities.max()).sum() for s in spectra])
    finite = scores[np.isfinite(scores).all(axis=1)]
    by_weight = {
        "all, weighted by their peaks": peaks,
        "all, weighted by the root of their peaks": np.sqrt(peaks),
        "all, each scaled to the same spread": 1 / np.maximum(finite.std(axis=0), 1e-6),
    }
    return {
        "one": scores,
        "two, mean": (scores + np.roll(scores, 1, axis=1)) / 2,
        ALL: scores.mean(axis=1, keepdims=True),
        **{way: scores @ (w / w.sum())[:, None] for way, w in by_weight.items()},
        "all, median": np.median(scores, axis=1, keepdims=True),
        "all, best": scores.max(axis=1, keepdims=True),
        "merged into one": merged,
        "all and the merged one, mean": with_merged.mean(axis=1, keepdims=True),
    }


def _hit(scores: Array) -> float:
    return float(hit_probabilities(list(scores.T), [0] * scores.shape[1], 1).mean())


def _report(panel: str, rows: list[dict[str, Array]], structures: Array) -> None:
    mean = np.array([row[ALL][0] for row in rows])
    print(f"\n{panel}: {len(rows)} compounds")
    for way in rows[0]:
        values, exchanged = np.array([row[way] for row in rows]).T
        low, high = paired_bootstrap_interval(mean, values, structures)
        print(
            f"  {way:42} {values.mean():.3f}  {values.mean() - mean.mean():+.3f} "
            f"({low:+.3f} to {high:+.3f})  exchanged {exchanged.mean():.3f}"
        )


if __name__ == "__main__":
    sys.exit(main())
