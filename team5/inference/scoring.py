"""A version's metrics on a table of queries, for evaluate.py.

Every figure stands beside what chance gives, and beside the same figure with spectra exchanged:
each query takes the peaks of another query of its ion mode, so that a model which does not look at
the spectrum keeps its figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.queries import Query, choose_decoy, exchange_spectra
from team5.data.spectrum import Spectrum
from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.matching import accuracy, auroc, f1_score
from team5.evaluation.retrieval import (
    chance_hit_rate,
    chance_mean_reciprocal_rank,
    hit_probabilities,
    reciprocal_ranks,
)
from team5.evaluation.simulation import cosine
from team5.inference.engine import adduct_of, iter_scores
from team5.inference.explain import predict_spectrum
from team5.models.model import Team5Model

Array = NDArray[Any]

HIT_RATES = (1, 5, 20)
LONG_LIST = 50  # candidates
BIN_WIDTH = 0.01  # m/z, of the cosine


@dataclass(frozen=True, eq=False)
class QueryScores:
    """What a model says of one query, with its own peaks and with exchanged ones.

    Attributes
    ----------
    scores, exchanged_scores : array of shape (C,)
        What candidates are ranked by, higher is better.
    probabilities, exchanged_probabilities : array of shape (C,)
        Of a match.
    cosine, exchanged_cosine : float
        Of the spectrum predicted for the true structure.
    """

    query: Query
    scores: Array
    exchanged_scores: Array
    probabilities: Array
    exchanged_probabilities: Array
    cosine: float
    exchanged_cosine: float


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval, chance, and the figure with exchanged spectra."""

    name: str
    value: float
    low: float
    high: float
    chance: float | None
    exchanged: float
    n_queries: int


