"""Runs: the rows of one finished chunk, sorted, in a file that is whole or absent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from team5.errors import DataError
from team5.library.chunks import Chunk
from team5.library.rows import RUN_SCHEMA, mass_keys
from team5.library.standardise import standardise
from team5.runtime.storage import storage_errors, write_whole

_ROWS_PER_GROUP = 1_024  # what is read beyond a range of masses, at most twice
_METADATA_KEY = b"team5.library.run"


@dataclass(frozen=True, slots=True)
class RunMaker:
    """Does a chunk and writes its run; passed to worker processes.

    Attributes
    ----------
    folder : Path
        Where the runs are, on a local disk.
    """

    folder: Path

    def __call__(self, chunk: Chunk, on_record: Callable[[int], None]) -> None:
        table, dropped = standardise(chunk, on_record)
        facts = {
            "source_index": chunk.source_index,
            "n_records": chunk.n_records,
            "dropped": dropped,
        }
        table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(facts)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=_ROWS_PER_GROUP, compression="zstd")
        with storage_errors(self.folder):
            write_whole(run_path(self.folder, chunk.number), sink.getvalue().to_pybytes())


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A finished chunk.

    Attributes
    ----------
    path : Path
    facts : dict
        ``source_index, n_records`` and ``dropped`` of the chunk.
    n_rows : int
    first_keys, last_keys : array of shape (G,)
        Steps of mass (`mass_keys`) that each row group begins and ends with.
    """

    path: Path
    facts: dict[str, Any]
    n_rows: int
    first_keys: NDArray[np.int64]
    last_keys: NDArray[np.int64]

    def read(self, low: int, high: int) -> pa.Table | None:
        """Return the rows with ``low <= key < high``, in their order."""
        first = int(np.searchsorted(self.last_keys, low, side="left"))
        last = int(np.searchsorted(self.first_keys, high, side="left"))
        if first >= last:
            return None
        with _readable(self.path), pq.ParquetFile(self.path) as file:
            table = file.read_row_groups(range(first, last), use_threads=False)
        keys = mass_keys(table["exact_mass"].to_numpy())
        start, stop = np.searchsorted(keys, [low, high], side="left")
        return table.slice(start, stop - start).replace_schema_metadata(None).cast(RUN_SCHEMA)

    def sample_keys(self, every: int) -> NDArray[np.int64]:
        """Return the step of mass of one row in so many."""
        with _readable(self.path), pq.ParquetFile(self.path) as file:
            table = file.read(columns=["exact_mass"], use_threads=False)
        return mass_keys(table["exact_mass"].to_numpy())[::every]


def run_path(folder: Path, number: int) -> Path:
    """Return where the run of a chunk is kept."""
    return folder / f"run-{number:07}.parquet"


def finished_chunks(folder: Path) -> frozenset[int]:
    """Return the numbers of the chunks whose runs are there."""
    return frozenset(int(path.stem.removeprefix("run-")) for path in folder.glob("run-*.parquet"))


def open_run(path: Path) -> Run:
    """Read what a run says of itself.

    Raises
    ------
    DataError
        If it is damaged.
    """
    with _readable(path):
        metadata = pq.read_metadata(path)
        facts = json.loads(metadata.metadata[_METADATA_KEY])
        at = RUN_SCHEMA.get_field_index("exact_mass")
        statistics = [
            metadata.row_group(group).column(at).statistics
            for group in range(metadata.num_row_groups)
            if metadata.row_group(group).num_rows
        ]
        first = np.array([one.min for one in statistics], dtype=np.float64)
        last = np.array([one.max for one in statistics], dtype=np.float64)
    return Run(path, facts, metadata.num_rows, mass_keys(first), mass_keys(last))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: damaged ({str(error).splitlines()[0]}). Delete this file and run the same "
            "command again: only its chunk is done anew."
        ) from error
