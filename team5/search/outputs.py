"""One file of all parts, in the order of the spectra; memory does not grow with their number."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from team5.runtime.storage import put_in_place, storage_errors
from team5.search.rows import OF_SPECTRUM, SCHEMA
from team5.search.spectra import LeftOut

ENDINGS = (".parquet", ".csv", ".jsonl")
# Rows with their peaks in memory before they become a row group.
_GROUP_BYTES = 32 << 20
_STAGED = "_output"  # no part to those who read the workplace as a dataset


def write_hits(tables: Iterable[pa.Table], path: Path, workplace: Path) -> int:
    """Write all rows to a file by its ending; it is there whole or not at all.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Rows as `team5.search.rows.SCHEMA` names them; all rows of a spectrum in one of them.
    path : Path
        Takes the place of what was there; without rows it is an empty table.
        ``.parquet`` or ``.csv``, a row per candidate; or ``.jsonl``, a line per spectrum. CSV
        has the m/z and formulas of explained peaks only.
    workplace : Path
        A folder on the same disk, where the file is until it is whole.

    Returns
    -------
    int
        How many rows there were.

    Raises
    ------
    StorageError
        If it cannot be written; what was there before is untouched.
    """
    staged = workplace / _STAGED
    write = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
    with storage_errors(path):
        n_rows = write[path.suffix.lower()](tables, staged)
        put_in_place(staged, path)
    return n_rows


def left_out_path(path: Path) -> Path:
    """Return the file beside an output that names the spectra without hits."""
    return path.with_name(f"{path.name}.left_out.csv")


def write_left_out(left_out: Iterable[LeftOut], output: Path, workplace: Path) -> None:
    """Write which spectra were left out, and why, beside an output; no file where none was."""
    path = left_out_path(output)
    staged = workplace / _STAGED
    with storage_errors(path):
        with staged.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["spectrum", "identifier", "reason"])
            n_rows = 0
            for one in left_out:
                rows.writerow([one.spectrum, one.identifier, one.reason])
                n_rows += 1
        if n_rows:
            put_in_place(staged, path)
        else:
            path.unlink(missing_ok=True)


def by_spectrum(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield what a table holds as one value for each spectrum, its candidates best first."""
    for _, rows in groupby(table.to_pylist(), key=itemgetter("spectrum")):
        candidates = list(rows)
        yield {
            **{name: candidates[0][name] for name in OF_SPECTRUM},
            "candidates": [
                {name: value for name, value in row.items() if name not in OF_SPECTRUM}
                for row in candidates
            ],
        }


def to_json_line(answer: dict[str, Any]) -> str:
    """Return the hits of a spectrum as JSON on one line."""
    return json.dumps(answer, ensure_ascii=False, allow_nan=False)


def _write_parquet(tables: Iterable[pa.Table], path: Path) -> int:
    n_rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in _groups(tables):
            writer.write_table(group, row_group_size=len(group))
            n_rows += len(group)
    return n_rows


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= _GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if rest := [each for each in waiting if len(each)]:
        yield pa.concat_tables(rest)


def _write_csv(tables: Iterable[pa.Table], path: Path) -> int:
    n_rows = 0
    with _open_text(path) as file:
        names = [*(name for name in SCHEMA.names if name != "peaks"), "explained_peaks"]
        rows = csv.DictWriter(file, names, lineterminator="\n")
        rows.writeheader()
        for table in tables:
            for row in table.to_pylist():
                peaks = row.pop("peaks")
                row["explained_peaks"] = " ".join(f"{p['mz']:.4f}:{p['formula']}" for p in peaks)
                # "true", as JSON and most table readers write it, not Python's "True".
                row["label"] = json.dumps(row["label"])
                rows.writerow(row)
                n_rows += 1
    return n_rows


def _write_jsonl(tables: Iterable[pa.Table], path: Path) -> int:
    n_rows = 0
    with _open_text(path) as file:
        for table in tables:
            file.writelines(f"{to_json_line(answer)}\n" for answer in by_spectrum(table))
            n_rows += len(table)
    return n_rows


def _open_text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="")
