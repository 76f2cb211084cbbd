"""Metrics of a version on MassSpecGym's retrieval task: hit rates and, optionally, MCES@1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from team5.assessment.queries import Query, by_candidates, shuffle_spectra
from team5.assessment.scoring import ranked_only
from team5.chemistry.molecule import parse_smiles
from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.mces import Distance, distances_at_1
from team5.evaluation.metrics import HIT_RATES, hit_rate
from team5.evaluation.records import MODEL, SHUFFLED, Metric, ScoredQuery, make_metric
from team5.models.model import Team5Model

Progress = Callable[[int], None] | None


def rank_queries(
    model: Team5Model, queries: Sequence[Query], *, seed: int = 0, on_progress: Progress = None
) -> Iterator[ScoredQuery]:
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
        yield from ranked_only(model, molecules, group, shuffled)
        if on_progress:
            on_progress(len(members))


def benchmark_metrics(
    ranked: Sequence[ScoredQuery],
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
    structures = [query.structure for query in ranked]
    truths = [query.truth for query in ranked]
    by_source = {source: [query.scores[source] for query in ranked] for source in (MODEL, SHUFFLED)}
    metrics = [hit_rate(by_source, truths, structures, k, seed=seed) for k in HIT_RATES]
    if distance is not None:
        candidates = [query.candidates for query in ranked]
        distances = distances_at_1(by_source[MODEL], candidates, truths, distance, on_progress)
        interval = bootstrap_interval(distances, np.array(structures), seed=seed)
        mean = float(distances.mean())
        metrics.append(make_metric("MCES@1", mean, interval, {}, structures, lower_is_better=True))
    return metrics
