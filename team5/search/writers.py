"""Answers as files by their ending: tables, JSON, and simulated spectra for other programs."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from team5.errors import ConfigError
from team5.inference.results import Answer, Simulation, is_ranking
from team5.inference.tables import MATCH_COLUMNS, SIMULATION_COLUMNS, table_rows
from team5.runtime.storage import (
    is_remote,
    put_in_place,
    storage_errors,
    write_whole,
    writing_whole,
)
from team5.search.mztab import write_mztab
from team5.search.rows import ARROW_TYPES, to_answer
from team5.search.spectra import LeftOut
from team5.search.spectrum_files import Named, write_mgf, write_msp, write_mzspeclib

Tables = Iterable[pa.Table]

# Rows with their peaks in memory before they become a row group.
_GROUP_BYTES = 32 << 20
_STAGED = "_output"  # whose underscore hides it from readers of the workplace as a dataset
_MAX_XLSX_ROWS = 1_048_576
# By which spreadsheets know that a .csv is no text of the local code page.
_WITH_BOM = "utf-8-sig"
# Written with four digits in text.
_PROBABILITIES = {"confidence", "probability", "threshold"}
# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_hits(tables: Tables, path: Path, workplace: Path, schema: pa.Schema) -> int:
    """Write the rows of a search to a file by its ending; it is there whole or not at all.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        All rows of a spectrum in one of them.
    path : Path
        Takes the place of what was there; without rows it is an empty table. A row per candidate,
        or, as JSON, a value per spectrum. Text and spreadsheets have the m/z and formulas of
        explained peaks only.
    workplace : Path
        A folder on the same disk, where the file is until it is whole.
    schema : pyarrow.Schema
        Of the tables.

    Returns
    -------
    int
        How many rows there were.

    Raises
    ------
    ConfigError
        If a spreadsheet cannot hold so many rows.
    StorageError
        If it cannot be written; what was there before is untouched.
    """
    staged = workplace / _STAGED
    counted = _Counted(tables)
    with storage_errors(path):
        ending = path.suffix.lower()
        if ending in _JSON:
            _JSON[ending](by_spectrum(counted), staged)
        else:
            _TABLES[ending](counted, staged, schema)
        put_in_place(staged, path)
    return counted.n_rows


def left_out_path(path: Path) -> Path:
    """Return the file next to an output that names the spectra without answers."""
    return path.with_name(f"{path.name}.left_out.csv")


def write_left_out(left_out: Iterable[LeftOut], output: Path, workplace: Path) -> None:
    """Write what was left out, and why, next to an output; no file where nothing was."""
    path = left_out_path(output)
    staged = workplace / _STAGED
    with storage_errors(path):
        with _open_text(staged, encoding=_WITH_BOM) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["spectrum", "identifier", "reason", "place", "notes"])
            n_rows = 0
            for entry in left_out:
                cells = entry.spectrum or "", *astuple(entry)[1:]
                rows.writerow([_cell(cell) for cell in cells])
                n_rows += 1
        if n_rows:
            put_in_place(staged, path)
        else:
            path.unlink(missing_ok=True)


def by_spectrum(tables: Tables) -> Iterator[dict[str, Any]]:
    """Yield the rows of each spectrum as one value, its candidates best first."""
    for table in tables:
        for _, rows in groupby(table.to_pylist(), key=itemgetter("spectrum")):
            yield to_answer(list(rows))


def write_answers(answers: Answer | Sequence[Answer], path: str | Path) -> int:
    """Write answers of `infer` to a file by its ending; it is there whole or not at all.

    JSON holds whole answers; tables a row per candidate, or per peak of a simulated spectrum;
    ``.mgf`` and ``.msp`` simulated spectra only.

    Returns
    -------
    int
        How many answers there were; with none, no file is written.

    Raises
    ------
    ConfigError
        If the file's ending is none of these, or one for other answers.
    StorageError
        If the file cannot be written; what was there before is untouched.
    """
    path = check_output_path(path)
    listed = [answers] if isinstance(answers, Answer) else answers
    simulations = [answer for answer in listed if isinstance(answer, Simulation)]
    if not listed:
        return 0
    check_output_kind(path, is_simulation=len(simulations) > 0)
    ending = path.suffix.lower()
    with writing_whole(path) as staged, storage_errors(path):
        if ending in SPECTRA_ENDINGS:
            write_spectra(((simulation, "") for simulation in simulations), staged, ending)
        elif ending in _JSON:
            write = _write_jsonl if isinstance(answers, Answer) else _JSON[ending]
            write((answer.to_dict() for answer in listed), staged)
        else:
            columns = SIMULATION_COLUMNS if simulations else MATCH_COLUMNS
            schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
            # All candidates of a spectrum stand in one table.
            groups = [listed] if is_ranking(listed) else [[answer] for answer in listed]
            tables = (
                pa.Table.from_pylist(list(chain.from_iterable(map(table_rows, group))), schema)
                for group in groups
            )
            _TABLES[ending](tables, staged, schema)
    return len(listed)


def write_spectra(named: Named, path: Path, ending: str) -> int:
    """Write simulated spectra with their names, or "", to a file; return how many there were."""
    count = 0

    def counted() -> Iterator[tuple[Simulation, str]]:
        nonlocal count
        for pair in named:
            count += 1
            yield pair

    with _open_text(path) as file:
        _SPECTRA[ending](counted(), file)
    return count


def check_output_path(
    path: str | Path,
    read_from: Iterable[str | None] = (),
    versions: str | None = None,
    endings: Iterable[str] | None = None,
) -> Path:
    """Check the ending and the folder of an output file, and return its path.

    Raises
    ------
    ConfigError
        If its ending is none of ``endings`` (by default those that answers are written with),
        there is no such folder, or it is one of the files that are read, or lies among the
        ``versions``.
    """
    real = Path(os.path.realpath(path))
    sources = [os.path.realpath(source) for source in read_from if source is not None]
    fault = _path_fault(path, tuple(ENDINGS if endings is None else endings))
    if fault is None and str(real) in sources:
        fault = " is also read from. Choose another name."
    if fault is None and versions is not None and real.is_relative_to(os.path.realpath(versions)):
        fault = f" lies in {versions}/, where versions are kept. Choose another folder."
    if fault is not None:
        raise ConfigError(f"output={path}{fault}", argument="output")
    return real  # a link stays one, its target is replaced


def _path_fault(path: str | Path, endings: tuple[str, ...]) -> str | None:
    """Return why no file can be written there, as the end of a sentence."""
    if is_remote(path):
        return ": results are written to a local disk. Copy them when they are whole."
    path, choices = Path(path), ", ".join(endings)
    if path.suffix.lower() not in endings:
        ending = f"ending {path.suffix!r}" if path.suffix else "no ending"
        return f" has {ending}. Choose one of {choices}."
    if path.is_dir():
        return f" is a folder. Name a file, ending in one of {choices}."
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}. Make it first."
    return None


def check_output_kind(path: str | Path, *, is_simulation: bool) -> None:
    """Refuse an output file whose ending does not hold such answers.

    Raises
    ------
    ConfigError
    """
    ending = Path(path).suffix.lower()
    if ending == ".mztab" and is_simulation:
        raise ConfigError(
            f"output={path}: .mztab holds matches and rankings, not simulated spectra. Choose "
            f"another of {', '.join(ENDINGS)}.",
            argument="output",
        )
    if ending in _SPECTRA and not is_simulation:
        raise ConfigError(
            f"output={path}: {ending} holds simulated spectra, not matches or rankings. Choose one "
            f"of {', '.join(TABLE_ENDINGS)}, or give structures alone to simulate them.",
            argument="output",
        )


def write_json_file(value: object, path: str | Path) -> None:
    """Write a value as a JSON file, whole or not at all; errors are those of `write_text_file`."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_text_file(text, path, endings=(".json",))


