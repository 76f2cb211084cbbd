"""Ranking of candidates for one spectrum; those that cannot be judged are reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from team5.chemistry.molecule import Molecule
from team5.data.spectrum import Spectrum
from team5.inference.loading import LoadedModel
from team5.inference.question import Inputs, Question, check_ions, make_questions, question_of
from team5.inference.results import Match
from team5.inference.selective import check_max_error
from team5.search.reading import UNANSWERABLE, Report
from team5.search.rows import rows_of, to_answer
from team5.search.shortlist import Shortlist
from team5.search.structures import CandidateSet


def ranking_question(
    model: LoadedModel,
    spectra: Sequence[Spectrum],
    smiles: Sequence[str],
    *,
    report: Report,
    max_error: float | None = None,
    parse: Callable[[str], Molecule] | None = None,
) -> Generator[None, None, tuple[Question, list[int]]]:
    """Make a ranking of the candidates that can be judged; others are reported.

    It yields after each candidate, so that a server can answer others in between, and returns the
    question and the indices of its candidates.

    Raises
    ------
    MoleculeError, AdductError, SpectrumError
        If not one of them can be judged; what the first says.
    """
    parse = parse or model.encodings.parse
    if max_error is not None:
        check_max_error(model.calibration, max_error, model.version)
    usable: dict[int, Molecule] = {}
    faults: list[str] = []
    for index, text in enumerate(smiles):
        try:
            molecule = parse(text)
            check_ions([molecule], spectra)
            _ = molecule.inchikey14  # slow, and kept by the molecule
            usable[index] = molecule
        except UNANSWERABLE as error:
            faults.append(f"candidate: {error} Left out.")
        yield
    if not usable:  # the question of all of them says why
        steps, _ = make_questions(model, Inputs(list(smiles), spectra=spectra), parse)
        for _ in steps:
            yield
    for fault in faults:
        report(fault)
    return question_of(model, [*usable.values()], spectra, max_error), [*usable]


def ranking_answer(
    number: int,
    spectra: Sequence[Spectrum],
    candidates: CandidateSet,
    usable: Sequence[int],
    question: Question,
    matches: Sequence[Match],
    *,
    keep: int,
) -> dict[str, Any]:
    """Return the matches of a spectrum, equal to those of a search of its file.

    Peaks that no structure can give stand with the first candidate; None in a later one means the
    same peaks.

    Parameters
    ----------
    number : int
        Of the first spectrum in its file.
    spectra : sequence of Spectrum
        Those that were judged together.
    candidates : CandidateSet
    usable : sequence of int
        Indices of the C candidates that were judged.
    matches : sequence of Match, C of them
    keep : int
        How many are in it, of the best.
    """
    if len(matches) == 1:
        matches = [replace(matches[0], rank=1, confidence=matches[0].probability)]
    order = sorted(range(len(matches)), key=lambda i: matches[i].rank or 0)[:keep]
    first, *others = order
    impossible = matches[first].impossible_mzs
    repeating = {i for i in others if matches[i].impossible_mzs == impossible != ()}
    n_candidates = len(candidates.smiles)
    best = Shortlist(
        tuple(
            replace(matches[i], impossible_mzs=()) if i in repeating else matches[i] for i in order
        ),
        tuple(usable[i] for i in order),
        tuple(question.molecules[i].inchikey14 for i in order),
        n_candidates=n_candidates,
        n_scored=len(matches),
        unusable=Counter(left_out=n_candidates - len(matches)),
    )
    answer = to_answer(rows_of(number, spectra[0], best, candidates, n_spectra=len(spectra)))
    for i, row in zip(order, answer["candidates"], strict=True):
        if i in repeating:
            row["impossible_mzs"] = None
    return answer
