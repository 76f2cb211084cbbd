"""Which masses each row group holds: from the manifest of a library, or a Parquet file's footer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from team5.errors import DataError, DataFileNotFoundError
from team5.library.groups import open_parquet, unsorted
from team5.library.manifest import Manifest

_NEEDED_COLUMNS = ("smiles", "exact_mass")


class Index:
    """Where each row group lies and which masses it holds; 28 bytes for each.

    Attributes
    ----------
    files : list of str
    file_numbers, group_numbers, n_rows : array of shape (G,)
        The file of each row group, its number there, and its rows.
    min_masses, max_masses : array of shape (G,)
        In u, ascending.
    """

    def __init__(self, files: list[str], groups: list[tuple[int, int, int, float, float]]) -> None:
        self.files = files
        columns = list(zip(*groups, strict=True)) or [()] * 5
        self.file_numbers = np.array(columns[0], dtype=np.int32)
        self.group_numbers = np.array(columns[1], dtype=np.int32)
        self.n_rows = np.array(columns[2], dtype=np.int32)
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
    groups = []
    for number, part in enumerate(manifest.parts):
        left = part.n_rows
        for group, masses in enumerate(zip(part.min_masses, part.max_masses, strict=True)):
            n_rows = min(left, manifest.rows_per_group)
            left -= n_rows
            groups.append((number, group, n_rows, *masses))
    return Index([str(place / part.file) for part in manifest.parts], groups)


def index_of_file(place: Path) -> Index:
    """Return the index of a single Parquet file, from the statistics of its row groups.

    Raises
    ------
    DataError
        If it is no Parquet, lacks ``smiles`` or ``exact_mass``, has no statistics, or its row
        groups are not in order of mass.
    """
    try:
        with open_parquet(place) as file:
            names, metadata = file.schema_arrow.names, file.metadata
            is_number = "exact_mass" in names and pa.types.is_float64(
                file.schema_arrow.field("exact_mass").type
            )
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{place}: no such file. Check its name.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{place}: not a readable Parquet file ({str(error).splitlines()[0]}). Make a library "
            f"of it: python -m team5.library build {place} OUTPUT"
        ) from error
    missing = [name for name in _NEEDED_COLUMNS if name not in names]
    if missing or not is_number:
        what = f"no column {' and '.join(missing)}" if missing else "exact_mass is not float64"
        raise DataError(
            f"{place}: {what}; there are {', '.join(names)}. Make a library of it: "
            f"python -m team5.library build {place} OUTPUT"
        )
    groups = _groups_of(metadata, str(place))
    borders = [mass for group in groups for mass in group[3:]]
    if not all(low <= high for low, high in pairwise(borders)):
        raise DataError(unsorted(str(place)))
    return Index([str(place)], groups)


def _groups_of(metadata: pq.FileMetaData, path: str) -> list[tuple[int, int, int, float, float]]:
    paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    at = paths.index("exact_mass")
    groups = []
    for group in range(metadata.num_row_groups):
        n_rows = metadata.row_group(group).num_rows
        statistics = metadata.row_group(group).column(at).statistics
        if not n_rows:
            continue
        if statistics is None or not statistics.has_min_max or statistics.null_count:
            raise DataError(
                f"{path}: row group {group} does not say which masses it holds, or has rows "
                f"without. Make a library of it: python -m team5.library build {path} OUTPUT"
            )
        groups.append((0, group, n_rows, float(statistics.min), float(statistics.max)))
    return groups
