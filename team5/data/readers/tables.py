"""Parquet and CSV tables with the column names of MassSpecGym."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from team5.data.records import Record, make_record
from team5.errors import DataError, DataFileNotFoundError

Progress = Callable[[float], None] | None
Reader = Callable[[Path, Counter[str], Progress], Iterator[Record]]

REQUIRED_COLUMNS = ("mzs", "intensities")
# Beyond these, what the prepared table has is read as well.
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


def reader_by_content(head: str) -> Reader | None:
    """Return the CSV reader if the first line names the columns of peaks."""
    first_line = head.lstrip("\ufeff").split("\n", 1)[0]
    names = {name.strip(' "\r').casefold() for name in re.split(r"[,;\t]", first_line)}
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

    With ``fold`` only its rows are read and counted, the others passed over.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

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
                    yield from _to_record(row, f"{path.stem}-{number}", skipped)
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
    With ``fold`` only its rows are read and counted, the others passed over.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_SIZE))
    size = max(path.stat().st_size, 1)
    done = 0
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first_line = file.readline()
        file.seek(0)
        delimiter = max("\t;,", key=first_line.count)
        rows = csv.DictReader(file, delimiter=delimiter)
        try:
            columns = _columns(rows.fieldnames or [], path, required)
            for number, cells in enumerate(rows, start=1):
                if None in cells or None in cells.values():
                    skipped["another number of columns than the header"] += 1
                    continue
                row = {columns[name]: text for name, text in cells.items() if name in columns}
                if on_progress:
                    done += sum(len(text) + 1 for text in cells.values())
                    on_progress(min(done / size, 1.0))
                if _is_of(fold, row.get("fold")):
                    yield from _to_record(row, f"{path.stem}-{number}", skipped)
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: {error}. Write it again.") from error


def _is_of(fold: str | None, text: object) -> bool:
    return fold is None or str(text or "").strip().casefold() == fold


def _columns(names: list[str] | Any, path: Path, required: tuple[str, ...]) -> dict[str, str]:
    """Return the known columns of a table: its own spelling to ours."""
    known = {}
    for name in names:
        folded = str(name).strip().casefold()
        if folded in REQUIRED_COLUMNS or folded in OPTIONAL_COLUMNS:
            known[name] = folded
    missing = [name for name in required if name not in known.values()]
    if missing:
        raise DataError(
            f"{path}: no column {' and '.join(missing)}. It has {', '.join(map(str, names))}; "
            f"needed are {', '.join(required)}, read too: "
            f"{', '.join(name for name in OPTIONAL_COLUMNS if name not in required)}. "
            "Rename the columns."
        )
    return known


def _to_record(row: Mapping[str, Any], fallback: str, skipped: Counter[str]) -> Iterator[Record]:
    try:
        mzs, intensities = _numbers(row["mzs"]), _numbers(row["intensities"])
    except ValueError:
        skipped["peak list not understood"] += 1
        return
    record = make_record(
        skipped,
        mzs,
        intensities,
        identifier=str(row.get("identifier") or "").strip() or fallback,
        precursor_mz=row.get("precursor_mz"),
        adduct=row.get("adduct"),
        collision_energy=_energy(row.get("collision_energy")),
        instrument_type=row.get("instrument_type"),
        ion_mode=row.get("ion_mode"),
        smiles=row.get("smiles"),
        inchikey=row.get("inchikey") or row.get("inchikey14"),
        formula=row.get("formula"),
        license=row.get("license"),
        contributor=row.get("contributor"),
        fold=row.get("fold"),
    )
    if record is not None:
        yield record


def _value(scalar: Any) -> Any:
    """Return a Parquet cell as a Python value, lists of peaks as arrays."""
    if hasattr(scalar, "values") and scalar.is_valid:
        return scalar.values.to_numpy(zero_copy_only=False)
    return scalar.as_py()


def _numbers(cell: Any) -> Any:
    """Return the numbers of a cell: an array as it is, text parsed."""
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
    return [float(number) for number in re.split(r"[\s,;]+", text) if number]


def _energy(value: Any) -> Any:
    """Return a collision energy; MassSpecGym has turned all to eV and left the unit out."""
    text = str(value if value is not None else "").strip()
    return f"{text} eV" if re.fullmatch(r"\d+(\.\d+)?", text) else value
