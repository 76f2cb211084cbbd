"""Example answers, right and wrong, with the matches and simulations that explain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from team5.assessment.queries import Query, by_candidates
from team5.data.spectrum import Spectrum
from team5.evaluation.records import MODEL, ScoredQuery
from team5.inference.inference import LoadedModel, infer
from team5.inference.results import Match, Simulation

_N_OF_EACH = 3


@dataclass(frozen=True)
class Judged:
    """A structure matched to a spectrum, and the spectrum predicted for it."""

    match: Match
    predicted: Simulation


@dataclass(frozen=True)
class Example:
    """A spectrum of known structure and the model's answers to it.

    Attributes
    ----------
    true : Judged
        The true structure.
    preferred : Judged or None
        The structure that the model ranked first instead.
    rank, n_candidates : int
        Rank of the true structure: 1 and the number of candidates scored higher.
    """

    spectrum: Spectrum
    true: Judged
    preferred: Judged | None
    rank: int
    n_candidates: int


@dataclass(frozen=True)
class Examples:
    """Example answers with the true structure ranked first, and others."""

    right: tuple[Example, ...] = ()
    wrong: tuple[Example, ...] = ()


def make_examples(
    model: LoadedModel,
    queries: Sequence[Query],
    scored: Sequence[ScoredQuery],
    *,
    seed: int = 0,
) -> Examples:
    """Return up to three right and three wrong answers, drawn by seed, not hand-picked.

    Each is of a different structure.

    Parameters
    ----------
    scored : sequence of ScoredQuery
        Scores of these queries from :func:`~team5.assessment.scoring.score_queries`.
    """
    in_order = [queries[i] for members in by_candidates(queries).values() for i in members]
    right, wrong = choose_examples(scored, _N_OF_EACH, seed)
    return Examples(
        tuple(_example(model, in_order[i], scored[i]) for i in right),
        tuple(_example(model, in_order[i], scored[i]) for i in wrong),
    )


def choose_examples(
    scored: Sequence[ScoredQuery], n: int, seed: int
) -> tuple[list[int], list[int]]:
    """Return indices of queries whose true structure is ranked first, and of the others.

    Queries with one candidate, and those with a tie for the first rank, are in neither.
    """
    right: list[int] = []
    wrong: list[int] = []
    structures: set[str] = set()
    for index in np.random.default_rng(seed).permutation(len(scored)).tolist():
        query = scored[index]
        scores = query.scores[MODEL]
        others = np.delete(scores, query.truth)
        true_score = scores[query.truth]
        if not others.size or others.max() == true_score or query.structure in structures:
            continue
        kind = right if true_score > others.max() else wrong
        if len(kind) < n:
            kind.append(index)
            structures.add(query.structure)
    return right, wrong


def _example(model: LoadedModel, query: Query, scored: ScoredQuery) -> Example:
    scores = scored.scores[MODEL]
    first = int(scores.argmax())
    true = _judge(model, query.candidates[query.truth], query.spectrum)
    preferred = (
        None if first == query.truth else _judge(model, query.candidates[first], query.spectrum)
    )
    rank = 1 + int((scores > scores[query.truth]).sum())
    return Example(query.spectrum, true, preferred, rank, len(query.candidates))


def _judge(model: LoadedModel, smiles: str, spectrum: Spectrum) -> Judged:
    match = infer(model, None, smiles, spectra=spectrum)
    assert isinstance(match, Match)  # noqa: S101 - for the type checker
    predicted = infer(
        model,
        None,
        smiles,
        adduct=match.adduct,
        collision_energy=spectrum.collision_energy,
        instrument_type=spectrum.instrument_type,
    )
    assert isinstance(predicted, Simulation)  # noqa: S101
    return Judged(match, predicted)
