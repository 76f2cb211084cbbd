"""Metrics of a version on MassSpecGym's retrieval task: hit rates and, optionally, MCES@1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.assessment.queries import Query, by_candidates, shuffle_spectra
from team5.assessment.scoring import both_spectra, iter_query_scores
from team5.chemistry.molecule import parse_smiles
from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.mces import Distance, distances_at_1
from team5.evaluation.metrics import HIT_RATES, hit_rate
from team5.evaluation.records import MODEL, SHUFFLED, Metric, make_metric
from team5.models.model import Team5Model

Array = NDArray[Any]
Progress = Callable[[int], None] | None


@dataclass(frozen=True, eq=False)
class RankedQuery:
    """Ranking scores of a query's candidates, from its own peaks and from shuffled ones.

    Attributes
    ----------
    scores, shuffled_scores : array of shape (C,)
        Higher is better.
    """

    query: Query
    scores: Array
    shuffled_scores: Array


def rank_queries(
    model: Team5Model, queries: Sequence[Query], *, seed: int = 0, on_progress: Progress = None
) -> Iterator[RankedQuery]:
    """Score all candidates of all queries; those that share candidates share the work.

    Parameters
    ----------
    seed : int
        Of shuffled spectra.
    on_progress : callable, optional
        Called with the number of queries done since the last call.
    """
    all_shuffled = shuffle_spectra(queries, seed)
    for candidates, members in by_candidates(queries).items():
        molecules = [parse_smiles(smiles) for smiles in candidates]
        group, shuffled = [queries[i] for i in members], [all_shuffled[i] for i in members]
        # A candidate that cannot form a query's ion comes last.
        scores = np.full((len(molecules), 2 * len(group)), -np.inf)
        for scored, index, columns in iter_query_scores(model, molecules, group, shuffled):
            scores[index, both_spectra(columns)] = scored.scores
        for column, query in enumerate(group):
            yield RankedQuery(query, scores[:, 2 * column], scores[:, 2 * column + 1])
        if on_progress:
            on_progress(len(members))


def benchmark_metrics(
    ranked: Sequence[RankedQuery],
    *,
    distance: Distance | None = None,
    seed: int = 0,
    on_progress: Progress = None,
) -> list[Metric]:
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
    structures = [r.query.inchikey14 for r in ranked]
    truths = [r.query.truth for r in ranked]
    scores = [r.scores for r in ranked]
    by_source = {MODEL: scores, SHUFFLED: [r.shuffled_scores for r in ranked]}
    metrics = [hit_rate(by_source, truths, structures, k, seed=seed) for k in HIT_RATES]
    if distance is not None:
        candidates = [r.query.candidates for r in ranked]
        distances = distances_at_1(scores, candidates, truths, distance, on_progress)
        interval = bootstrap_interval(distances, np.array(structures), seed=seed)
        mean = float(distances.mean())
        metrics.append(make_metric("MCES@1", mean, interval, {}, structures, lower_is_better=True))
    return metrics
