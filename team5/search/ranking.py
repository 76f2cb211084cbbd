"""Ranking of candidates for one spectrum; those that cannot be judged are reported."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.errors import Team5Error
from team5.inference.loading import LoadedModel
from team5.inference.question import Inputs, Question, make_questions
from team5.inference.results import Match
from team5.search.reading import UNANSWERABLE, Candidate, Report
from team5.search.rows import rows_of, to_answer
from team5.search.shortlist import Shortlist
from team5.search.structures import CandidateSet

log = logging.getLogger(__name__)


def ranking_question(
    model: LoadedModel,
    spectra: Sequence[Spectrum],
    candidates: Sequence[Candidate],
    *,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    report: Report = log.warning,
    parse: Callable[[str], Molecule] | None = None,
) -> tuple[Question, list[Candidate]]:
    """Return a ranking of the candidates that can be judged, and these; others are reported.

    ``max_error`` and ``references`` are those of `infer`.

    Raises
    ------
    MoleculeError, AdductError, SpectrumError
        If not one of them can be judged; what the first says.
    """

    def question(listed: Sequence[Candidate]) -> Question:
        smiles = [candidate.smiles for candidate in listed]
        inputs = Inputs(smiles, spectra=spectra, max_error=max_error, references=references)
        (question,), _ = make_questions(model, inputs, parse)
        return question

    try:
        return question(candidates), list(candidates)
    except UNANSWERABLE:
        # Either one of them is at fault, or the spectrum is, in which case all of them fail.
        faults: dict[int, Team5Error] = {}
        for index, candidate in enumerate(candidates):
            try:
                question([candidate])
            except UNANSWERABLE as error:
                faults[index] = error
        if len(faults) == len(candidates):
            raise
    for index, fault in faults.items():
        place = candidates[index].place
        report(f"candidate{f' at {place}' if place else ''}: {fault} Left out.")
    usable = [candidate for index, candidate in enumerate(candidates) if index not in faults]
    return question(usable), usable


def to_candidates(structures: CandidateSet) -> list[Candidate]:
    """Return the candidates of a spectrum one by one."""
    columns = structures.columns or [{}] * len(structures.smiles)
    return [
        Candidate(smiles, name, columns=values)
        for smiles, name, values in zip(structures.smiles, structures.names, columns, strict=True)
    ]


def ranking_answer(
    number: int,
    spectra: Sequence[Spectrum],
    candidates: Sequence[Candidate],
    question: Question,
    matches: Sequence[Match],
    *,
    keep: int,
    n_unusable: int,
) -> dict[str, Any]:
    """Return the matches of a spectrum, equal to those of a search of its file.

    Parameters
    ----------
    number : int
        Of the first spectrum in its file.
    spectra : sequence of Spectrum
        Those that were judged together.
    candidates : sequence of Candidate, C of them
    matches : sequence of Match, C of them
    keep : int
        How many are in it, of the best.
    n_unusable : int
        Candidates that were left out.
    """
    if len(matches) == 1:
        matches = [replace(matches[0], rank=1, confidence=matches[0].probability)]
    order = sorted(range(len(matches)), key=lambda index: matches[index].rank or 0)[:keep]
    best = Shortlist(
        tuple(matches[index] for index in order),
        tuple(order),
        tuple(question.molecules[index].inchikey14 for index in order),
        n_candidates=len(matches) + n_unusable,
        n_scored=len(matches),
        unusable=Counter(left_out=n_unusable),
    )
    candidate_set = CandidateSet(
        [candidate.smiles for candidate in candidates],
        [None] * len(candidates),
        [candidate.name for candidate in candidates],
        [candidate.columns for candidate in candidates],
    )
    return to_answer(rows_of(number, spectra[0], best, candidate_set, n_spectra=len(spectra)))
