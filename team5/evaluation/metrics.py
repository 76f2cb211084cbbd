"""The figures of the three tasks, each with its interval and beside its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import DataError
from team5.evaluation.bootstrap import bootstrap_interval
from team5.evaluation.matching import (
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
    MATCH_BESIDE,
    MODEL,
    SAME_FORMULA,
    SIMILARITIES,
    SIMULATE,
    Figure,
    ReliabilityFigure,
    ScoredQuery,
    make_figure,
)
from team5.evaluation.retrieval import (
    chance_hit_rate,
    chance_mean_reciprocal_rank,
    hit_probabilities,
    reciprocal_ranks,
)
from team5.evaluation.strata import N_CANDIDATES, band_order, n_candidates_band

Array = NDArray[Any]

HIT_RATES = (1, 5, 20)


def figures(
    scored: Sequence[ScoredQuery], *, threshold: float, seed: int = 0
) -> dict[str, list[Figure]]:
    """Return the figures of the three tasks, by task.

    Rankings leave out queries with one candidate, which say nothing. Matches take each query once
    with its own structure and once with its decoy; beside other molecules of the mass, those
    queries that have enough. Without the precursor, spectra of no other
    peaks are left out.

    Parameters
    ----------
    threshold : float
        Of the match probability; a control's own is one half.
    seed : int
        Of the intervals.

    Raises
    ------
    DataError
        If no query has two candidates.
    """
    if all(len(s.same_formula) < 2 for s in scored):
        raise DataError("no query has two candidates or more; there is nothing to rank or match.")
    found = {ALL: _rankings(scored, seed=seed)}
    found[LONG] = _rankings([s for s in scored if len(s.same_formula) >= LONG_LIST], seed=seed)
    found[SAME_FORMULA] = _rankings(scored, same_formula=True, seed=seed)
    for title, pairs in ((MATCH, MatchPairs.of(scored)), (MATCH_BESIDE, MatchPairs.beside(scored))):
        found[title] = _matches(pairs, threshold, seed)
    found[SIMULATE] = _simulations(scored, seed)
    return {title: rows for title, rows in found.items() if rows}


def breakdowns(
    scored: Sequence[ScoredQuery], *, seed: int = 0
) -> dict[str, dict[str, list[Figure]]]:
    """Return hit@1 of the same formula and of all candidates, by list, condition and band."""
    out: dict[str, dict[str, list[Figure]]] = {}
    for title, same_formula in ((SAME_FORMULA, True), (ALL, False)):
        lists = ranked_lists(scored, same_formula)
        conditions = [
            {N_CANDIDATES: n_candidates_band(len(r.chosen)), **r.query.conditions} for r in lists
        ]
        out[title] = {}
        for condition in dict.fromkeys(name for each in conditions for name in each):
            members: dict[str, list[RankedList]] = {}
            for ranked, each in zip(lists, conditions, strict=True):
                members.setdefault(each[condition], []).append(ranked)
            out[title][condition] = [
                _hit_rate(members[band], 1, seed, name=band)
                for band in band_order(condition, {b: len(m) for b, m in members.items()})
            ]
    return {title: found for title, found in out.items() if found}


def reliability_diagram(
    scored: Sequence[ScoredQuery], *, seed: int = 0, n_bins: int = 10
) -> list[ReliabilityFigure]:
    """Return the bins of a reliability diagram of the match probabilities."""
    pairs = MatchPairs.of(scored)
    return reliability_figures(
        pairs.probabilities[MODEL], pairs.labels, np.repeat(pairs.structures, 2),
        seed=seed, n_bins=n_bins,
    )  # fmt: skip


def reliability_figures(
    probabilities: ArrayLike,
    labels: ArrayLike,
    structures: ArrayLike,
    *,
    seed: int = 0,
    n_bins: int = 10,
) -> list[ReliabilityFigure]:
    """Return the bins of a reliability diagram of any pairs.

    Parameters
    ----------
    probabilities, labels : array of shape (N,)
        Of a match, and whether it is one.
    structures : array of shape (N,)
        What pairs have in common; intervals are drawn over it.
    seed, n_bins : int
    """
    labels, structures = np.asarray(labels, dtype=bool), np.asarray(structures)
    return [
        ReliabilityFigure(
            b.low,
            b.high,
            b.mean_probability,
            b.share_true,
            *bootstrap_interval(labels[b.members], structures[b.members], seed=seed),
            len(b.members),
        )
        for b in reliability(probabilities, labels, n_bins)
    ]


@dataclass(frozen=True, eq=False)
class RankedList:
    """A query with those of its candidates that are ranked, at least two.

    Attributes
    ----------
    chosen : array of shape (C,)
        Places of the candidates that are ranked.
    truth : int
        Place of the query's own structure among them.
    """

    query: ScoredQuery
    chosen: Array
    truth: int

    def scores(self, source: str) -> Array:
        """Return what the model or a control ranks the chosen ones by."""
        return self.query.scores[source][self.chosen]


def ranked_lists(scored: Sequence[ScoredQuery], same_formula: bool) -> list[RankedList]:
    """Return the queries that have two candidates to rank, or two of the same formula."""
    lists = []
    for s in scored:
        chosen = np.flatnonzero(s.same_formula) if same_formula else np.arange(len(s.same_formula))
        if len(chosen) >= 2:
            lists.append(RankedList(s, chosen, int(np.searchsorted(chosen, s.truth))))
    return lists


def _rankings(
    scored: Sequence[ScoredQuery], *, same_formula: bool = False, seed: int
) -> list[Figure]:
    lists = ranked_lists(scored, same_formula)
    if not lists:
        return []
    sizes = [len(r.chosen) for r in lists]
    mrr = _ranking("MRR", lists, reciprocal_ranks, chance_mean_reciprocal_rank(sizes), seed)
    return [*(_hit_rate(lists, k, seed) for k in HIT_RATES), mrr]


def _hit_rate(lists: Sequence[RankedList], k: int, seed: int, name: str | None = None) -> Figure:
    return _ranking(
        name or f"hit@{k}",
        lists,
        lambda scores, truths: hit_probabilities(scores, truths, k),
        chance_hit_rate([len(r.chosen) for r in lists], k),
        seed,
    )


def _ranking(
    name: str,
    lists: Sequence[RankedList],
    measure: Callable[[list[Array], list[int]], Array],
    chance: float,
    seed: int,
) -> Figure:
    truths = [r.truth for r in lists]
    by_source = {
        source: measure([r.scores(source) for r in lists], truths)
        for source in lists[0].query.scores
    }
    structures = [r.query.structure for r in lists]
    own = by_source.pop(MODEL)
    return make_figure(
        name,
        float(own.mean()),
        bootstrap_interval(own, np.array(structures), seed=seed),
        {"chance": chance, **{source: float(v.mean()) for source, v in by_source.items()}},
        structures,
    )


@dataclass(frozen=True, eq=False)
class MatchPairs:
    """Each query with its own structure, then with its decoy.

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
    def of(cls, scored: Sequence[ScoredQuery]) -> MatchPairs:
        """Return the pairs of those queries that have a decoy."""
        return cls._from([(s, s.probabilities) for s in scored if s.probabilities])

    @classmethod
    def beside(cls, scored: Sequence[ScoredQuery]) -> MatchPairs:
        """Return the same beside other molecules of the mass, where these are many."""
        return cls._from([(s, s.probabilities_beside) for s in scored if s.probabilities_beside])

    @classmethod
    def _from(cls, pairs: Sequence[tuple[ScoredQuery, Mapping[str, Array]]]) -> MatchPairs:
        sources = pairs[0][1] if pairs else {}
        return cls(
            [s for s, _ in pairs],
            {source: np.concatenate([p[source] for _, p in pairs]) for source in sources},
            np.tile([True, False], len(pairs)),
            np.array([s.structure for s, _ in pairs]),
        )

    def scores(self, source: str) -> Array:
        """Return the ranking scores of the pairs, shape (2 Q,)."""
        places = [[i for i in (s.truth, s.decoy) if i is not None] for s in self.queries]
        found = zip(self.queries, places, strict=True)
        return np.concatenate([s.scores[source][both] for s, both in found])


