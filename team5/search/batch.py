"""Files in, answers out: one spectrum at a time, so that a file of any length can be answered.

A spectrum or a candidate that cannot be used does not stop the others: it is reported with its
number, and left out.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.readers import iter_spectra, nothing_usable
from team5.data.records import Record
from team5.data.spectrum import Spectrum
from team5.errors import (
    AdductError,
    DataError,
    DataFileNotFoundError,
    MoleculeError,
    SpectrumError,
    Team5Error,
)
from team5.inference.results import Match, Ranking

if TYPE_CHECKING:
    from team5.inference.inference import LoadedModel, Question

log = logging.getLogger(__name__)

Report = Callable[[str], None]

_SMILES_COLUMN = "smiles"
_NAME_COLUMNS = ("name", "identifier", "id")
# What is about the structure or the spectrum in hand, and not about the model or the machine.
UNANSWERABLE = (MoleculeError, AdductError, SpectrumError)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A structure to be ranked, its name if the file gives one, and its place there."""

    smiles: str
    name: str | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """How spectra were measured, for those of a file that do not say so themselves."""

    adduct: str | None = None
    precursor_mz: float | None = None
    collision_energy: str | None = None
    instrument_type: str | None = None

    def fill(self, spectrum: Spectrum) -> Spectrum:
        """Return the spectrum with what it lacks."""
        lacking = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(spectrum, field.name) is None and getattr(self, field.name) is not None
        }
        return dataclasses.replace(spectrum, **lacking) if lacking else spectrum


def read_candidates(
    path: str | Path,
    *,
    report: Report = log.warning,
    parse: Callable[[str], Molecule] = parse_smiles,
) -> list[Candidate]:
    """Read structures that the model can take.

    Parameters
    ----------
    path : str or Path
        Text (``.smi``, ``.txt``) with one SMILES per line and an optional name behind a blank or
        tab; blank lines, lines that begin with ``#`` and a first line that begins with the word
        ``smiles`` are passed over. Or CSV, TSV or Parquet with a column ``smiles``, and ``name``,
        ``identifier`` or ``id`` if there are names.
    report : callable, default logs a warning
        Gets a line of text for each structure that is left out.
    parse : callable
        What tells structures that can be used; a model's own remembers them.

    Raises
    ------
    DataFileNotFoundError
        If there is no such file.
    DataError
        If it is no such file, or none of its structures can be used.
    """
    path = Path(path)
    if not path.is_file():
        raise DataFileNotFoundError(f"{path}: no such file. Give a file of SMILES as candidates=.")
    usable: list[Candidate] = []
    n_seen = 0
    for where, smiles, name in _raw_candidates(path):
        n_seen += 1
        try:
            parse(smiles)
        except MoleculeError as error:
            report(f"{path}, {where}: {error} Left out.")
            continue
        usable.append(Candidate(smiles, name, where))
    if not usable:
        raise DataError(
            f"{path}: none of its {n_seen:,} structures can be used."
            if n_seen
            else f"{path}: no structures in this file. Give one SMILES per line."
        )
    return usable


def rank_file(
    model: LoadedModel,
    spectra_path: str | Path,
    candidates_path: str | Path,
    *,
    context: Context | None = None,
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
    context : Context, optional
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
            spectrum = (context or Context()).fill(record.spectrum)
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
    context: Context | None = None,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    report: Report = log.warning,
) -> Iterator[Ranking]:
    """Match each spectrum of a file with the structure its record carries.

    Parameters
    ----------
    model : LoadedModel
    spectra_path : str or Path
    context : Context, optional
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
    from team5.inference.inference import infer

    for where, record in numbered_records(spectra_path, report):
        if record.smiles is None:
            report(f"{where}: no SMILES. Give candidates=FILE to rank structures. Left out.")
            continue
        try:
            spectrum = (context or Context()).fill(record.spectrum)
            answer = infer(
                model,
                model.tokenizer,
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
    from team5.inference.inference import ask

    def question(asked: Sequence[Candidate]) -> Question:
        smiles = [candidate.smiles for candidate in asked]
        questions, _ = ask(
            model,
            None,
            smiles,
            spectra=[spectrum],
            max_error=max_error,
            references=references,
            parse=parse,
        )
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


def numbered_records(path: str | Path, report: Report) -> Iterator[tuple[str, Record]]:
    """Yield records with their place in the file, and report those the reader cannot use."""
    skipped: Counter[str] = Counter()
    n_used = 0
    reported: Counter[str] = Counter()

    def report_skipped() -> None:
        new = skipped - reported
        if not new:
            return
        first = n_used + reported.total() + 1
        last = first + new.total() - 1
        numbers = f"spectrum {first}" if first == last else f"spectra {first} to {last}"
        reasons = ", ".join(
            f"{reason} ({count:,})" if len(new) > 1 else reason for reason, count in new.items()
        )
        report(f"{path}, {numbers}: {reasons}. Left out.")
        reported.update(new)

    for record in iter_spectra(path, skipped):
        report_skipped()
        n_used += 1
        yield f"{path}, spectrum {n_used + skipped.total()}", record
    report_skipped()
    if not n_used:
        raise DataError(nothing_usable(path, skipped))


def _prefixed(where: str, report: Report) -> Report:
    return lambda text: report(f"{where}, {text}")


def _raw_candidates(path: Path) -> Iterator[tuple[str, str, str | None]]:
    """Yield the place, the SMILES and the name of each structure as they stand in the file."""
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        return _from_parquet(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _from_csv(path)
    return _from_lines(path)


def _from_lines(path: Path) -> Iterator[tuple[str, str, str | None]]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            smiles, _, name = line.strip().replace("\t", " ", 1).partition(" ")
            if not smiles or smiles.startswith("#"):
                continue
            if number == 1 and smiles.casefold() == _SMILES_COLUMN:
                continue
            yield f"line {number}", smiles, name.strip() or None


def _from_csv(path: Path) -> Iterator[tuple[str, str, str | None]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        rows = csv.reader(file, delimiter=delimiter)
        header = next(rows, [])
        smiles_at, name_at = _columns(path, header)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            cells = [*row, *[""] * (len(header) - len(row))]
            name = cells[name_at].strip() if name_at is not None else ""
            yield f"line {rows.line_num}", cells[smiles_at].strip(), name or None


def _from_parquet(path: Path) -> Iterator[tuple[str, str, str | None]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            smiles_at, name_at = _columns(path, names)
            wanted = [names[smiles_at]] + ([names[name_at]] if name_at is not None else [])
            number = 0
            for batch in file.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    name = row[wanted[1]] if len(wanted) == 2 else None
                    yield (
                        f"row {number}",
                        str(row[wanted[0]] or ""),
                        None if name is None else str(name),
                    )
    except pa.ArrowException as error:
        raise DataError(
            f"{path}: damaged Parquet file ({str(error).splitlines()[0]}). Write it anew."
        ) from error


def _columns(path: Path, header: Sequence[str]) -> tuple[int, int | None]:
    lowered = [name.strip().casefold() for name in header]
    if _SMILES_COLUMN not in lowered:
        raise DataError(
            f"{path}: no column {_SMILES_COLUMN!r}; there are: {', '.join(header) or 'none'}. "
            "Rename the column that holds the structures."
        )
    name = next((lowered.index(name) for name in _NAME_COLUMNS if name in lowered), None)
    return lowered.index(_SMILES_COLUMN), name
