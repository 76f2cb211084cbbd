"""Library: structures by exact mass or precursor, read from Parquet a row group at a time.

from team5.library.library import open_library

library = open_library("pubchem.library")
candidates = library.of_precursor(181.0495, "[M+H]+", ppm=10.0)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from team5.chemistry.adducts import Adduct, parse_adduct, structure_charge
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.errors import ConfigError, DataError
from team5.library.candidates import Candidates, to_candidates
from team5.library.manifest import Manifest, read_manifest
from team5.library.row_groups import (
    GroupReader,
    Index,
    ReadCounts,
    index_of_file,
    index_of_manifest,
)
from team5.runtime.storage import as_path

CACHE_BYTES = 256 << 20


def open_library(path: str | Path, *, cache_bytes: int = CACHE_BYTES) -> Library:
    """Open a library without reading any of its structures.

    Parameters
    ----------
    path : str or Path
        A folder made by ``python -m team5.library build``, or a single Parquet file with the
        columns ``smiles`` and ``exact_mass``, sorted by mass. Also on object storage.
    cache_bytes : int
        Size limit of the cache of decoded row groups.

    Raises
    ------
    DataFileNotFoundError
        If there is no library, or its build was not finished.
    DataError
        If it is damaged, or the file lacks a column or is not sorted.
    MissingExtraError
        If it is on object storage and the extra that reads it is not installed.
    """
    if cache_bytes < 0:
        raise ConfigError(f"cache_bytes {cache_bytes}: must not be negative.")
    place = as_path(path)
    try:
        if place.is_file():
            return Library(str(path), index_of_file(place), None, cache_bytes)
        manifest = read_manifest(place)
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({error}). Check your rights.") from error
    return Library(str(path), index_of_manifest(place, manifest), manifest, cache_bytes)


class Library:
    """Structures in order of exact mass; made by `open_library`.

    Thread-safe. It can be passed to other processes, forked or not: only the path is passed,
    and each process reads for itself.

    Attributes
    ----------
    path : str
        As given.
    manifest : Manifest or None
        None for a single Parquet file.
    """

    def __init__(
        self, path: str, index: Index, manifest: Manifest | None, cache_bytes: int
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._index = index
        self._cache_bytes = cache_bytes
        self._reader = GroupReader(cache_bytes)

    def __len__(self) -> int:
        return int(self._index.n_rows.sum(dtype=np.int64))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"Library({self.path!r}, {len(self):,} structures)"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(open_library, self.path, cache_bytes=self._cache_bytes), ()

    @property
    def n_row_groups(self) -> int:
        return len(self._index.n_rows)

    @property
    def index_bytes(self) -> int:
        """Bytes of memory of the index of row groups."""
        return self._index.n_bytes

    @property
    def read_counts(self) -> ReadCounts:
        """Read counts of this process's lookups so far."""
        return self._reader.counts

    @property
    def mass_range(self) -> tuple[float, float]:
        """The lightest and the heaviest structure, in u; NaN without any."""
        if not self.n_row_groups:
            return math.nan, math.nan
        return float(self._index.min_masses[0]), float(self._index.max_masses[-1])

    def near(self, exact_mass: float, ppm: float = CANDIDATE_TOLERANCE_PPM) -> Candidates:
        """Return all structures near an exact mass, whatever their charge.

        Parameters
        ----------
        exact_mass : float
            In u.
        ppm : float, default 10
            Half-width of the window, relative to `exact_mass`, bounds included.
        """
        _check_positive("exact mass", exact_mass)
        half_width = exact_mass * _checked_ppm(ppm) * 1e-6
        return self.between(exact_mass - half_width, exact_mass + half_width)

    def of_precursor(
        self, precursor_mz: float, adduct: str | Adduct, ppm: float = CANDIDATE_TOLERANCE_PPM
    ) -> Candidates:
        """Return the structures that could be behind a precursor.

        ``[M]+`` and the like come from structures with that permanent charge; protonated and most
        other ions from neutral ones.

        Parameters
        ----------
        precursor_mz : float
        adduct : str or Adduct
            Multiply charged ions and those of several molecules as well, ``[2M+2H]2+``.
        ppm : float, default 10
            Half-width of the window, relative to `precursor_mz`.

        Raises
        ------
        AdductError
            If the adduct is not understood.
        """
        _check_positive("precursor m/z", precursor_mz)
        ion = parse_adduct(adduct) if isinstance(adduct, str) else adduct
        half_width = precursor_mz * _checked_ppm(ppm) * 1e-6
        charge = structure_charge(ion)
        low, high = (
            ion.exact_mass(mz) for mz in (precursor_mz - half_width, precursor_mz + half_width)
        )
        # No structure is that heavy, and a window that overflows would hold all.
        if charge is None or high <= 0 or not math.isfinite(half_width):
            return to_candidates([])
        slices = self._slices(low, high, include_high=True)
        return to_candidates([_of_charge(table, charge) for table in slices])

    def between(self, low: float, high: float) -> Candidates:
        """Return all structures of masses from `low` to `high`, in u, both included."""
        return to_candidates(list(self._slices(low, high, include_high=True)))

    def scan(self, low: float = 0.0, high: float = math.inf) -> Iterator[Candidates]:
        """Yield all structures with ``low <= mass < high``, in order, a row group at a time."""
        for table in self._slices(low, high, include_high=False):
            yield to_candidates([table])

    def _slices(self, low: float, high: float, *, include_high: bool) -> Iterator[pa.Table]:
        if math.isnan(low) or math.isnan(high):
            raise ConfigError(f"masses from {low} to {high}: give numbers.")
        if high < low:
            return
        for group in self._index.holding(low, high):
            table = self._reader.read(
                self._index.files[self._index.file_numbers[group]],
                int(self._index.group_numbers[group]),
                int(self._index.n_rows[group]),
            )
            masses = table["exact_mass"].to_numpy()
            start = int(np.searchsorted(masses, low, side="left"))
            stop = int(np.searchsorted(masses, high, side="right" if include_high else "left"))
            if start < stop:
                yield table.slice(start, stop - start)


def _of_charge(table: pa.Table, charge: int) -> pa.Table:
    is_chosen = table["charge"].to_numpy() == charge
    return table if is_chosen.all() else table.filter(pa.array(is_chosen))


def _check_positive(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{what} {value}: must be a positive number.")


def _checked_ppm(ppm: float) -> float:
    if not (math.isfinite(ppm) and ppm >= 0):
        raise ConfigError(f"tolerance {ppm} ppm: must be a number, not negative.")
    return ppm
