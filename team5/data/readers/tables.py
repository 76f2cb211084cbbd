"""Readers of Parquet and CSV tables with the column names of MassSpecGym or their synonyms."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from team5.data.metadata import fields_of, meaning_of
from team5.data.readers.numbers import Numbers
from team5.data.readers.packed import Unpacked, open_unpacked, shown_columns
from team5.data.records import Record, leave_out, record_of
from team5.errors import DataError, DataFileNotFoundError

Progress = Callable[[float], None] | None
Reader = Callable[[Path, Counter[str], Progress], Iterator[Record]]

REQUIRED_COLUMNS = ("mzs", "intensities")
# In addition, the columns of the prepared table are read.
OPTIONAL_COLUMNS = (
    "identifier", "smiles", "inchikey", "formula", "adduct", "precursor_mz", "instrument_type",
    "collision_energy", "fold", "inchikey14", "ion_mode", "license", "contributor",
)  # fmt: skip
# A cell of the longest spectrum taken; the module's own limit is 131,072.
_MAX_CELL_SIZE = 10_000_000

_PARQUET_MAGIC = b"PAR1"
_READ_AT_ONCE = 1 << 16  # bytes of a column


def is_parquet(path: Path, remedy: str) -> bool:
    """Tell by its first bytes whether a file is Parquet.

    Raises
    ------
    DataFileNotFoundError
        If it is not there; ends with the remedy.
    DataError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{path}: no such file. {remedy}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the file.") from error


def read_texts(
    path: Path, required: Sequence[str], *, optional: Sequence[str] = (), remedy: str
) -> dict[str, list[str]]:
    """Return columns of a CSV or Parquet table as stripped text; "" where empty.

    Raises
    ------
    DataFileNotFoundError, DataError
        If the file is missing, is not such a table, or lacks a required column; ends with the
        remedy.
    """
    import polars as pl

    is_binary = is_parquet(path, remedy)
    try:
        table = (
            pl.scan_parquet(path)
            if is_binary
            else pl.scan_csv(path, infer_schema=False, truncate_ragged_lines=True)
        )
        present = table.collect_schema().names()
        if missing := [name for name in required if name not in present]:
            raise DataError(
                f"{path}: no column {' and '.join(missing)}; there are "
                f"{', '.join(present) or 'none'}. {remedy}"
            )
        columns = [name for name in (*required, *optional) if name in present]
        texts = pl.col(columns).cast(pl.String).fill_null("").str.strip_chars()
        return table.select(texts).collect().to_dict(as_series=False)
    except pl.exceptions.PolarsError as error:
        fault = "not a readable Parquet file" if is_binary else "neither CSV (UTF-8) nor Parquet"
        raise DataError(f"{path}: {fault} ({error}). {remedy}") from error


def reader_by_content(head: str) -> Reader | None:
    """Return the CSV reader if the first line names the columns of peaks."""
    first_line = head.lstrip("\ufeff").split("\n", 1)[0]
    names = {name.strip(' "\r').casefold() for name in re.split(r"[,;\t|]", first_line)}
    return iter_csv if names.issuperset(REQUIRED_COLUMNS) else None


def iter_parquet(
    path: Path,
    skipped: Counter[str],
    on_progress: Progress = None,
    *,
    required: tuple[str, ...] = REQUIRED_COLUMNS,
    fold: str | None = None,
) -> Iterator[Record]:
    """Yield the records of a Parquet file; `mzs` and `intensities` are lists, or text as in CSV.

    With ``fold`` only its rows are read and counted, the others ignored.
    """
    import pyarrow as pa  # here to start quickly
    import pyarrow.parquet as pq

    rows = _Rows(path, skipped, lambda: iter(()))
    try:
        # By default Arrow keeps what it has read ahead until the file is closed.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_AT_ONCE) as table:
            columns = _columns(table.schema_arrow.names, path, required)
            n_rows = max(table.metadata.num_rows, 1)
            number = 0
            for batch in table.iter_batches(batch_size=4096, columns=list(columns)):
                cells = {columns[name]: batch.column(name) for name in batch.schema.names}
                for index in range(batch.num_rows):
                    number += 1
                    if not _is_of(fold, cells["fold"][index].as_py() if fold else None):
                        continue
                    row = {name: _value(column[index]) for name, column in cells.items()}
                    yield from rows.build(row, number)
                if on_progress:
                    on_progress(number / n_rows)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged Parquet file ({error}). Write it again.") from error


