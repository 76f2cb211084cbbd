"""Which answers to look at: some that are right and some that are wrong, drawn by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from team5.evaluation.records import MODEL, ScoredQuery


def choose_examples(
    scored: Sequence[ScoredQuery], n: int = 3, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Return the places of queries whose own structure came first, and of those where none did.

    Queries with one candidate, and those where others share the first place, are neither.

    Parameters
    ----------
    n : int, default 3
        Of each kind, at most; each of another structure.
    seed : int, default 0
        They are drawn, not chosen by how they look.
    """
    right: list[int] = []
    wrong: list[int] = []
    seen: set[str] = set()
    for place in np.random.default_rng(seed).permutation(len(scored)).tolist():
        query = scored[place]
        others = np.delete(query.scores[MODEL], query.truth)
        own = query.scores[MODEL][query.truth]
        if not others.size or others.max() == own or query.structure in seen:
            continue
        kind = right if own > others.max() else wrong
        if len(kind) < n:
            kind.append(place)
            seen.add(query.structure)
    return right, wrong


def rank_of(query: ScoredQuery) -> int:
    """Return the place of a query's own structure: 1 and the number of those scored higher."""
    scores = query.scores[MODEL]
    return 1 + int((scores > scores[query.truth]).sum())