def write_text_file(text: str, path: str | Path, *, endings: Iterable[str]) -> None:
    """Write a text file, whole or not at all.

    Raises
    ------
    ConfigError
        If the path is no file that can be written, or has another ending.
    StorageError
        If the folder cannot be written or the disk is full.
    """
    path = check_output_path(path, endings=endings)
    with storage_errors(path):
        write_whole(path, text.encode())


def to_json(value: Mapping[str, Any]) -> str:
    """Return an answer as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Counted:
    """Tables that are counted as they pass."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.n_rows = 0

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self._tables:
            self.n_rows += len(table)
            yield table


def _write_parquet(tables: Tables, path: Path, schema: pa.Schema) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(tables):
            writer.write_table(group, row_group_size=len(group))


def _groups(tables: Tables) -> Iterator[pa.Table]:
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(part.nbytes for part in group) >= _GROUP_BYTES:
            yield pa.concat_tables(group)
            group = []
    if rest := [part for part in group if len(part)]:
        yield pa.concat_tables(rest)


def _write_csv(tables: Tables, path: Path, schema: pa.Schema, delimiter: str = ",") -> None:
    with _open_text(path, encoding=_WITH_BOM if delimiter == "," else "utf-8") as file:
        rows = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        rows.writerow([_cell(name) for name in _flat_names(schema)])
        for row in _flat_rows(tables):
            for name in _PROBABILITIES & row.keys():
                row[name] = None if row[name] is None else f"{row[name]:.4g}"
            rows.writerow([_cell(value) for value in row.values()])