def iter_csv(
    path: Path,
    skipped: Counter[str],
    on_progress: Progress = None,
    *,
    required: tuple[str, ...] = REQUIRED_COLUMNS,
    fold: str | None = None,
) -> Iterator[Record]:
    """Yield the records of a CSV or TSV file with one spectrum per line.

    `mzs` and `intensities` are numbers separated by commas or blanks, or a JSON list, in one cell.
    With ``fold`` only its rows are read and counted, the others ignored.
    """
    rows = _Rows(path, skipped, lambda: _samples(path))
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_SIZE))
    with open_unpacked(path) as file:
        lines = _csv_rows(file)
        try:
            columns = _columns(lines.fieldnames or [], path, required)
            for number, cells in enumerate(lines, start=1):
                if on_progress:
                    on_progress(file.share_read())
                if None in cells or None in cells.values():
                    leave_out(skipped, "n_columns_differ", f"line {lines.line_num}")
                    continue
                row = {columns[name]: text for name, text in cells.items() if name in columns}
                if _is_of(fold, row.get("fold")):
                    yield from rows.build(row, number)
        except csv.Error as error:
            raise DataError(f"{path}, line {lines.line_num}: {error}. Write it again.") from error


def _csv_rows(file: Unpacked) -> "csv.DictReader[str]":
    """Return a reader of a table's rows, its delimiter told by the first line."""
    text = file.text()
    first_line = text.readline()
    return csv.DictReader(chain((first_line,), text), delimiter=max("\t;,|", key=first_line.count))


def _is_of(fold: str | None, text: object) -> bool:
    return fold is None or str(text or "").strip().casefold() == fold


def _columns(names: list[str] | Any, path: Path, required: tuple[str, ...]) -> dict[str, str]:
    """Return the known columns of a table: its spelling mapped to ours."""
    columns = {}
    for name in names:
        folded = str(name).strip().casefold()
        if folded in REQUIRED_COLUMNS or folded in OPTIONAL_COLUMNS:
            columns[name] = folded
        elif meaning_of(str(name))[0]:
            columns[name] = str(name)
    missing = [name for name in required if name not in columns.values()]
    if missing:
        raise DataError(
            f"{path}: no column {' and '.join(missing)}. It has {shown_columns(names)}; "
            f"needed are {', '.join(required)}, read too: "
            f"{', '.join(name for name in OPTIONAL_COLUMNS if name not in required)}. "
            "Rename the columns."
        )
    return columns


class _Rows:
    """Makes records of a table's rows."""

    def __init__(
        self, path: Path, skipped: Counter[str], samples: Callable[[], Iterator[tuple[str, str]]]
    ) -> None:
        self.stem = path.name.split(".")[0]
        self.skipped = skipped
        self.numbers = Numbers(path, samples)

    def build(self, row: Mapping[str, Any], number: int) -> Iterator[Record]:
        """Yield the record of a row, or count why there is none."""
        place = f"row {number}"
        try:
            mzs, intensities = self._list(row.get("mzs")), self._list(row.get("intensities"))
        except DataError:  # of the whole file
            raise
        except (ValueError, RecursionError):
            leave_out(self.skipped, "peaks_not_understood", place)
            return
        fields = fields_of((key, text) for key, text in row.items() if key not in REQUIRED_COLUMNS)
        if "precursor_mz" in fields:
            fields["precursor_mz"] = self.numbers.in_field(fields["precursor_mz"])
        # MassSpecGym has converted all its energies to eV and omits the unit.
        if re.fullmatch(r"\d+(\.\d+)?", fields.get("collision_energy", "")):
            fields["collision_energy"] += " eV"
        name = f"{self.stem}-{number}"
        record = record_of(self.skipped, fields, mzs, intensities, name=name, place=place)
        if record is not None:
            yield record

    def _list(self, cell: Any) -> Any:
        """Return the numbers of a cell: arrays unchanged, text parsed."""
        if cell is None:
            return []
        if not isinstance(cell, str):
            return cell
        text = cell.strip()
        if text.startswith("["):
            try:
                return json.loads(text)
            except ValueError:
                text = text.strip("[]")  # as numpy prints an array: [1. 2. 3.]
        tokens = _tokens(text)
        if len(tokens) == 1 and "," in text and not self.numbers.has_decimal_commas:
            tokens = text.split(",")
        return [self.numbers.parse(token) for token in tokens if token]


def _tokens(text: str) -> list[str]:
    """Split a cell at blanks and semicolons; strip trailing commas; inner ones may be decimal."""
    return [token.strip(",") for token in re.split(r"[\s;]+", text) if token.strip(",")]


def _samples(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the numbers of a CSV file whose commas show how it writes numbers."""
    with open_unpacked(path) as file:
        for number, cells in enumerate(_csv_rows(file), start=1):
            for name, cell in cells.items():
                folded = str(name or "").strip().casefold()
                if not isinstance(cell, str) or cell.lstrip().startswith("["):
                    continue
                if folded in REQUIRED_COLUMNS:
                    tokens = _tokens(cell)
                    # Of 110.07,138.06 and 35,100 the commas separate.
                    tokens = cell.split(",") if len(tokens) == 1 else tokens
                elif meaning_of(folded)[0] == "precursor_mz":
                    tokens = [cell.strip()]
                else:
                    continue
                yield from ((token, f"row {number}") for token in tokens)


def _value(scalar: Any) -> Any:
    """Return a Parquet cell as a Python value, lists of peaks as arrays."""
    if hasattr(scalar, "values") and scalar.is_valid:
        return scalar.values.to_numpy(zero_copy_only=False)
    return scalar.as_py()
