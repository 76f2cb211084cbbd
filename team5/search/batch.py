"""Candidates ranked for each spectrum of a file, one spectrum at a time.

A spectrum or a candidate that cannot be used does not stop the others: it is reported with its
number, and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from team5.chemistry.molecule import Molecule
from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import Team5Error
from team5.inference.inference import infer
from team5.inference.loading import LoadedModel
from team5.inference.question import Inputs, Question, make_questions
from team5.inference.results import Match, Ranking
from team5.search.reading import UNANSWERABLE, Candidate, Report, numbered_records, read_candidates

log = logging.getLogger(__name__)


def rank_file(
    model: LoadedModel,
    spectra_path: str | Path,
    candidates_path: str | Path,
    *,
    context: Conditions | None = None,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    report: Report = log.warning,
) -> Iterator[Ranking]:
    """Rank all candidates of one file for each spectrum of another.

    Parameters
    ----------
    model : LoadedModel
    spectra_path, candidates_path : str or Path
        What `team5.data.readers.iter_spectra` and `read_candidates` read.
    context : Conditions, optional
        For spectra that do not say how they were measured.
    max_error, references
        As for `infer`.
    report : callable, default logs a warning
        Gets a line of text for each spectrum or candidate that is left out.

    Yields
    ------
    Ranking
        One per spectrum that could be answered, in the file's order.

    Raises
    ------
    DataError
        If a file cannot be read, or not one of its entries can be used.
    """
    candidates = read_candidates(candidates_path, report=report, parse=model.encodings.parse)
    for where, record in numbered_records(spectra_path, report):
        try:
            spectrum = (context or Conditions()).fill(record.spectrum)
            yield rank_candidates(
                model,
                spectrum,
                candidates,
                max_error=max_error,
                references=references,
                report=_prefixed(where, report),
            )
        except UNANSWERABLE as error:
            report(f"{where}: {error} Left out.")


def match_file(
    model: LoadedModel,
    spectra_path: str | Path,
    *,
    context: Conditions | None = None,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    report: Report = log.warning,
) -> Iterator[Ranking]:
    """Match each spectrum of a file with the structure its record carries.

    Parameters
    ----------
    model : LoadedModel
    spectra_path : str or Path
    context : Conditions, optional
        For spectra that do not say how they were measured.
    max_error, references
        As for `infer`.
    report : callable, default logs a warning
        Gets a line of text for each spectrum that is left out.

    Yields
    ------
    Ranking
        Of one candidate, because it carries the spectrum's identifier with the match.
    """
    for where, record in numbered_records(spectra_path, report):
        if record.smiles is None:
            report(f"{where}: no SMILES. Give candidates=FILE to rank structures. Left out.")
            continue
        try:
            spectrum = (context or Conditions()).fill(record.spectrum)
            answer = infer(
                model,
                record.smiles,
                spectra=[spectrum],
                max_error=max_error,
                references=references,
            )
        except UNANSWERABLE as error:
            report(f"{where}: {error} Left out.")
            continue
        match = cast(Match, answer)
        yield Ranking(spectrum.identifier, (match,), match.version)


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
    question, kept = ask_ranking(
        model, spectrum, candidates, max_error=max_error, references=references, report=report
    )
    return to_ranking(spectrum, kept, cast("list[Match]", question.answers(model)))


def ask_ranking(
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

    def question(asked: Sequence[Candidate]) -> Question:
        smiles = [candidate.smiles for candidate in asked]
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
    kept = [candidate for index, candidate in enumerate(candidates) if index not in faults]
    return question(kept), kept


def to_ranking(
    spectrum: Spectrum, candidates: Sequence[Candidate], matches: Sequence[Match]
) -> Ranking:
    """Return the matches of one spectrum with the names of the candidates."""
    has_names = any(candidate.name for candidate in candidates)
    names = tuple(candidate.name or "" for candidate in candidates) if has_names else ()
    return Ranking(spectrum.identifier, tuple(matches), matches[0].version, names)


def _prefixed(where: str, report: Report) -> Report:
    return lambda text: report(f"{where}, {text}")
