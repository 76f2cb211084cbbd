"""Row groups of a library's files: an index by mass, and a cache of decoded ones."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from team5.errors import DataError, DataFileNotFoundError
from team5.library.candidates import TEXT_COLUMNS, complete
from team5.library.manifest import Manifest
from team5.runtime.storage import as_path, is_remote

_MAX_FOOTERS = 64
_NEEDED_COLUMNS = ("smiles", "exact_mass")
_COLUMNS = (*TEXT_COLUMNS, "exact_mass", "charge")


class Index:
    """File and mass range of each row group; 28 bytes for each.

    Parameters
    ----------
    files : list of str
    groups : sequence of (file number, group number, rows, lightest, heaviest)
        In order of mass.

    Attributes
    ----------
    files : list of str
    file_numbers, group_numbers, n_rows : array of shape (G,)
        The file of each row group, its number there, and its rows.
    min_masses, max_masses : array of shape (G,)
        In u, ascending.
    """

    def __init__(
        self, files: list[str], groups: Sequence[tuple[int, int, int, float, float]]
    ) -> None:
        self.files = files
        columns = list(zip(*groups, strict=True)) or [()] * 5
        self.file_numbers, self.group_numbers, self.n_rows = (
            np.array(column, dtype=np.int32) for column in columns[:3]
        )
        self.min_masses: NDArray[np.float64] = np.array(columns[3], dtype=np.float64)
        self.max_masses: NDArray[np.float64] = np.array(columns[4], dtype=np.float64)

    @property
    def n_bytes(self) -> int:
        columns = (
            self.file_numbers, self.group_numbers, self.n_rows, self.min_masses, self.max_masses,
        )  # fmt: skip
        return sum(column.nbytes for column in columns)

    def holding(self, low: float, high: float) -> range:
        """Return the row groups that may hold masses from `low` to `high`."""
        first = int(np.searchsorted(self.max_masses, low, side="left"))
        last = int(np.searchsorted(self.min_masses, high, side="right"))
        return range(first, last)


def index_of_manifest(place: Path, manifest: Manifest) -> Index:
    """Return the index of a library."""
    per_group = manifest.rows_per_group
    groups = [
        (number, group, min(per_group, part.n_rows - group * per_group), *masses)
        for number, part in enumerate(manifest.parts)
        for group, masses in enumerate(zip(part.min_masses, part.max_masses, strict=True))
    ]
    return Index([str(place / part.file) for part in manifest.parts], groups)


def index_of_file(place: Path) -> Index:
    """Return the index of a single Parquet file, from the statistics of its row groups.

    Raises
    ------
    DataError
        If it is not Parquet, lacks ``smiles`` or ``exact_mass``, has no statistics, or its row
        groups are not in order of mass.
    """
    remedy = _remedy(place)
    try:
        with pq.ParquetFile(_source(str(place))) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{place}: no such file. Check its name.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{place}: not a readable Parquet file ({str(error).splitlines()[0]}). {remedy}"
        ) from error
    missing = [name for name in _NEEDED_COLUMNS if name not in schema.names]
    if missing or not pa.types.is_float64(schema.field("exact_mass").type):
        fault = f"no column {' and '.join(missing)}" if missing else "exact_mass is not float64"
        raise DataError(f"{place}: {fault}; there are {', '.join(schema.names)}. {remedy}")
    paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    at = paths.index("exact_mass")
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        statistics = group.column(at).statistics
        if not group.num_rows:
            continue
        if statistics is None or not statistics.has_min_max or statistics.null_count:
            raise DataError(
                f"{place}: row group {number} does not say which masses it holds, or has rows "
                f"without. {remedy}"
            )
        groups.append((0, number, group.num_rows, float(statistics.min), float(statistics.max)))
    borders = [mass for group in groups for mass in group[3:]]
    if not all(low <= high for low, high in pairwise(borders)):
        raise _unsorted(str(place))
    return Index([str(place)], groups)


@dataclass(slots=True)
class ReadCounts:
    """Cost of lookups so far.

    Attributes
    ----------
    n_groups, n_bytes : int
        Row groups decoded, and their compressed bytes in the columns that were read.
    n_from_cache : int
        Row groups found in the cache.
    """

    n_groups: int = 0
    n_bytes: int = 0
    n_from_cache: int = 0


class GroupReader:
    """Decodes row groups and caches the most recently used, up to a size.

    Thread-safe; a forked process starts with an empty cache.

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
        # Reading a footer takes as long as decoding a row group.
        self._footer = lru_cache(_MAX_FOOTERS)(_read_footer)
        self._tables: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._n_cached_bytes = 0
        self.counts = ReadCounts()

    def read(self, path: str, group: int, n_rows: int) -> pa.Table:
        """Return a row group with the columns of candidates, verified to be in order of mass.

        Raises
        ------
        DataError
            If the file is missing, damaged, of another size, or not in order.
        """
        if os.getpid() != self._pid:
            # The lock inherited from the parent of a fork may be held for ever.
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
            footer = self._footer(path)
            present = set(footer.schema.names)
            columns = [name for name in _COLUMNS if name in present]
            with pq.ParquetFile(_source(path), metadata=footer) as file:
                # Arrow's own threads do not survive a fork.
                table = file.read_row_group(group, columns=columns, use_threads=False)
            table = complete(table).combine_chunks()
            masses = table["exact_mass"].to_numpy()
        except (pa.ArrowException, OSError, IndexError) as error:
            raise DataError(
                f"{path}: cannot be read or is damaged ({str(error).splitlines()[0]}). Build the "
                "library again."
            ) from error
        if len(table) != n_rows:
            raise DataError(f"{path}: has changed since it was opened. Open the library again.")
        # Written so that NaN fails as well.
        if not np.all(masses[1:] >= masses[:-1]) or not np.all(np.isfinite(masses)):
            raise _unsorted(path)
        metadata = footer.row_group(group)
        n_bytes = sum(
            metadata.column(i).total_compressed_size
            for i in range(metadata.num_columns)
            if metadata.column(i).path_in_schema in columns
        )
        return table, n_bytes


def _read_footer(path: str) -> pq.FileMetaData:
    with pq.ParquetFile(_source(path)) as file:
        return file.metadata


def _source(path: str) -> Any:
    place = as_path(path)
    return place.open("rb") if is_remote(path) else place


def _unsorted(path: str) -> DataError:
    return DataError(f"{path}: its rows are not sorted by exact_mass. {_remedy(path)}")


def _remedy(path: object) -> str:
    return f"Make a library of it: python -m team5.library build {path} OUTPUT"
