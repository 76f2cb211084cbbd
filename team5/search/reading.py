"""Reading of structures and spectra from files; unusable records are reported by number."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.chemistry.notation import to_smiles
from team5.data.readers import iter_spectra, nothing_usable
from team5.data.readers.structures import FAULTS, UnusableRecord, open_structures
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

# Errors of the structure or spectrum at hand, not of the model or the machine.
UNANSWERABLE = (MoleculeError, AdductError, SpectrumError)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A structure to be ranked, with the columns of its file.

    Attributes
    ----------
    smiles : str
    name : str or None
    place : str
        Where it stands in its file, ``line 3``.
    columns : dict of str to value
        Other columns of its file.
    """

    smiles: str
    name: str | None = None
    place: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)


def read_candidates(path: str | Path, *, report: Report = log.warning) -> list[Candidate]:
    """Read structures that the model supports.

    Parameters
    ----------
    path : str or Path
        What `team5.data.readers.structures.open_structures` reads.
    report : callable, default logs a warning
        Gets a line of text for each structure that is left out.

    Raises
    ------
    DataFileNotFoundError
        If there is no such file.
    DataError
        If it is no list of structures, or none of its structures can be used.
    """
    return [candidate for candidate, _ in iter_candidates(path, report=report)]


def read_references(path: str | Path | None, report: Report) -> list[str] | None:
    """Return the SMILES of a file of references; None without a file."""
    if path is None:
        return None
    return [reference.smiles for reference in read_candidates(path, report=report)]


def iter_candidates(
    path: str | Path,
    *,
    report: Report = log.warning,
    parse: Callable[[str], Molecule] = parse_smiles,
    on_progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[Candidate, Molecule]]:
    """Yield the structures of a file that the model supports; see `read_candidates`.

    ``parse`` raises for structures that cannot be used. ``on_progress`` is called with the share
    of the file read, 0 to 1.
    """
    path = Path(path)
    if not path.is_file():
        raise DataFileNotFoundError(f"{path}: no such file. Give a file of SMILES as candidates=.")
    n_seen, n_usable = 0, 0
    with open_structures(path) as structures:
        for record in structures.records:
            n_seen += 1
            if on_progress:
                on_progress(structures.share_read())
            where = f"{structures.unit} {record.number}"
            if isinstance(record, UnusableRecord):
                report(f"{path}, {where}: {FAULTS[record.code]}. Left out.")
                continue
            try:
                smiles = to_smiles(record.text)
                molecule = parse(smiles)
            except MoleculeError as error:
                report(f"{path}, {where}: {error} Left out.")
                continue
            n_usable += 1
            yield Candidate(smiles, record.name, where, record.columns), molecule
    if not n_usable:
        raise DataError(
            f"{path}: none of its {n_seen:,} structures can be used."
            if n_seen
            else f"{path}: no structures in this file. Give one SMILES per line."
        )


def numbered_records(path: str | Path, report: Report) -> Iterator[tuple[int, Record]]:
    """Yield records with their number in the file, and report those the reader cannot use."""
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
        yield n_used + skipped.total(), record
    report_skipped()
    if not n_used:
        raise DataError(nothing_usable(path, skipped))