def _matches(pairs: MatchPairs, threshold: float, seed: int) -> list[Figure]:
    if not pairs.queries:
        return []
    first = pairs.queries[0]
    by_source = dict(pairs.probabilities)
    own = by_source.pop(MODEL)
    thresholds = {source: threshold if source == "exchanged" else 0.5 for source in by_source}
    # Scores that are no probabilities still put the pairs in an order.
    ordered = by_source | {
        source: _squeezed(pairs.scores(source))
        for source in ("mass_error", "bond_breaking")
        if source in first.scores
    }
    labels = pairs.labels

    def figure(
        name: str,
        measure: Callable[[Array, Array], float],
        controls: Mapping[str, float],
        *,
        lower_is_better: bool = False,
    ) -> Figure:
        return make_figure(
            name,
            measure(own, labels),
            _resampled(measure, own, labels, pairs.structures, seed),
            controls,
            pairs.structures.tolist(),
            lower_is_better=lower_is_better,
        )

    def called(measure: Callable[[Array, Array, float], float]) -> dict[str, float]:
        return {name: measure(p, labels, thresholds[name]) for name, p in by_source.items()}

    return [
        figure(
            "accuracy",
            lambda p, y: accuracy(p, y, threshold),
            {"chance": 0.5, **called(accuracy)},
        ),
        figure(
            "F1",
            lambda p, y: f1_score(p, y, threshold),
            # Whoever calls all pairs a match has all of them right, and as many wrong.
            {"chance": 2 / 3, **called(f1_score)},
        ),
        figure(
            "AUROC", auroc, {"chance": 0.5, **{k: auroc(p, labels) for k, p in ordered.items()}}
        ),
        figure(
            "Brier score",
            brier_score,
            {"chance": 0.25, **{k: brier_score(p, labels) for k, p in by_source.items()}},
            lower_is_better=True,
        ),
        # Without controls: one half is always right about as many true pairs as false ones.
        figure("calibration error", expected_calibration_error, {}, lower_is_better=True),
    ]


def _squeezed(scores: Array) -> Array:
    """Return scores between 0 and 1 in the same order."""
    return np.where(scores < 0, 0.5 / (1 - scores), 1 - 0.5 / (1 + scores))


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


def _simulations(scored: Sequence[ScoredQuery], seed: int) -> list[Figure]:
    out = []
    for name in SIMILARITIES:
        kept = [s for s in scored if s.similarities[name][MODEL] is not None]
        if not kept:
            continue
        structures = [s.structure for s in kept]
        values = {
            source: np.array([v for s in kept if (v := s.similarities[name][source]) is not None])
            for source in kept[0].similarities[name]
        }
        own = values.pop(MODEL)
        out.append(
            make_figure(
                name,
                float(own.mean()),
                bootstrap_interval(own, np.array(structures), seed=seed),
                {source: float(v.mean()) for source, v in values.items() if v.size},
                structures,
            )
        )
    return out
