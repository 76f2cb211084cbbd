"""Input files of a build: which there are, of what kind, unchanged since, and opened."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from team5.errors import ConfigError, DataError, DataFileNotFoundError
from team5.runtime.storage import as_path, sha256

_KINDS = {
    ".smi": "smiles", ".smiles": "smiles", ".ism": "smiles", ".txt": "smiles",
    ".sdf": "sdf", ".sd": "sdf", ".csv": "table", ".tsv": "table", ".parquet": "parquet",
}  # fmt: skip
_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
KNOWN_ENDINGS = f"{', '.join(_KINDS)}, all but .parquet also with {', '.join(_COMPRESSIONS)}"
# Bytes of a structure in a file of each kind, roughly: only to choose how large chunks are.
_BYTES_PER_RECORD = {"smiles": 50, "sdf": 3_000, "table": 80}
_COMPRESSED_TO = 0.25


@dataclass(frozen=True, slots=True)
class Input:
    """One file that structures are read from.

    Attributes
    ----------
    path : str
        As it was given, or as a folder that was given lists it.
    kind : {"smiles", "sdf", "table", "parquet"}
    compression : str
        ``.gz``, ``.zst``, ``.bz2``, ``.xz`` or nothing.
    size : int
        Bytes.
    sha256 : str
    """

    path: str
    kind: str
    compression: str
    size: int
    sha256: str

    @property
    def place(self) -> Path:
        return as_path(self.path)

    def estimated_records(self) -> int:
        """Return about how many structures it holds, from its size."""
        if self.kind == "parquet":
            with self.place.open("rb") as file:
                return int(pq.read_metadata(file).num_rows)
        size = self.size / (_COMPRESSED_TO if self.compression else 1)
        return int(size / _BYTES_PER_RECORD[self.kind])


def find_inputs(paths: Sequence[str | Path]) -> list[Input]:
    """Return the files to read, in the order given; those of a folder by name.

    Raises
    ------
    DataFileNotFoundError
        If one is not there, or a folder holds no file of a known kind.
    DataError
        If the ending of one is not known, or it cannot be read.
    ConfigError
        If there is none, or one is given twice.
    """
    if not paths:
        raise ConfigError(f"no input. Give files of structures: {KNOWN_ENDINGS}.")
    found: list[Input] = []
    for path in paths:
        place = as_path(path)
        try:
            if place.is_dir():
                inside = sorted(
                    (one for one in place.iterdir() if one.is_file() and _kind(one) is not None),
                    key=lambda one: one.name,
                )
                if not inside:
                    raise DataFileNotFoundError(
                        f"{path}: holds no file of structures. Known are {KNOWN_ENDINGS}."
                    )
                found += map(_input, inside)
            else:
                found.append(_input(place))
        except FileNotFoundError as error:
            if isinstance(error, DataFileNotFoundError):
                raise
            raise DataFileNotFoundError(f"{path}: no such file. Check its name.") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    twice = {one.path for one in found if [other.path for other in found].count(one.path) > 1}
    if twice:
        raise ConfigError(f"{', '.join(sorted(twice))}: given twice. Give every input once.")
    return found


def check_unchanged(sources: Sequence[Input]) -> None:
    """Be sure that files are what they were when a build began.

    Raises
    ------
    DataError
        If one is not.
    """
    for source in sources:
        try:
            same = (
                source.place.stat().st_size == source.size and sha256(source.place) == source.sha256
            )
        except OSError as error:
            raise DataError(
                f"{source.path}: cannot be read ({error.strerror or error})."
            ) from error
        if not same:
            raise DataError(
                f"{source.path}: has changed while it was read, so that nothing made of it is "
                "kept. Build again, with --replace, when it is whole."
            )


def _input(place: Path) -> Input:
    kind = _kind(place)
    if kind is None:
        raise DataError(f"{place}: kind not known by its ending. Known are {KNOWN_ENDINGS}.")
    compression = place.suffix.lower() if place.suffix.lower() in _COMPRESSIONS else ""
    if kind == "parquet" and compression:
        raise DataError(f"{place}: compressed Parquet is not read. Decompress it.")
    return Input(str(place), kind, compression, place.stat().st_size, sha256(place))


def _kind(place: Path) -> str | None:
    endings = [ending.lower() for ending in place.suffixes]
    if endings and endings[-1] in _COMPRESSIONS:
        endings.pop()
    return _KINDS.get(endings[-1]) if endings else None


class Opened:
    """An input while it is read.

    Attributes
    ----------
    raw : binary file
        As it lies on the disk.
    text : text file
        Decompressed; characters that are no UTF-8 become U+FFFD.
    """

    def __init__(self, source: Input, raw: BinaryIO) -> None:
        self.raw = raw
        self._size = max(source.size, 1)
        self.text = io.TextIOWrapper(
            cast(IO[bytes], _decompressed(raw, source.compression)),
            encoding="utf-8-sig",
            errors="replace",
            newline="",
        )

    def share_read(self) -> float:
        """Return which part of the file was read, 0 to 1."""
        return min(self.raw.tell() / self._size, 1.0)


@contextmanager
def opened(source: Input) -> Iterator[Opened]:
    """Open an input other than Parquet; a fault found while it is read becomes a DataError."""
    try:
        with source.place.open("rb") as raw:
            yield Opened(source, cast(BinaryIO, raw))
    except (EOFError, lzma.LZMAError, pa.ArrowException, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{source.path}: damaged, cut off or not readable ({error}). Put a whole file in its "
            "place and run the same command with --replace."
        ) from error


def _decompressed(raw: BinaryIO, compression: str) -> object:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if compression == ".bz2":
        return bz2.BZ2File(raw)
    if compression == ".xz":
        return lzma.LZMAFile(raw)
    if compression == ".zst":
        return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    return raw
