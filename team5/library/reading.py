"""The records of input files, in order and cut into chunks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from team5.errors import DataError
from team5.library.chunks import Chunk, Fault, Record, TrustedColumns
from team5.library.inputs import Input, opened

_UNITS = {"smiles": "line", "sdf": "record", "table": "line", "parquet": "row"}
_SMILES_COLUMN = "smiles"
_NAME_COLUMNS = ("name", "identifier", "id")
_MAX_CELL_SIZE = 10_000_000  # characters
_MAX_SDF_RECORD = 2_000_000  # characters; more than any molecule that is taken
_RECORD_END = "$$$$"
_MOLBLOCK_END = "M  END"

_Item = Record | tuple[int, Fault]


def iter_chunks(
    inputs: Sequence[Input], records_per_chunk: int, *, trust_columns: bool
) -> Iterator[Chunk]:
    """Read inputs one after the other and cut them into chunks; none spans two inputs.

    Parameters
    ----------
    inputs : sequence of Input
    records_per_chunk : int
    trust_columns : bool
        Take ``inchikey14``, ``formula`` and ``exact_mass`` of the tables that have all three.

    Raises
    ------
    DataError
        If an input is damaged, or a table has no column ``smiles``.
    """
    n_bytes = max(sum(source.size for source in inputs), 1)
    n_bytes_before = 0
    number = 0
    for index, source in enumerate(inputs):
        with _reading(source, trust_columns) as (items, share_read):
            while piece := list(islice(items, records_per_chunk)):
                yield Chunk(
                    number=number,
                    source=source.path,
                    source_index=index,
                    unit=_UNITS[source.kind],
                    is_molblock=source.kind == "sdf",
                    records=[item for item in piece if isinstance(item, Record)],
                    faults=[item for item in piece if not isinstance(item, Record)],
                    share_read=(n_bytes_before + source.size * share_read()) / n_bytes,
                )
                number += 1
        n_bytes_before += source.size


@contextmanager
def _reading(
    source: Input, trust_columns: bool
) -> Iterator[tuple[Iterator[_Item], Callable[[], float]]]:
    if source.kind == "parquet":
        try:
            with source.place.open("rb") as raw, pq.ParquetFile(raw) as file:
                n_rows = max(file.metadata.num_rows, 1)
                rows = _ParquetRows(file, source.path, trust_columns)
                yield iter(rows), lambda: rows.n_read / n_rows
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{source.path}: damaged or not readable ({str(error).splitlines()[0]}). Put a "
                "whole file in its place and run the same command with --replace."
            ) from error
        return
    with opened(source) as file:
        if source.kind == "table":
            items = _iter_table(file.text, source.path, trust_columns)
        else:
            items = (_iter_smiles if source.kind == "smiles" else _iter_sdf)(file.text)
        yield items, file.share_read


def _iter_smiles(file: TextIO) -> Iterator[_Item]:
    for number, line in enumerate(file, start=1):
        smiles, _, name = line.strip().replace("\t", " ", 1).partition(" ")
        is_header = number == 1 and smiles.casefold() == _SMILES_COLUMN
        if smiles and not smiles.startswith("#") and not is_header:
            yield Record(number, smiles, name.strip() or None)


def _iter_sdf(file: TextIO) -> Iterator[_Item]:
    number, size = 1, 0
    lines: list[str] = []
    is_complete = False  # properties follow, which are not needed
    for line in file:
        if line.startswith(_RECORD_END):
            yield _sdf_record(number, lines, size, is_complete)
            number, size, is_complete = number + 1, 0, False
            lines = []
            continue
        size += len(line)
        if not is_complete and size <= _MAX_SDF_RECORD:
            lines.append(line.rstrip("\r\n"))
            is_complete = line.startswith(_MOLBLOCK_END)
    if any(line.strip() for line in lines):  # the last one may lack its end
        yield _sdf_record(number, lines, size, is_complete)


def _sdf_record(number: int, lines: list[str], size: int, is_complete: bool) -> _Item:
    title = lines[0].strip() if lines else ""
    if not is_complete:
        reason = "record too long" if size > _MAX_SDF_RECORD else f"no line {_MOLBLOCK_END!r}"
        return number, Fault(reason, title)
    return Record(number, "\n".join(lines) + "\n", title or None)


def _iter_table(file: TextIO, path: str, trust_columns: bool) -> Iterator[_Item]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_SIZE))
    header = file.readline()
    delimiter = max("\t;,", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    columns = _known_columns(names, path, trust_columns)
    rows = csv.reader(file, delimiter=delimiter)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield rows.line_num + 1, Fault("row not understood", str(error))
            continue
        number = rows.line_num + 1  # the header was read apart
        if len(cells) == len(names):
            yield _table_record(number, {ours: cells[at] for ours, at in columns.items()})
        elif any(cell.strip() for cell in cells):
            yield (
                number,
                Fault("another number of columns than the header", delimiter.join(cells)),
            )


class _ParquetRows:
    """The rows of a Parquet file, a few thousand at a time in memory."""

    def __init__(self, file: pq.ParquetFile, path: str, trust_columns: bool) -> None:
        self.n_read = 0
        self._file = file
        names = file.schema_arrow.names
        known = _known_columns(names, path, trust_columns)
        self._columns = {ours: names[at] for ours, at in known.items()}

    def __iter__(self) -> Iterator[_Item]:
        wanted = list(self._columns.values())
        for batch in self._file.iter_batches(batch_size=4096, columns=wanted, use_threads=False):
            values = [batch.column(name).to_pylist() for name in wanted]
            for cells in zip(*values, strict=True):
                self.n_read += 1
                yield _table_record(self.n_read, dict(zip(self._columns, cells, strict=True)))


def _known_columns(names: Sequence[str], path: str, trust_columns: bool) -> dict[str, int]:
    """Return where the columns stand that are read."""
    lowered = [str(name).strip().casefold() for name in names]
    if _SMILES_COLUMN not in lowered:
        raise DataError(
            f"{path}: no column {_SMILES_COLUMN}; there are {', '.join(map(str, names)) or 'none'}."
            " Rename the column that holds the structures."
        )
    columns = {_SMILES_COLUMN: lowered.index(_SMILES_COLUMN)}
    for name in _NAME_COLUMNS:
        if name in lowered:
            columns["name"] = lowered.index(name)
            break
    if trust_columns and all(name in lowered for name in TrustedColumns._fields):
        columns |= {name: lowered.index(name) for name in TrustedColumns._fields}
    return columns


def _table_record(number: int, cells: dict[str, Any]) -> _Item:
    smiles, name = cells[_SMILES_COLUMN], cells.get("name")
    trusted = None
    if "exact_mass" in cells:
        trusted = TrustedColumns(*(cells[column] for column in TrustedColumns._fields))
    text = "" if name is None else str(name).strip()
    return Record(number, "" if smiles is None else str(smiles), text or None, trusted)
