"""Structures and spectra of files; what cannot be used is reported by its number and left out."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.readers import iter_spectra, nothing_usable
from team5.data.records import Record
from team5.errors import (
    AdductError,
    DataError,
    DataFileNotFoundError,
    MoleculeError,
    SpectrumError,
)

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
