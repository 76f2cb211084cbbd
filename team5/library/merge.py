"""From runs to the parts of a library: range of mass by range of mass, one in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from team5.library.manifest import Part
from team5.library.rows import SCHEMA, by_mass, deduplicate
from team5.library.runs import Run
from team5.runtime.storage import put_in_place, sha256, write_whole
from team5.runtime.strict_json import read_object, to_json

# A lookup decodes one or two groups: at 8,192 rows a millisecond each, and smaller groups make
# the files' footers, which have to be read too, as large as what is looked up.
ROWS_PER_GROUP = 8_192
ROWS_PER_PART = 128 * ROWS_PER_GROUP
_ROWS_PER_RANGE = 1 << 18
_SAMPLE_EVERY = 64  # rows; ranges are off by at most so many rows of each run
_STATE_NAME = "merge.json"
_REMEDY = "Delete it and run the same command: only the merge is done anew."


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """How many rows go into a row group, a part, and a range held in memory."""

    per_group: int = ROWS_PER_GROUP
    per_part: int = ROWS_PER_PART
    per_range: int = _ROWS_PER_RANGE


def merge(
    runs: Sequence[Run],
    folder: Path,
    limits: MergeLimits = MergeLimits(),
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[Part]:
    """Write the rows of all runs into parts, ordered by mass and each structure once.

    What is written depends on the rows alone, not on which run they are in. A merge that was
    broken off goes on behind the last finished part.

    Parameters
    ----------
    runs : sequence of Run
    folder : Path
        A local folder for the parts.
    limits : MergeLimits
        A part holds whole row groups. A range is at least one step of mass, 1e-4 u, however many
        rows that has.
    on_progress : callable
        Told which share of the rows is merged, 0 to 1.

    Returns
    -------
    list of Part
    """
    state_path = folder / _STATE_NAME
    state = read_object(state_path, _REMEDY) if state_path.exists() else {}
    if state.get("limits") != asdict(limits):
        borders = _borders(runs, limits.per_range)
        state = {
            "limits": asdict(limits), "borders": borders, "parts": [], "range": 0, "skip": 0,
        }  # fmt: skip
        write_whole(state_path, to_json(state, _STATE_NAME))
    parts = [Part(**one) for one in state["parts"]]
    borders = state["borders"]

    def remember(index: int, n_done: int) -> None:
        done = {"parts": [asdict(part) for part in parts], "range": index, "skip": n_done}
        write_whole(state_path, to_json({**state, **done}, _STATE_NAME))

    writer = _PartWriter(folder, limits, n_parts=len(parts))
    for index, table in _ranges(runs, borders, state["range"]):
        n_skipped = state["skip"] if index == state["range"] else 0
        table = table.slice(n_skipped)
        n_done = n_skipped
        while len(table):
            taken = table.slice(0, writer.room)
            n_done += len(taken)
            table = table.slice(len(taken))
            if (part := writer.write(taken)) is not None:
                parts.append(part)
                remember(index, n_done)
        on_progress((index + 1) / (len(borders) + 1))
    if (part := writer.close()) is not None:
        parts.append(part)
        remember(len(borders) + 1, 0)
    return parts


def _borders(runs: Sequence[Run], rows_per_range: int) -> list[int]:
    """Return steps of mass that cut the rows of all runs into ranges of about one size."""
    samples = [run.sample_keys(_SAMPLE_EVERY) for run in runs if run.n_rows]
    if not samples:
        return []
    keys = np.sort(np.concatenate(samples))
    n_ranges = -(-sum(run.n_rows for run in runs) // rows_per_range)
    at = np.arange(1, n_ranges) * len(keys) // n_ranges
    return [int(key) for key in np.unique(keys[at]) if key > keys[0]]


def _ranges(
    runs: Sequence[Run], borders: Sequence[int], first: int
) -> Iterator[tuple[int, pa.Table]]:
    edges = [0, *borders, int(np.iinfo(np.int64).max)]
    for index in range(first, len(edges) - 1):
        read = (run.read(edges[index], edges[index + 1]) for run in runs)
        tables = [table for table in read if table is not None]
        if tables:
            yield index, by_mass(deduplicate(pa.concat_tables(tables).combine_chunks()))


class _PartWriter:
    """Cuts rows into row groups and parts of fixed sizes."""

    def __init__(self, folder: Path, limits: MergeLimits, n_parts: int) -> None:
        self._folder = folder
        self._limits = limits
        self._n_parts = n_parts
        self._buffer: list[pa.Table] = []
        self._n_buffered = 0
        self._n_written = 0
        self._writer: pq.ParquetWriter | None = None

    @property
    def room(self) -> int:
        """Rows that the part still takes."""
        return self._limits.per_part - self._n_written - self._n_buffered

    def write(self, table: pa.Table) -> Part | None:
        """Take rows, at most as many as there is room for; return the part if it is full."""
        self._buffer.append(table)
        self._n_buffered += len(table)
        if self._n_buffered >= self._limits.per_group:
            rows = pa.concat_tables(self._buffer)
            n_whole = len(rows) // self._limits.per_group * self._limits.per_group
            self._write_groups(rows.slice(0, n_whole))
            rest = rows.slice(n_whole)
            self._buffer, self._n_buffered = [rest], len(rest)
        return self.close() if self.room == 0 else None

    def close(self) -> Part | None:
        """Finish the part, if one is begun."""
        if self._n_buffered:
            self._write_groups(pa.concat_tables(self._buffer))
        if self._writer is None:
            return None
        self._writer.close()
        path = self._path()
        put_in_place(self._temporary(), path)
        part = describe_part(path)
        self._n_parts += 1
        self._writer, self._buffer, self._n_buffered, self._n_written = None, [], 0, 0
        return part

    def _path(self) -> Path:
        return self._folder / f"part-{self._n_parts:05}.parquet"

    def _temporary(self) -> Path:
        return self._folder / f"part-{self._n_parts:05}.tmp"

    def _write_groups(self, rows: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._temporary(),
                SCHEMA,
                compression="zstd",
                use_dictionary=["formula", "exact_mass", "charge", "n_heavy_atoms"],
                write_page_index=True,
            )
        for start in range(0, len(rows), self._limits.per_group):
            # In one piece, so that the bytes written do not depend on where ranges began.
            group = rows.slice(start, self._limits.per_group).combine_chunks()
            self._writer.write_table(group, row_group_size=self._limits.per_group)
            self._n_written += len(group)
        self._n_buffered = 0
        self._buffer = []


def describe_part(path: Path) -> Part:
    """Return what the manifest says of a part."""
    metadata: Any = pq.read_metadata(path)
    at = SCHEMA.get_field_index("exact_mass")
    groups = [metadata.row_group(i).column(at).statistics for i in range(metadata.num_row_groups)]
    return Part(
        file=path.name,
        n_rows=metadata.num_rows,
        size=path.stat().st_size,
        sha256=sha256(path),
        min_masses=tuple(group.min for group in groups),
        max_masses=tuple(group.max for group in groups),
    )
