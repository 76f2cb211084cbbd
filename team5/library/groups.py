"""Row groups of a library's files: decoded when needed, and some kept for the next lookup."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from team5.errors import DataError
from team5.library.candidates import TEXT_COLUMNS, complete
from team5.runtime.storage import as_path, is_remote

_MAX_OPEN_FILES = 64
_COLUMNS = (*TEXT_COLUMNS, "exact_mass", "charge")


@dataclass(slots=True)
class ReadCounts:
    """What lookups have cost so far.

    Attributes
    ----------
    n_groups, n_bytes : int
        Row groups decoded, and their compressed bytes in the columns that were read.
    n_from_cache : int
        Row groups that were at hand.
    """

    n_groups: int = 0
    n_bytes: int = 0
    n_from_cache: int = 0


@dataclass(slots=True)
class _OpenFile:
    file: Any
    lock: Any = field(default_factory=threading.Lock)


class GroupReader:
    """Decodes row groups and keeps those used last, up to a size.

    Safe for threads; a forked process begins with an empty store of its own.

    Attributes
    ----------
    counts : ReadCounts
    """

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._tables: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._n_cached_bytes = 0
        self.counts = ReadCounts()

    def read(self, path: str, group: int, n_rows: int) -> pa.Table:
        """Return a row group with the columns of candidates, checked to be in order of mass.

        Raises
        ------
        DataError
            If the file is not there, damaged, of another size, or not in order.
        """
        if os.getpid() != self._pid:
            # Locks and open files of the process this one was forked from are of no use here.
            self._reset()
        key = (path, group)
        with self._lock:
            if (table := self._tables.get(key)) is not None:
                self._tables.move_to_end(key)
                self.counts.n_from_cache += 1
                return table
        table, n_bytes = self._decode(path, group, n_rows)
        size = table.nbytes
        with self._lock:
            self.counts.n_groups += 1
            self.counts.n_bytes += n_bytes
            if key not in self._tables and size <= self._cache_bytes:
                self._tables[key] = table
                self._n_cached_bytes += size
                while self._n_cached_bytes > self._cache_bytes:
                    _, oldest = self._tables.popitem(last=False)
                    self._n_cached_bytes -= oldest.nbytes
        return table

    def _decode(self, path: str, group: int, n_rows: int) -> tuple[pa.Table, int]:
        try:
            opened = self._open(path)
            # Arrow's readers are not for several threads at once.
            with opened.lock:
                metadata = opened.file.metadata.row_group(group)
                present = opened.file.schema_arrow.names
                columns = [name for name in _COLUMNS if name in present]
                # Arrow's own threads do not survive a fork.
                table = opened.file.read_row_group(group, columns=columns, use_threads=False)
            table = complete(table).combine_chunks()
            masses = table["exact_mass"].to_numpy()
        except (pa.ArrowException, OSError, IndexError) as error:
            raise DataError(
                f"{path}: cannot be read or is damaged ({str(error).splitlines()[0]}). Build the "
                "library again."
            ) from error
        if len(table) != n_rows:
            raise DataError(f"{path}: has changed since it was opened. Open the library anew.")
        # Written so that NaN fails as well.
        if not np.all(masses[1:] >= masses[:-1]) or not np.all(np.isfinite(masses)):
            raise DataError(unsorted(path))
        chosen = set(columns)
        n_bytes = sum(
            metadata.column(i).total_compressed_size
            for i in range(metadata.num_columns)
            if metadata.column(i).path_in_schema in chosen
        )
        return table, n_bytes

    def _open(self, path: str) -> _OpenFile:
        with self._lock:
            if path not in self._files:
                self._files[path] = _OpenFile(open_parquet(as_path(path)))
                if len(self._files) > _MAX_OPEN_FILES:
                    self._files.popitem(last=False)
            self._files.move_to_end(path)
            return self._files[path]


def open_parquet(place: Path) -> pq.ParquetFile:
    """Open a Parquet file on the disk or on object storage."""
    return pq.ParquetFile(place.open("rb") if is_remote(str(place)) else place)


def unsorted(path: str) -> str:
    """Return what to say of a file whose rows are not in order of mass."""
    return (
        f"{path}: its rows are not sorted by exact_mass. Make a library of it: "
        f"python -m team5.library build {path} OUTPUT"
    )