def _write_tsv(tables: Tables, path: Path, schema: pa.Schema) -> None:
    _write_csv(tables, path, schema, "\t")


def _write_xlsx(tables: Tables, path: Path, schema: pa.Schema) -> None:
    import xlsxwriter  # here to start quickly

    plain = {"strings_to_formulas": False, "strings_to_urls": False, "constant_memory": True}
    with xlsxwriter.Workbook(str(path), plain) as book:
        sheet = book.add_worksheet("answers")
        sheet.write_row(0, 0, _flat_names(schema), book.add_format({"bold": True}))
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(_flat_rows(tables), start=1):
            if number >= _MAX_XLSX_ROWS:
                raise ConfigError(
                    f".xlsx holds at most {_MAX_XLSX_ROWS:,} rows. Choose .parquet or .csv, or a "
                    "smaller keep=.",
                    argument="output",
                )
            sheet.write_row(number, 0, list(row.values()))


def _write_json(values: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a list with one value to a line, so that long lists stream and compare well."""
    with _open_text(path) as file:
        before = "[\n"
        for value in values:
            file.write(before + to_json(value))
            before = ",\n"
        file.write("[]\n" if before == "[\n" else "\n]\n")


def _write_jsonl(values: Iterable[Mapping[str, Any]], path: Path) -> None:
    with _open_text(path) as file:
        file.writelines(f"{to_json(value)}\n" for value in values)


def _flat_names(schema: pa.Schema) -> list[str]:
    return ["explained_peaks" if name == "peaks" else name for name in schema.names]


def _flat_rows(tables: Tables) -> Iterator[dict[str, Any]]:
    """Yield rows of text and numbers: of the explained peaks their m/z and formulas."""
    for table in tables:
        for row in table.to_pylist():
            if "peaks" in row:
                row["peaks"] = " ".join(f"{p['mz']:.4f}:{p['formula']}" for p in row["peaks"])
            yield row


def _cell(value: Any) -> Any:
    """Return a cell of a text table, none of which a spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return json.dumps(value)  # as JSON and most table readers write it, not Python's "True"
    if isinstance(value, str) and value.startswith(_FORMULA) and not is_number(value):
        return f"'{value}"
    return value


def is_number(text: str) -> bool:
    """Tell whether a text is one number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _open_text(path: Path, encoding: str = "utf-8") -> IO[str]:
    return path.open("w", encoding=encoding, newline="")


_TABLES: dict[str, Callable[[Tables, Path, pa.Schema], None]] = {
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".xlsx": _write_xlsx,
    ".parquet": _write_parquet,
    ".mztab": write_mztab,
}
_JSON: dict[str, Callable[[Iterable[Mapping[str, Any]], Path], None]] = {
    ".json": _write_json,
    ".jsonl": _write_jsonl,
}
_SPECTRA: dict[str, Callable[[Named, IO[str]], None]] = {
    ".mgf": write_mgf,
    ".msp": write_msp,
    ".txt": write_mzspeclib,
}
SPECTRA_ENDINGS = tuple(_SPECTRA)
TABLE_ENDINGS = (*_JSON, *_TABLES)
ENDINGS = (*TABLE_ENDINGS, *SPECTRA_ENDINGS)
