"""Inputs of a build: finding files, checking them for changes, cutting records into chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from team5.data.readers.packed import PACKINGS
from team5.data.readers.structures import (
    FAULTS,
    StructureRecord,
    UnusableRecord,
    open_structures,
)
from team5.errors import ConfigError, DataError, DataFileNotFoundError
from team5.runtime.storage import as_path, sha256

_ENDINGS = (".smi", ".smiles", ".ism", ".txt", ".sdf", ".sd", ".csv", ".tsv", ".parquet")
KNOWN_ENDINGS = f"{', '.join(_ENDINGS)}, also with {', '.join(PACKINGS)}"
_ENDING = re.compile(r"\.[a-z]+2?$")
# Columns of tables that are used unchanged, instead of being computed, on request.
TRUSTED_COLUMNS = ("inchikey14", "formula", "exact_mass")
# An interruption loses a chunk: seconds of work. More chunks make the sort slower.
_MIN_RECORDS_PER_CHUNK, _MAX_RECORDS_PER_CHUNK = 2_000, 20_000
_CHUNKS_WANTED = 1_000
# Approximate bytes of a structure, only for choosing the size of chunks.
_BYTES_PER_RECORD, _BYTES_PER_MOLBLOCK, _BYTES_PER_PACKED_RECORD = 60, 3_000, 15
# Limit of records per input, so that input and record form one ordered number.
_MAX_RECORDS = 1 << 40


@dataclass(frozen=True, slots=True)
class Input:
    """An input file of structures: its path as given, its size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str

    @property
    def has_molblocks(self) -> bool:
        return _ending(self.path) in (".sdf", ".sd")

    def estimated_records(self) -> int:
        """Estimate the number of structures from the size."""
        if self.path.lower().endswith(".parquet"):
            with as_path(self.path).open("rb") as file:
                return int(pq.read_metadata(file).num_rows)
        if self.path.lower().endswith(PACKINGS):
            return self.size // _BYTES_PER_PACKED_RECORD
        return self.size // (_BYTES_PER_MOLBLOCK if self.has_molblocks else _BYTES_PER_RECORD)


