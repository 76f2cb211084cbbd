"""The checkpoint of a search: a folder with its plan and a Parquet file of each finished chunk.

``hits.parquet.parts/`` can be read at any time as a Parquet dataset; files that begin with ``_`` or
``.`` do not belong to it, as is the custom there.
"""

from __future__ import annotations

import glob
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from team5.errors import ConfigError, DataError, StorageError, WorkerError
from team5.runtime.storage import storage_errors, write_whole
from team5.runtime.strict_json import read_object, to_json
from team5.search.chunks import Result
from team5.search.spectra import LeftOut

_PLAN = "_plan.json"
_LOCK = ".lock"
_LEFT_OUT = b"team5.left_out"
_N_SPECTRA = b"team5.n_spectra"


class Checkpoint:
    """Finished chunks, each whole or absent; made by `open_checkpoint`.

    Attributes
    ----------
    folder : Path
    finished : dict
        How many spectra each finished chunk has, by number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished = {
            int(path.stem.removeprefix("part-")): _n_spectra(path)
            for path in sorted(folder.glob("part-*.parquet"))
        }

    def write(self, result: Result) -> None:
        """Keep a finished chunk.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        left_out = [astuple(entry) for entry in result.left_out]
        table = result.table.replace_schema_metadata(
            {_LEFT_OUT: json.dumps(left_out), _N_SPECTRA: str(result.n_spectra)}
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        with storage_errors(self.folder):
            write_whole(self._path(result.number), buffer.getvalue())
        self.finished[result.number] = result.n_spectra

    def keep(self, results: Iterable[Result], on_kept: Callable[[int], None]) -> None:
        """Store finished chunks as they arrive; ``on_kept`` gets the number of spectra in each.

        Raises
        ------
        WorkerError
            As raised by what yields them, with what is kept and how to resume.
        """
        try:
            for result in results:
                self.write(result)
                on_kept(result.n_spectra)
        except WorkerError as error:
            raise WorkerError(
                f"{error} What is done is kept in {self.folder}: the same command with "
                "resume=true goes on."
            ) from error

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows chunk by chunk, in the order of the spectra."""
        for number in sorted(self.finished):
            with _damage(self._path(number)):
                yield pq.read_table(self._path(number)).replace_schema_metadata(None)

    def left_out(self) -> Iterator[LeftOut]:
        """Yield the spectra left out, in order."""
        for number in sorted(self.finished):
            with _damage(self._path(number)):
                metadata = pq.read_metadata(self._path(number)).metadata
            yield from (LeftOut(*values) for values in json.loads(metadata[_LEFT_OUT]))

    def remove(self) -> None:
        """Remove it, atomically for others, so that no search finds half of another's."""
        trash = self.folder.with_name(f"{_trash(self.folder)}{os.getpid()}")
        with storage_errors(self.folder):
            self.folder.rename(trash)
        # What cannot be removed now is removed by the next search.
        shutil.rmtree(trash, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:09}.parquet"


def _trash(folder: Path) -> str:
    return f".{folder.name}.removed."


def checkpoint_folder(output: Path) -> Path:
    """Return the folder for the chunks of an output file."""
    return output.with_name(f"{output.name}.parts")


@contextmanager
def open_checkpoint(output: Path, plan: Mapping[str, Any], *, resume: bool) -> Iterator[Checkpoint]:
    """Begin a search, or resume one.

    Parameters
    ----------
    output : Path
        The file that is to hold all rows in the end.
    plan : mapping
        All that determines the result, as values of JSON.
    resume : bool
        Resume where there is something to resume.

    Raises
    ------
    ConfigError
        If there are parts already and `resume` is false, or they are of another plan.
    StorageError
        If the folder cannot be written, or another search is at work there.
    """
    folder = checkpoint_folder(output)
    remedy = f"Remove {folder} to begin anew."
    if folder.is_file():
        raise ConfigError(f"{folder} is a file, where the search would keep what is done. {remedy}")
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
    with _locked(folder):
        path = folder / _PLAN
        if not Checkpoint(folder).finished:
            with storage_errors(folder):
                for old in folder.parent.glob(f"{glob.escape(_trash(folder))}*"):
                    shutil.rmtree(old, ignore_errors=True)
                write_whole(path, to_json(dict(plan), _PLAN))
        elif not path.exists():
            raise ConfigError(f"{folder} holds parts of a search and not its plan. {remedy}")
        elif not resume:
            raise ConfigError(
                f"{folder} holds a search that was interrupted. resume=true continues it. {remedy}"
            )
        elif changed := _differences(read_object(path, remedy), plan):
            raise ConfigError(
                f"{folder} holds a search that began otherwise: {'; '.join(changed)}. Give what "
                f"it began with, or another output=. {remedy}"
            )
        yield Checkpoint(folder)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences between two plans, in words."""
    differences = []
    for key in [*now, *(key for key in before if key not in now)]:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            inner = [name for name in new if old.get(name) != new[name]]
            differences += [f"{key} {name} was {old.get(name)}, is {new[name]}" for name in inner]
        else:
            differences.append(f"{key} was {_shown(old)}, is {_shown(new)}")
    return differences


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"{folder}: another search is at work here. Wait for its end."
        ) from error
    with lock:
        yield


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: damaged ({why}). Remove this file; resume=true makes it again."
        ) from error


def _n_spectra(path: Path) -> int:
    with _damage(path):
        return int(pq.read_metadata(path).metadata[_N_SPECTRA])
