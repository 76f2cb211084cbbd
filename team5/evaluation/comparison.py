"""Paired comparison of two versions by their metrics on the same queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.errors import DataError
from team5.evaluation.bootstrap import paired_bootstrap_interval
from team5.evaluation.metrics import MatchPairs, RankedList, ranked_lists
from team5.evaluation.records import COSINE, MODEL, ScoredQuery
from team5.evaluation.retrieval import hit_probabilities, reciprocal_ranks

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class QueryMetric:
    """A metric by query.

    Attributes
    ----------
    queries : tuple of (str, str)
        Identifier and structure of the query of each value.
    """

    values: Array
    queries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between a version and the previous one.

    Attributes
    ----------
    before, after : float
        Means over the queries.
    low, high : float
        95 % interval of ``after - before``, over structures.
    """

    before: float
    after: float
    low: float
    high: float
    n_queries: int
    n_structures: int

    @property
    def value(self) -> float:
        """Increase of the metric; negative if it fell."""
        return self.after - self.before

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0


def query_metrics(scored: Sequence[ScoredQuery], *, threshold: float) -> dict[str, QueryMetric]:
    """Return the metrics that promotion is judged by, under their names in the tracker.

    They are hit@1 among candidates of the same formula and among all, the share of right labels of
    matches with the true structure and with the decoy, and the cosine of simulated spectra. Higher
    is better for all.

    Parameters
    ----------
    threshold : float
        Of the match probability.

    Raises
    ------
    DataError
        If no query has two candidates, or a score is NaN.
    """
    metrics: dict[str, QueryMetric] = {}
    for name, same_formula in (("same_formula_hit_rate@1", True), ("hit_rate@1", False)):
        lists = ranked_lists(scored, same_formula=same_formula)
        if lists:
            hits = hit_probabilities([r.scores(MODEL) for r in lists], [r.truth for r in lists], 1)
            metrics[name] = _by_query(hits, [r.query for r in lists])
    pairs = MatchPairs.alone(scored)
    if not metrics or not pairs.queries:
        raise DataError("no query has two candidates or more; there is nothing to rank or match.")
    labels = pairs.probabilities[MODEL] >= threshold
    is_right = (labels == pairs.labels).reshape(-1, 2).mean(axis=1)
    metrics["accuracy"] = _by_query(is_right, pairs.queries)
    simulated = [s for s in scored if s.similarities[COSINE][MODEL] is not None]
    if simulated:
        cosines = np.array([s.similarities[COSINE][MODEL] for s in simulated], dtype=np.float64)
        metrics["cosine"] = _by_query(cosines, simulated)
    return metrics


def ranking_figures(prefix: str, lists: Sequence[RankedList]) -> dict[str, QueryMetric]:
    """Return hit@1, hit@5 and reciprocal rank by list, under names with a prefix."""
    scores, truths = [r.scores(MODEL) for r in lists], [r.truth for r in lists]
    queries = [r.query for r in lists]
    values = {f"hit@{k}": hit_probabilities(scores, truths, k) for k in (1, 5)}
    values["MRR"] = reciprocal_ranks(scores, truths)
    return {f"{prefix}{name}": _by_query(each, queries) for name, each in values.items()}


def paired_differences(
    before: Mapping[str, QueryMetric], after: Mapping[str, QueryMetric], *, seed: int = 0
) -> dict[str, Difference]:
    """Return the differences of two versions' metrics on the same queries.

    Raises
    ------
    DataError
        If their queries differ, or a value is NaN.
    """
    if {name: m.queries for name, m in before.items()} != {n: m.queries for n, m in after.items()}:
        raise DataError("the figures are of different queries; score both versions on the same.")
    differences = {}
    for name, first in before.items():
        second = after[name]
        structures = [structure for _, structure in first.queries]
        low, high = paired_bootstrap_interval(
            first.values, second.values, np.array(structures), seed=seed
        )
        differences[name] = Difference(
            float(first.values.mean()),
            float(second.values.mean()),
            low,
            high,
            len(structures),
            len(set(structures)),
        )
    return differences


def _by_query(values: Array, queries: Sequence[ScoredQuery]) -> QueryMetric:
    return QueryMetric(values, tuple((s.identifier, s.structure) for s in queries))
