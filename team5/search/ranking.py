"""Candidates ranked for one spectrum; those that cannot be judged are reported and left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import cast

from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.errors import Team5Error
from team5.inference.loading import LoadedModel
from team5.inference.question import Inputs, Question, make_questions
from team5.inference.results import Match, Ranking
from team5.search.reading import UNANSWERABLE, Candidate, Report

log = logging.getLogger(__name__)


def rank_candidates(
    model: LoadedModel,
    spectrum: Spectrum,
    candidates: Sequence[Candidate],
    *,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    report: Report = log.warning,
) -> Ranking:
    """Rank candidates for one spectrum; those that cannot be judged are reported and left out.

    ``max_error`` and ``references`` are those of `infer`.

    Raises
    ------
    MoleculeError, AdductError, SpectrumError
        If not one of them can be judged; what the first says.
    """
    question, usable = ranking_question(
        model, spectrum, candidates, max_error=max_error, references=references, report=report
    )
    return to_ranking(spectrum, usable, cast("list[Match]", question.answers(model)))


def ranking_question(
    model: LoadedModel,
    spectrum: Spectrum,
    candidates: Sequence[Candidate],
    *,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    report: Report = log.warning,
    parse: Callable[[str], Molecule] | None = None,
) -> tuple[Question, list[Candidate]]:
    """Return the question that `rank_candidates` answers, and the candidates that are in it."""

    def question(listed: Sequence[Candidate]) -> Question:
        smiles = [candidate.smiles for candidate in listed]
        inputs = Inputs(smiles, spectra=[spectrum], max_error=max_error, references=references)
        questions, _ = make_questions(model, inputs, parse)
        return questions[0]

    try:
        return question(candidates), list(candidates)
    except UNANSWERABLE:
        # One of them is at fault, or the spectrum is, and then all of them fail.
        faults: dict[int, Team5Error] = {}
        for index, candidate in enumerate(candidates):
            try:
                question([candidate])
            except UNANSWERABLE as error:
                faults[index] = error
        if len(faults) == len(candidates):
            raise
    for index, fault in faults.items():
        place = candidates[index].place or f"number {index + 1}"
        report(f"candidate at {place}: {fault} Left out.")
    usable = [candidate for index, candidate in enumerate(candidates) if index not in faults]
    return question(usable), usable


def to_ranking(
    spectrum: Spectrum, candidates: Sequence[Candidate], matches: Sequence[Match]
) -> Ranking:
    """Return the matches of one spectrum with the names of the candidates."""
    has_names = any(candidate.name for candidate in candidates)
    names = tuple(candidate.name or "" for candidate in candidates) if has_names else ()
    return Ranking(spectrum.identifier, tuple(matches), matches[0].version, names)