def score_queries(
    model: Team5Model,
    queries: Sequence[Query],
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[QueryScores]:
    """Score all candidates of all queries; those that share candidates share the work.

    Parameters
    ----------
    on_progress : callable, optional
        Called with the number of queries done since the last call.
    """
    exchanged = exchange_spectra(queries, seed)
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, query in enumerate(queries):
        groups[query.candidates].append(index)
    for candidates, members in groups.items():
        molecules = [parse_smiles(smiles) for smiles in candidates]
        spectra = [s for i in members for s in (queries[i].spectrum, exchanged[i])]
        yield from _score_group(model, molecules, [queries[i] for i in members], spectra)
        if on_progress:
            on_progress(len(members))


def _score_group(
    model: Team5Model,
    molecules: Sequence[Molecule],
    queries: Sequence[Query],
    spectra: Sequence[Spectrum],
) -> Iterator[QueryScores]:
    scores = np.full((len(molecules), len(spectra)), np.nan)
    probabilities = scores.copy()
    truths = {query.truth for query in queries}
    cosines = np.zeros(len(spectra))
    for scored in iter_scores(model, molecules, spectra):
        rows = list(scored.rows)
        scores[scored.index] = scored.scores.score[rows].double().cpu().numpy()
        probabilities[scored.index] = scored.scores.probability[rows].double().cpu().numpy()
        if scored.index not in truths:
            continue
        for column, (pair, spectrum) in enumerate(zip(scored.pairs, spectra, strict=True)):
            predicted = predict_spectrum(
                scored.tokens,
                pair.offsets,
                adduct_of(spectrum, scored.tokens.molecule),
                scored.log_p_outcomes(column),
                with_formulas=False,
            )
            cosines[column] = cosine(
                spectrum.mzs,
                spectrum.intensities,
                predicted.mzs,
                predicted.intensities,
                bin_width=BIN_WIDTH,
            )
    for i, query in enumerate(queries):
        yield QueryScores(
            query,
            scores[:, 2 * i],
            scores[:, 2 * i + 1],
            probabilities[:, 2 * i],
            probabilities[:, 2 * i + 1],
            float(cosines[2 * i]),
            float(cosines[2 * i + 1]),
        )


def figures(
    scored: Sequence[QueryScores], *, threshold: float, seed: int = 0
) -> dict[str, list[Figure]]:
    """Return the figures of the three tasks, by task.

    Rankings leave out queries with one candidate, which say nothing. Matches take each query once
    with its own structure and once with one other candidate, fixed by seed.
    """
    lists = {
        "rank, all candidates": (scored, False),
        f"rank, lists of {LONG_LIST} and more": (
            [s for s in scored if len(s.query.candidates) >= LONG_LIST],
            False,
        ),
        "rank, candidates of the same formula": (scored, True),
    }
    out = {
        title: found
        for title, (chosen, same_formula) in lists.items()
        if (found := _ranking_figures(chosen, same_formula))
    }
    out["match, one decoy of the same mass"] = _match_figures(scored, threshold, seed)
    out[f"simulate, bins of {BIN_WIDTH}"] = [
        _figure(
            "cosine",
            np.array([s.cosine for s in scored]),
            np.array([s.exchanged_cosine for s in scored]),
            None,
            scored,
        )
    ]
    return out


def _ranking_figures(scored: Sequence[QueryScores], same_formula: bool) -> list[Figure]:
    kept, own, exchanged, truths = [], [], [], []
    for s in scored:
        chosen = s.query.same_formula if same_formula else np.ones(len(s.scores), dtype=bool)
        if chosen.sum() < 2:
            continue
        kept.append(s)
        own.append(s.scores[chosen])
        exchanged.append(s.exchanged_scores[chosen])
        truths.append(int(chosen[: s.query.truth].sum()))
    if not kept:
        return []
    sizes = np.array([len(scores) for scores in own])
    out = [
        _figure(
            f"hit@{k}",
            hit_probabilities(own, truths, k),
            hit_probabilities(exchanged, truths, k),
            chance_hit_rate(sizes, k),
            kept,
        )
        for k in HIT_RATES
    ]
    out.append(
        _figure(
            "MRR",
            reciprocal_ranks(own, truths),
            reciprocal_ranks(exchanged, truths),
            chance_mean_reciprocal_rank(sizes),
            kept,
        )
    )
    return out


def _match_figures(scored: Sequence[QueryScores], threshold: float, seed: int) -> list[Figure]:
    pairs = [(s, decoy) for s in scored if (decoy := choose_decoy(s.query, seed)) is not None]
    labels = np.tile([True, False], len(pairs))

    def probabilities(get: Callable[[QueryScores], Array]) -> Array:
        return np.array([get(s)[[s.query.truth, decoy]] for s, decoy in pairs]).ravel()

    own = probabilities(lambda s: s.probabilities)
    exchanged = probabilities(lambda s: s.exchanged_probabilities)
    kept = [s for s, _ in pairs]
    structures = np.array([s.query.inchikey14 for s in kept])
    return [
        Figure(
            name,
            measure(own, labels),
            *_resampled(measure, own, labels, structures, seed),
            0.5,
            measure(exchanged, labels),
            len(kept),
        )
        for name, measure in (
            ("accuracy", lambda p, y: accuracy(p, y, threshold)),
            ("F1", lambda p, y: f1_score(p, y, threshold)),
            ("AUROC", auroc),
        )
    ]


def _resampled(
    measure: Callable[[Array, Array], float],
    probabilities: Array,
    labels: Array,
    structures: Array,
    seed: int,
    n: int = 500,
) -> tuple[float, float]:
    """Return the 95 % interval of a measure of pairs, resampling structures."""
    random = np.random.default_rng(seed)
    _, group = np.unique(structures, return_inverse=True)
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    values = []
    for _ in range(n):
        drawn = np.concatenate(
            [members[g] for g in random.integers(len(members), size=len(members))]
        )
        rows = np.stack([2 * drawn, 2 * drawn + 1], axis=1).ravel()
        values.append(measure(probabilities[rows], labels[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _figure(
    name: str,
    values: Array,
    exchanged: Array,
    chance: float | None,
    scored: Sequence[QueryScores],
) -> Figure:
    low, high = bootstrap_interval(values, np.array([s.query.inchikey14 for s in scored]))
    return Figure(
        name, float(values.mean()), low, high, chance, float(exchanged.mean()), len(values)
    )


def format_figures(found: dict[str, list[Figure]]) -> str:
    """Return the figures as a table for people."""
    lines = [
        f"{'':<38}{'value':>7}  {'95 % interval':>15}  {'chance':>6}  {'exchanged':>9}  {'n':>5}"
    ]
    for title, rows in found.items():
        lines.append(title)
        for row in rows:
            chance = "" if row.chance is None else f"{row.chance:.3f}"
            lines.append(
                f"  {row.name:<36}{row.value:>7.3f}  {row.low:>6.3f} to {row.high:.3f}  "
                f"{chance:>6}  {row.exchanged:>9.3f}  {row.n_queries:>5}"
            )
    return "\n".join(lines)