class Fault(NamedTuple):
    """Why a record is left out: a code, the reason in words, and its text or details."""

    code: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A few thousand records of one input, the unit of work of a build.

    Attributes
    ----------
    number : int
        Counted over all inputs.
    source : str
        Path of the input, as given.
    source_index : int
        Its index among the inputs.
    unit : {"line", "row", "record"}
        The unit that numbers its records.
    records : sequence of StructureRecord
    faults : sequence of (int, Fault)
        Records that cannot be used, by number.
    share_read : float
        Share of all inputs' bytes up to its end, 0 to 1.
    """

    number: int
    source: str
    source_index: int
    unit: str
    records: Sequence[StructureRecord]
    faults: Sequence[tuple[int, Fault]] = ()
    share_read: float = 0.0

    @property
    def n_records(self) -> int:
        return len(self.records) + len(self.faults)

    def order_of(self, number: int) -> int:
        """Return a number that orders records by their first occurrence."""
        return self.source_index * _MAX_RECORDS + number

    def without(self, index: int, reason: str) -> Chunk:
        """Return the chunk with one record among the faults."""
        record = self.records[index]
        records = [*self.records[:index], *self.records[index + 1 :]]
        fault = Fault("worker_ended", reason, record.text.strip())
        return replace(self, records=records, faults=[*self.faults, (record.number, fault)])


def find_inputs(paths: Sequence[str | Path]) -> list[Input]:
    """Return the files to read, in the order given; those of a folder by name.

    Raises
    ------
    DataFileNotFoundError
        If one does not exist, or a folder holds no file of a known format.
    DataError
        If a file's extension is unknown, or it cannot be read.
    ConfigError
        If there is none, or one is given twice.
    """
    if not paths:
        raise ConfigError(f"no input. Give files of structures: {KNOWN_ENDINGS}.")
    inputs: list[Input] = []
    for path in paths:
        place = as_path(path)
        try:
            if place.is_dir():
                inside = sorted(
                    (file for file in place.iterdir() if file.is_file() and _is_list(file.name)),
                    key=lambda file: file.name,
                )
                if not inside:
                    raise DataFileNotFoundError(
                        f"{path}: holds no file of structures. Known are {KNOWN_ENDINGS}."
                    )
                inputs += map(_input, inside)
            else:
                if (ending := _ending(place.name)) and ending not in _ENDINGS:
                    raise DataError(
                        f"{place}: kind not known by its ending. Known are {KNOWN_ENDINGS}."
                    )
                inputs.append(_input(place))
        except FileNotFoundError as error:
            if isinstance(error, DataFileNotFoundError):
                raise
            raise DataFileNotFoundError(f"{path}: no such file. Check its name.") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    names = [source.path for source in inputs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"{', '.join(sorted(twice))}: given twice. Give every input once.")
    return inputs


def _ending(name: str) -> str:
    """Return the extension of a name in lower case, without that of the compression."""
    match = _ENDING.search(name.lower())
    if match and match[0] in PACKINGS:
        match = _ENDING.search(name.lower()[: match.start()])
    return match[0] if match else ""


def _is_list(name: str) -> bool:
    ending = _ending(name)
    return ending in _ENDINGS or (not ending and name.lower().endswith(PACKINGS))


def _input(place: Path) -> Input:
    return Input(str(place), place.stat().st_size, sha256(place))


def check_unchanged(sources: Sequence[Input]) -> None:
    """Check that files have not changed since a build began.

    Raises
    ------
    DataError
        If one has changed.
    """
    for source in sources:
        place = as_path(source.path)
        try:
            same = place.stat().st_size == source.size and sha256(place) == source.sha256
        except OSError as error:
            raise DataError(
                f"{source.path}: cannot be read ({error.strerror or error})."
            ) from error
        if not same:
            raise DataError(
                f"{source.path}: has changed while it was read, so that nothing made of it is "
                "kept. Build again, with --replace, when it is whole."
            )


def chunk_size(sources: Sequence[Input]) -> int:
    """Return the number of records per chunk for some inputs."""
    n_records = sum(source.estimated_records() for source in sources) // _CHUNKS_WANTED
    # Molblocks are long, and a chunk of each worker is in memory.
    is_long = any(source.has_molblocks for source in sources)
    most = _MIN_RECORDS_PER_CHUNK if is_long else _MAX_RECORDS_PER_CHUNK
    return min(max(n_records, _MIN_RECORDS_PER_CHUNK), most)


def iter_chunks(
    inputs: Sequence[Input], records_per_chunk: int, *, trust_columns: bool
) -> Iterator[Chunk]:
    """Read inputs one after the other and cut them into chunks; none spans two inputs.

    Parameters
    ----------
    inputs : sequence of Input
    records_per_chunk : int
    trust_columns : bool
        Read `TRUSTED_COLUMNS` as well.

    Raises
    ------
    DataError
        If an input is damaged, or is not a list of structures.
    """
    n_bytes = max(sum(source.size for source in inputs), 1)
    n_bytes_before = 0
    number = 0
    columns = TRUSTED_COLUMNS if trust_columns else ()
    for index, source in enumerate(inputs):
        with open_structures(as_path(source.path), columns) as structures:
            while piece := list(islice(structures.records, records_per_chunk)):
                yield Chunk(
                    number=number,
                    source=source.path,
                    source_index=index,
                    unit=structures.unit,
                    records=[item for item in piece if isinstance(item, StructureRecord)],
                    faults=[
                        (item.number, Fault(item.code, FAULTS[item.code], item.text))
                        for item in piece
                        if isinstance(item, UnusableRecord)
                    ],
                    share_read=(n_bytes_before + source.size * structures.share_read()) / n_bytes,
                )
                number += 1
        n_bytes_before += source.size
