"""Peaks of many spectra in a memory-mapped file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from team5.errors import DataError
from team5.runtime.storage import writing_whole

if TYPE_CHECKING:
    import pyarrow as pa

Array = NDArray[Any]

_COLUMNS = ("mzs", "intensities")
_ROWS_PER_BATCH = 8_192


def peaks_path(table_path: Path) -> Path:
    """Return the path of a prepared table's peaks, next to it."""
    return table_path.with_suffix(".peaks.arrow")


def write_peaks(table_path: Path, path: Path) -> None:
    """Write the peaks of a prepared table, row by row, atomically.

    The file is an Arrow IPC file without compression, which can be memory-mapped. Programs that
    have the previous file open can go on reading it.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    peaks = pa.list_(pa.float64())
    schema = pa.schema([(name, peaks) for name in _COLUMNS])
    with (
        writing_whole(path) as temporary,
        # By default Arrow keeps what it has read ahead until the file is closed.
        pq.ParquetFile(table_path, pre_buffer=False) as table,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        for batch in table.iter_batches(_ROWS_PER_BATCH, columns=list(_COLUMNS)):
            writer.write_batch(batch.select(list(_COLUMNS)).cast(schema))


class Peaks:
    """Peaks of spectra by their row in a table.

    Peaks stay in the file: the system reads pages on access, shares them among processes and
    may drop them. Only the path is pickled.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        With the columns ``mzs`` and ``intensities``, lists of float64 of equal lengths.
    path : Path, optional
        Their file.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], path: Path | None = None) -> None:
        self._path = path
        self._parts = [tuple(_flat(batch.column(name)) for name in _COLUMNS) for batch in batches]
        lengths = (len(part[0][0]) - 1 for part in self._parts)
        self._starts = list(accumulate(lengths, initial=0))

    @classmethod
    def open(cls, path: Path) -> Peaks:
        """Map a file of peaks.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        import pyarrow as pa

        try:
            # The arrays keep the mapping open.
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: the peaks of a prepared table cannot be read ({error}). Remove the file; "
                "it is written again."
            ) from error
        return cls(batches, path)

    def __len__(self) -> int:
        return self._starts[-1]

    def mzs(self, row: int) -> Array:
        """Return the m/z of a spectrum's peaks, an array of shape (P,)."""
        return self._values(row, 0)

    def intensities(self, row: int) -> Array:
        """Return the intensities of a spectrum's peaks, an array of shape (P,)."""
        return self._values(row, 1)

    def _values(self, row: int, column: int) -> Array:
        part = bisect_right(self._starts, row) - 1
        offsets, values = self._parts[part][column]
        i = row - self._starts[part]
        # A copy, as the file must not be written through it.
        return values[offsets[i] : offsets[i + 1]].copy()

    def __getstate__(self) -> Path | dict[str, Any]:
        return self._path if self._path is not None else vars(self)

    def __setstate__(self, state: Path | dict[str, Any]) -> None:
        vars(self).update(vars(Peaks.open(state)) if isinstance(state, Path) else state)


def _flat(lists: pa.ListArray) -> tuple[Array, Array]:
    """Return offsets and values of lists, without copying."""
    return lists.offsets.to_numpy(), lists.values.to_numpy()
