"""Metrics of the three tasks, each with its interval and with its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.errors import DataError
from team5.evaluation.bootstrap import bootstrap_interval, resampled_interval
from team5.evaluation.matching import (
    ReliabilityBin,
    accuracy,
    auroc,
    brier_score,
    expected_calibration_error,
    f1_score,
    reliability,
)
from team5.evaluation.records import (
    ALL,
    LONG,
    LONG_LIST,
    MATCH,
    MATCH_WITH_REFERENCES,
    MODEL,
    SAME_FORMULA,
    SHUFFLED,
    SIMILARITIES,
    SIMULATE,
    TOGETHER,
    Metric,
    ScoredQuery,
    make_metric,
)
from team5.evaluation.retrieval import (
    chance_hit_rate,
    chance_mean_reciprocal_rank,
    hit_probabilities,
    reciprocal_ranks,
)
from team5.evaluation.strata import N_CANDIDATES, stratum_of, stratum_order

Array = NDArray[Any]

HIT_RATES = (1, 5, 20)


def compute_metrics(
    scored: Sequence[ScoredQuery], *, threshold: float, seed: int = 0
) -> dict[str, list[Metric]]:
    """Return the metrics of the three tasks, by task.

    Rankings leave out queries with one candidate, which say nothing. Matches take each query once
    with its true structure and once with its decoy; with other molecules of the mass as
    references, those queries that have enough. Without the precursor, spectra of no other peaks
    are left out.

    Parameters
    ----------
    threshold : float
        Of the match probability; controls without one of their own have one half.
    seed : int
        Of the intervals.

    Raises
    ------
    DataError
        If no query has two candidates.
    """
    if all(len(s.same_formula) < 2 for s in scored):
        raise DataError("no query has two candidates or more; there is nothing to rank or match.")
    long_lists = [s for s in scored if len(s.same_formula) >= LONG_LIST]
    by_task = {
        ALL: ranking_metrics(ranked_lists(scored), seed),
        LONG: ranking_metrics(ranked_lists(long_lists), seed),
        SAME_FORMULA: ranking_metrics(ranked_lists(scored, same_formula=True), seed),
        TOGETHER: _together_metrics(ranked_lists(scored), seed),
        MATCH: _match_metrics(MatchPairs.alone(scored), threshold, seed),
        MATCH_WITH_REFERENCES: _match_metrics(MatchPairs.with_references(scored), threshold, seed),
        SIMULATE: _simulation_metrics(scored, seed),
    }
    return {task: metrics for task, metrics in by_task.items() if metrics}


def breakdowns(
    scored: Sequence[ScoredQuery], *, seed: int = 0
) -> dict[str, dict[str, list[Metric]]]:
    """Return hit@1 of the same formula and of all candidates, by condition and stratum."""
    by_task: dict[str, dict[str, list[Metric]]] = {}
    for task, same_formula in ((SAME_FORMULA, True), (ALL, False)):
        by_condition: dict[str, dict[str, list[RankedList]]] = {}
        for ranked in ranked_lists(scored, same_formula=same_formula):
            size = stratum_of(N_CANDIDATES, len(ranked.candidates))
            for condition, stratum in {N_CANDIDATES: size, **ranked.query.conditions}.items():
                by_condition.setdefault(condition, {}).setdefault(stratum, []).append(ranked)
        if by_condition:
            by_task[task] = {
                condition: [
                    hit_rate(*_columns(members[stratum]), 1, seed=seed, name=stratum)
                    for stratum in stratum_order(condition, {s: len(members[s]) for s in members})
                ]
                for condition, members in by_condition.items()
            }
    return by_task


def reliability_diagram(scored: Sequence[ScoredQuery], *, seed: int = 0) -> list[ReliabilityBin]:
    """Return the bins of a reliability diagram of the match probabilities."""
    pairs = MatchPairs.alone(scored)
    structures = np.repeat(pairs.structures, 2)
    return reliability(pairs.probabilities[MODEL], pairs.labels, structures, seed=seed)


@dataclass(frozen=True, eq=False)
class RankedList:
    """A query with its ranked candidates, at least two.

    Attributes
    ----------
    candidates : array of shape (C,)
        Indices of the ranked candidates.
    truth : int
        Index of the true structure among these.
    """

    query: ScoredQuery
    candidates: Array
    truth: int

    def scores(self, source: str) -> Array:
        """Return the ranking scores by the model or a control."""
        return self.query.scores[source][self.candidates]


def ranked_lists(scored: Sequence[ScoredQuery], *, same_formula: bool = False) -> list[RankedList]:
    """Return the queries that have two candidates to rank, or two of the same formula."""
    lists = []
    for s in scored:
        ranked = s.same_formula if same_formula else np.ones(len(s.same_formula), dtype=bool)
        candidates = np.flatnonzero(ranked)
        if len(candidates) >= 2:
            lists.append(RankedList(s, candidates, int(np.searchsorted(candidates, s.truth))))
    return lists


@dataclass(frozen=True, eq=False)
class MatchPairs:
    """Each query with its true structure, then with its decoy.

    Attributes
    ----------
    queries : list of ScoredQuery
    probabilities : dict of str to array of shape (2 Q,)
        By source.
    labels : array of shape (2 Q,), bool
    structures : array of shape (Q,)
    """

    queries: list[ScoredQuery]
    probabilities: dict[str, Array]
    labels: Array
    structures: Array

    @classmethod
    def alone(cls, scored: Sequence[ScoredQuery]) -> MatchPairs:
        """Return the pairs of those queries that have a decoy, judged as lone pairs."""
        return cls._from([(s, s.probabilities) for s in scored])

    @classmethod
    def with_references(cls, scored: Sequence[ScoredQuery]) -> MatchPairs:
        """Return the pairs judged with other molecules of the mass, where these are many."""
        return cls._from([(s, s.probabilities_with_references) for s in scored])

    @classmethod
    def _from(cls, scored: Sequence[tuple[ScoredQuery, Mapping[str, Array]]]) -> MatchPairs:
        pairs = [(query, probabilities) for query, probabilities in scored if probabilities]
        sources = pairs[0][1] if pairs else {}
        return cls(
            [query for query, _ in pairs],
            {source: np.concatenate([p[source] for _, p in pairs]) for source in sources},
            np.tile([True, False], len(pairs)),
            np.array([query.structure for query, _ in pairs]),
        )

    def scores(self, source: str) -> Array:
        """Return the ranking scores of the pairs, shape (2 Q,)."""
        indices = [[i for i in (s.truth, s.decoy) if i is not None] for s in self.queries]
        return np.concatenate(
            [s.scores[source][both] for s, both in zip(self.queries, indices, strict=True)]
        )


def hit_rate(
    scores: Mapping[str, Sequence[Array]],
    truths: Sequence[int],
    structures: Sequence[str],
    k: int,
    *,
    seed: int = 0,
    name: str | None = None,
) -> Metric:
    """Return the share of queries whose true structure is among the first k candidates.

    Parameters
    ----------
    scores : mapping of str to sequence of Q arrays of shape (C,)
        By the model and by controls, higher is better.
    truths, structures : sequence of Q int, of Q str
        Indices of the true structures; what the interval is drawn over.
    name : str, optional
        By default ``hit@k``.
    """
    by_source = {source: hit_probabilities(lists, truths, k) for source, lists in scores.items()}
    chance = {"chance": chance_hit_rate(list(map(len, scores[MODEL])), k)}
    return _mean_metric(name or f"hit@{k}", by_source, structures, seed, chance)


def ranking_metrics(lists: Sequence[RankedList], seed: int) -> list[Metric]:
    """Return hit rates and MRR; none where there are no lists."""
    if not lists:
        return []
    scores, truths, structures = _columns(lists)
    chance = {"chance": chance_mean_reciprocal_rank(list(map(len, scores[MODEL])))}
    by_source = {source: reciprocal_ranks(each, truths) for source, each in scores.items()}
    return [
        *(hit_rate(scores, truths, structures, k, seed=seed) for k in HIT_RATES),
        _mean_metric("MRR", by_source, structures, seed, chance),
    ]


def _together_metrics(lists: Sequence[RankedList], seed: int) -> list[Metric]:
    """Return hit@1 of pairs of spectra with the same candidates, judged together and separately.

    Together their scores are averaged, as in `infer` with several spectra.
    """
    by_list: dict[tuple[str, frozenset[str]], list[RankedList]] = {}
    for ranked in lists:
        if not ranked.query.candidates:
            continue
        key = ranked.query.structure, frozenset(ranked.query.candidates)
        by_list.setdefault(key, []).append(ranked)
    pairs = [(members[0], members[1]) for members in by_list.values() if len(members) > 1]
    if not pairs:
        return []
    truths = [first.truth for first, _ in pairs]
    structures = [first.query.structure for first, _ in pairs]
    alone = [[first.scores(MODEL) for first, _ in pairs], list(starmap(_in_order_of, pairs))]
    together = [(one + other) / 2 for one, other in zip(*alone, strict=True)]
    hits = [hit_probabilities(scores, truths, 1) for scores in alone]
    by_name = {
        "hit@1, together": hit_probabilities(together, truths, 1),
        "hit@1, each alone": (hits[0] + hits[1]) / 2,
    }
    return [
        _mean_metric(name, {MODEL: values}, structures, seed, {})
        for name, values in by_name.items()
    ]


def _in_order_of(first: RankedList, second: RankedList) -> Array:
    """Return the second's scores in the order of the first's candidates."""
    place = {smiles: index for index, smiles in enumerate(second.query.candidates)}
    return second.query.scores[MODEL][[place[smiles] for smiles in first.query.candidates]]


def _columns(lists: Sequence[RankedList]) -> tuple[dict[str, list[Array]], list[int], list[str]]:
    """Return scores by source, truths and structures, as `hit_rate` takes them."""
    return (
        {source: [r.scores(source) for r in lists] for source in lists[0].query.scores},
        [r.truth for r in lists],
        [r.query.structure for r in lists],
    )


def _mean_metric(
    name: str,
    by_source: Mapping[str, Array],
    structures: Sequence[str],
    seed: int,
    controls: Mapping[str, float],
) -> Metric:
    """Return the mean of the model's values, with the means of the controls'."""
    values = by_source[MODEL]
    means = {
        source: float(v.mean()) for source, v in by_source.items() if source != MODEL and v.size
    }
    interval = bootstrap_interval(values, np.array(structures), seed=seed)
    return make_metric(name, float(values.mean()), interval, {**controls, **means}, structures)


def _match_metrics(pairs: MatchPairs, threshold: float, seed: int) -> list[Metric]:
    if not pairs.queries:
        return []
    labels, structures = pairs.labels, pairs.structures.tolist()
    probabilities = pairs.probabilities[MODEL]
    controls = {source: p for source, p in pairs.probabilities.items() if source != MODEL}
    thresholds = {source: threshold if source == SHUFFLED else 0.5 for source in controls}
    # Scores that are not probabilities still rank the pairs.
    ordered = controls | {
        source: _squeezed(pairs.scores(source))
        for source in ("mass_error", "bond_breaking")
        if source in pairs.queries[0].scores
    }

    def metric(
        name: str,
        measure: Callable[..., float],
        chance: float | None,
        sources: Mapping[str, Array],
        *,
        at_threshold: bool = False,
        lower_is_better: bool = False,
    ) -> Metric:
        def of(p: Array, y: Array, source: str = MODEL) -> float:
            return (
                measure(p, y, thresholds.get(source, threshold)) if at_threshold else measure(p, y)
            )

        by_control = {source: of(p, labels, source) for source, p in sources.items()}
        return make_metric(
            name,
            of(probabilities, labels),
            _pair_interval(of, probabilities, labels, pairs.structures, seed),
            by_control if chance is None else {"chance": chance, **by_control},
            structures,
            lower_is_better=lower_is_better,
        )

    return [
        metric("accuracy", accuracy, 0.5, controls, at_threshold=True),
        # Calling all pairs a match gets every true pair right and as many false ones wrong.
        metric("F1", f1_score, 2 / 3, controls, at_threshold=True),
        metric("AUROC", auroc, 0.5, ordered),
        metric("Brier score", brier_score, 0.25, controls, lower_is_better=True),
        # Without controls: 0.5, as there are as many true pairs as false ones.
        metric("calibration error", expected_calibration_error, None, {}, lower_is_better=True),
    ]


def _squeezed(scores: Array) -> Array:
    """Return scores between 0 and 1 in the same order."""
    half = 0.5 / (1 + np.abs(scores))
    return np.where(scores < 0, half, 1 - half)


def _pair_interval(
    measure: Callable[[Array, Array], float],
    probabilities: Array,
    labels: Array,
    structures: Array,
    seed: int,
) -> tuple[float, float]:
    """Return the 95 % interval of a measure of pairs, resampling structures."""

    def of_queries(drawn: Array) -> float:
        rows = np.stack([2 * drawn, 2 * drawn + 1], axis=1).ravel()
        return measure(probabilities[rows], labels[rows])

    return resampled_interval(of_queries, structures, seed=seed)


def _simulation_metrics(scored: Sequence[ScoredQuery], seed: int) -> list[Metric]:
    metrics = []
    for name in SIMILARITIES:
        compared = [s for s in scored if s.similarities[name][MODEL] is not None]
        if not compared:
            continue
        by_source = {
            source: np.array(
                [v for s in compared if (v := s.similarities[name][source]) is not None]
            )
            for source in compared[0].similarities[name]
        }
        structures = [s.structure for s in compared]
        metrics.append(_mean_metric(name, by_source, structures, seed, {}))
    return metrics
