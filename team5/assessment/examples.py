"""Examples of answers, right and wrong, with all that is needed to see why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from team5.assessment.queries import Query, by_candidates
from team5.data.spectrum import Spectrum
from team5.evaluation.examples import choose_examples, rank_of
from team5.evaluation.records import MODEL, ScoredQuery
from team5.inference.inference import LoadedModel, infer
from team5.inference.results import Match, Simulation


@dataclass(frozen=True)
class Judged:
    """A structure held against a spectrum, and the spectrum predicted for it."""

    match: Match
    predicted: Simulation


@dataclass(frozen=True)
class Example:
    """A spectrum of known structure and what the model says of it.

    Attributes
    ----------
    own : Judged
        The true structure.
    preferred : Judged or None
        What the model put first instead.
    rank, n_candidates : int
        Place of the true structure, among how many.
    """

    spectrum: Spectrum
    own: Judged
    preferred: Judged | None
    rank: int
    n_candidates: int


@dataclass(frozen=True)
class Examples:
    """Answers with the true structure first, and others."""

    right: tuple[Example, ...]
    wrong: tuple[Example, ...]


def make_examples(
    model: LoadedModel,
    queries: Sequence[Query],
    scored: Sequence[ScoredQuery],
    *,
    n: int = 3,
    seed: int = 0,
) -> Examples:
    """Return examples of what a model says of queries, drawn by seed.

    Parameters
    ----------
    scored : sequence of ScoredQuery
        Of these queries, as :func:`~team5.assessment.scoring.score_queries` gives them.
    n : int, default 3
        Of each kind, at most.
    """
    in_order = [queries[i] for members in by_candidates(queries).values() for i in members]
    right, wrong = choose_examples(scored, n, seed)
    return Examples(
        *(
            tuple(_example(model, in_order[i], scored[i]) for i in places)
            for places in (right, wrong)
        )
    )


def _example(model: LoadedModel, query: Query, scored: ScoredQuery) -> Example:
    first = int(scored.scores[MODEL].argmax())
    structures = [query.candidates[i] for i in dict.fromkeys((query.truth, first))]
    judged = [_judge(model, smiles, query.spectrum) for smiles in structures]
    preferred = judged[1] if len(judged) > 1 else None
    return Example(query.spectrum, judged[0], preferred, rank_of(scored), len(query.candidates))


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
