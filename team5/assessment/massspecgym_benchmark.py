"""A version's figures on MassSpecGym's retrieval task: hit rates and, by choice, MCES@1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.assessment.queries import Query, by_candidates, exchange_spectra
from team5.assessment.scoring import both_spectra, iter_query_scores
from team5.chemistry.molecule import parse_smiles
from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.mces import Distance, distances_at_1
from team5.evaluation.retrieval import chance_hit_rate, hit_probabilities
from team5.models.model import Team5Model

Array = NDArray[Any]

HIT_RATES = (1, 5, 20)
Progress = Callable[[int], None] | None


@dataclass(frozen=True, eq=False)
class RankedQuery:
    """What a model ranks one query's candidates by, with its own peaks and with exchanged ones.

    Attributes
    ----------
    scores, exchanged_scores : array of shape (C,)
        Higher is better.
    """

    query: Query
    scores: Array
    exchanged_scores: Array


@dataclass(frozen=True)
class BenchmarkFigure:
    """One figure with its 95 % interval over structures, chance, and with exchanged spectra."""

    name: str
    value: float
    low: float
    high: float
    chance: float | None
    exchanged: float | None
    n_queries: int


def rank_queries(
    model: Team5Model, queries: Sequence[Query], *, seed: int = 0, on_progress: Progress = None
) -> Iterator[RankedQuery]:
    """Score all candidates of all queries; those that share candidates share the work.

    Parameters
    ----------
    seed : int
        Of the exchange of spectra.
    on_progress : callable, optional
        Called with the number of queries done since the last call.
    """
    exchanged = exchange_spectra(queries, seed)
    for candidates, members in by_candidates(queries).items():
        molecules = [parse_smiles(smiles) for smiles in candidates]
        spectra = [s for i in members for s in (queries[i].spectrum, exchanged[i])]
        # A candidate that cannot form a query's ion comes last.
        scores = np.full((len(molecules), len(spectra)), -np.inf)
        own = [queries[i] for i in members]
        for scored, index, columns in iter_query_scores(model, molecules, own, spectra):
            scores[index, both_spectra(columns)] = scored.scores
        for column, index in enumerate(members):
            yield RankedQuery(queries[index], scores[:, 2 * column], scores[:, 2 * column + 1])
        if on_progress:
            on_progress(len(members))


def benchmark_figures(
    ranked: Sequence[RankedQuery],
    *,
    distance: Distance | None = None,
    seed: int = 0,
    on_progress: Progress = None,
) -> list[BenchmarkFigure]:
    """Return hit@1, 5 and 20, ties counted fairly, and MCES@1 where a distance is given.

    Parameters
    ----------
    distance : callable, optional
        From `team5.evaluation.mces.load_mces_distance`.
    seed : int
        Of the intervals.
    on_progress : callable, optional
        Called with the number of distances done since the last call.
    """
    structures = np.array([r.query.inchikey14 for r in ranked])
    truths = [r.query.truth for r in ranked]
    own = [r.scores for r in ranked]
    exchanged = [r.exchanged_scores for r in ranked]
    sizes = np.array([len(r.query.candidates) for r in ranked])

    def figure(
        name: str, values: Array, chance: float | None, other: float | None
    ) -> BenchmarkFigure:
        interval = bootstrap_interval(values, structures, seed=seed)
        return BenchmarkFigure(name, float(values.mean()), *interval, chance, other, len(values))

    found = [
        figure(
            f"hit@{k}",
            hit_probabilities(own, truths, k),
            chance_hit_rate(sizes, k),
            float(hit_probabilities(exchanged, truths, k).mean()),
        )
        for k in HIT_RATES
    ]
    if distance is not None:
        candidates = [r.query.candidates for r in ranked]
        distances = distances_at_1(own, candidates, truths, distance, on_progress)
        found.append(figure("MCES@1", distances, None, None))
    return found
