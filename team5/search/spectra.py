"""The spectra of a search: numbered, and cut into the chunks that engines compute."""

from __future__ import annotations

import hashlib
import mmap
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq

from team5.data.conditions import Conditions
from team5.data.readers import check_exists, iter_spectra
from team5.data.records import LeftOut as Unread
from team5.data.records import Record, Skipped
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, ConfigError, DataError, SpectrumError

# Values of group_by in small letters, and the field of a spectrum that each compares.
_GROUPED_BY = {"auto": "group", "feature_id": "feature_id"}
_BLOCK_SIZE = 1 << 20
_PARQUET = b"PAR1"
_BEGIN_IONS = re.compile(rb"^[ \t]*BEGIN IONS[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
_MZML_COUNT = re.compile(rb'<spectrumList\b[^>]*\bcount="(\d+)"')


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A spectrum that has no hits, and why.

    Attributes
    ----------
    spectrum : int
        Its number in the file, from 1.
    identifier : str
        Empty where the reader could not tell.
    reason : str
    place : str
        Where the file holds what the reader could not use.
    notes : str
        What was odd in the spectrum, which may be why.
    """

    spectrum: int
    identifier: str
    reason: str
    place: str = ""
    notes: str = ""

    def to_text(self, source: str) -> str:
        """Return it in words, with the name of its file."""
        place = self.place or f"spectrum {self.spectrum}"
        name = f" ({self.identifier})" if self.identifier else ""
        notes = f" ({self.notes})" if self.notes else ""
        return f"{source}, {place}{name}: {self.reason.removesuffix('.')}{notes}. Left out."


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some spectra in a row.

    Attributes
    ----------
    number : int
        From 0; the first spectrum of a chunk is number times chunk size plus 1.
    spectra : tuple of (int, Spectrum)
        With their numbers in the file.
    left_out : tuple of LeftOut
        What the reader could not use.
    targets : dict of int to str
        SMILES that records carry, by the numbers of their spectra.
    others : dict of int to tuple of (int, Spectrum)
        Further spectra that are judged together with one, by its number.
    """

    number: int
    spectra: tuple[tuple[int, Spectrum], ...]
    left_out: tuple[LeftOut, ...]
    targets: Mapping[int, str] = field(default_factory=dict)
    others: Mapping[int, tuple[tuple[int, Spectrum], ...]] = field(default_factory=dict)

    @property
    def n_spectra(self) -> int:
        return len(self.spectra) + len(self.left_out) + sum(map(len, self.others.values()))


class Source(Protocol):
    """Where the spectra of a search come from."""

    name: str

    def entries(self) -> Iterator[Record | Unread]:
        """Yield all records in order, also those that cannot be used."""

    def identity(self) -> dict[str, Any]:
        """Return values that change with the spectra."""

    def count(self) -> int | None:
        """Return how many there are, None where that would take as long as reading them."""


class SpectraFile:
    """The spectra of a file, or of a folder of MassBank records."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_exists(self.path)
        if not (self.path.is_file() or self.path.is_dir()):
            raise DataError(
                f"{path}: spectra of a search are read more than once, and a pipe gives them once. "
                "Write them to a file first."
            )
        self.name = self.path.name

    def entries(self) -> Iterator[Record | Unread]:
        skipped = Skipped()
        for record in iter_spectra(self.path, skipped):
            yield from skipped.records
            skipped.records.clear()
            yield record
        yield from skipped.records

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        size = 0
        paths = sorted(self.path.rglob("*")) if self.path.is_dir() else [self.path]
        for path in paths:
            if not path.is_file():
                continue
            if path != self.path:
                digest.update(f"{path.relative_to(self.path)}\n".encode())
            with path.open("rb") as file:
                while block := file.read(_BLOCK_SIZE):
                    digest.update(block)
                    size += len(block)
        return {"name": self.name, "size": size, "sha256": digest.hexdigest()}

    def count(self) -> int | None:
        if self.path.is_dir() or not self.path.stat().st_size:
            return None
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if content[:4] == _PARQUET:
                return int(pq.read_metadata(self.path).num_rows)
            if announced := _MZML_COUNT.search(content, 0, _BLOCK_SIZE):
                return int(announced[1])
            if self.path.suffix.casefold() == ".mgf":
                return sum(1 for _ in _BEGIN_IONS.finditer(content)) or None
        return None


class TypedSpectrum:
    """A single spectrum, typed by the user."""

    name = "spectrum"

    def __init__(self, spectrum: Spectrum) -> None:
        self.spectrum = spectrum

    def entries(self) -> Iterator[Record | Unread]:
        yield Record(self.spectrum)

    def identity(self) -> dict[str, Any]:
        peaks = np.stack([self.spectrum.mzs, self.spectrum.intensities]).tobytes()
        return {"name": self.name, "size": len(peaks), "sha256": hashlib.sha256(peaks).hexdigest()}

    def count(self) -> int:
        return 1


def check_group_by(group_by: str | None) -> None:
    """Refuse an unknown value of group_by.

    Raises
    ------
    ConfigError
    """
    if group_by is not None and group_by.casefold() not in _GROUPED_BY:
        raise ConfigError(
            f"group_by={group_by}: choose auto or FEATURE_ID, or null to judge each spectrum by "
            "itself.",
            argument="group_by",
        )


def iter_chunks(
    source: Source, context: Conditions, size: int, group_by: str | None = None
) -> Iterator[Chunk]:
    """Cut spectra into chunks of `size`, with what they lack of the conditions filled in.

    Spectra of one group stand with the first of them; for this all are held in memory.
    """
    groups = iter(_groups(enumerate(source.entries(), start=1), group_by))
    number = 0
    while batch := list(islice(groups, size)):
        targets: dict[int, str] = {}
        spectra: list[tuple[int, Spectrum]] = []
        others: dict[int, tuple[tuple[int, Spectrum], ...]] = {}
        left_out: list[LeftOut] = []
        for group in batch:
            usable: list[tuple[int, Spectrum]] = []
            for index, entry in group:
                if isinstance(entry, Unread):
                    left_out.append(LeftOut(index, "", entry.reason, entry.place))
                    continue
                try:
                    usable.append((index, context.fill(entry.spectrum)))
                except (SpectrumError, AdductError) as error:
                    name = entry.spectrum.identifier
                    # Without the name, the reason is the same for all spectra it holds of.
                    left_out.append(LeftOut(index, name, str(error).removeprefix(f"{name}: ")))
                    continue
                if entry.smiles is not None:
                    targets[usable[0][0]] = entry.smiles
            if usable:
                spectra.append(usable[0])
                if usable[1:]:
                    others[usable[0][0]] = tuple(usable[1:])
        yield Chunk(number, tuple(spectra), tuple(left_out), targets, others)
        number += 1


def _groups(
    entries: Iterable[tuple[int, Record | Unread]], group_by: str | None
) -> Iterable[list[tuple[int, Record | Unread]]]:
    """Return entries in groups; without ``group_by`` each by itself."""
    if group_by is None:
        return ([entry] for entry in entries)
    name = _GROUPED_BY[group_by.casefold()]
    groups: dict[object, list[tuple[int, Record | Unread]]] = {}
    for index, entry in entries:
        key = None if isinstance(entry, Unread) else getattr(entry.spectrum, name)
        if key is None and name == "group" and isinstance(entry, Record) and entry.smiles:
            key = entry.smiles, entry.spectrum.adduct
        groups.setdefault(index if key is None else (name, key), []).append((index, entry))
    return groups.values()


def count_reasons(left_out: Iterable[LeftOut]) -> Counter[str]:
    """Count what was left out by reason."""
    return Counter(entry.reason for entry in left_out)
