"""Files compressed as ``.gz .bz2 .xz .zst`` or ``.zip`` of one file, recognised by content."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from team5.errors import DataError, DataFileNotFoundError

# Larger than any spectrum or line of a list; bounds the memory for files that are neither.
_LARGEST_RECORD = 1 << 28
_N_SHOWN, _LENGTH_SHOWN = 20, 40
PACKINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
_MAGIC = {
    b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"\x28\xb5\x2f\xfd": ".zst",
    b"PK\x03\x04": ".zip",
}  # fmt: skip
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BYTES_THAT_ARE_NO_UTF8 = "team5.western"


def _decode_western(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_BYTES_THAT_ARE_NO_UTF8, _decode_western)


class Unpacked:
    """The content of a file while it is read.

    Attributes
    ----------
    name : str
        Without the extension of the compression; of a ``.zip``, the name of the file within.
    is_packed : bool
    stream : binary file
    """

    def __init__(
        self, name: str, stream: Any, raw: IO[bytes], size: int, *, is_packed: bool
    ) -> None:
        self.name = name
        self.is_packed = is_packed
        self.stream: Any = stream
        self._raw = raw
        self._size = max(size, 1)
        self._text: io.TextIOWrapper | None = None

    def check_size(self, size: int) -> None:
        """Raise if a record or a line does not end within the limit.

        Raises
        ------
        DataError
        """
        if size > _LARGEST_RECORD:
            raise DataError(
                f"{self.name}: more than {_LARGEST_RECORD >> 20} MB without the end of a record. "
                "Check that the file is what its name says."
            )

    def lines(self) -> Iterator[str]:
        """Yield the content line by line; see `text`."""
        text = self.text()
        while line := text.readline(_LARGEST_RECORD + 1):
            self.check_size(len(line))
            yield line

    def share_read(self) -> float:
        """Return the share of the file on disk that was read: 0 to 1."""
        return min(self._raw.tell() / self._size, 1.0)

    def text(self) -> io.TextIOWrapper:
        """Return the content as text; line ends stay as they are.

        Decoded by its byte order mark, else as UTF-8; bytes that are not UTF-8 as Latin-1.
        """
        head = self.stream.peek(4)[:4]
        encoding, errors = "utf-8-sig", _BYTES_THAT_ARE_NO_UTF8
        if head.startswith(_UTF16):
            encoding, errors = "utf-16", "replace"
        elif len(head) == 4 and head[1] == head[3] == 0 != head[0]:
            encoding, errors = "utf-16-le", "replace"
        elif len(head) == 4 and head[0] == head[2] == 0 != head[1]:
            encoding, errors = "utf-16-be", "replace"
        # Kept, because the wrapper would close the file, which then could not report progress.
        self._text = io.TextIOWrapper(self.stream, encoding=encoding, errors=errors, newline="")
        return self._text


@contextmanager
def open_unpacked(place: Path) -> Iterator[Unpacked]:
    """Open a file that may be compressed, as its first bytes show.

    Raises
    ------
    DataFileNotFoundError
        If there is no such file.
    DataError
        If it cannot be read, is damaged or truncated, or is a ``.zip`` of several files.
    """
    try:
        with place.open("rb") as raw:
            head = raw.read(6)
            raw.seek(0)
            packing = next((end for magic, end in _MAGIC.items() if head.startswith(magic)), "")
            name, size = place.name, place.stat().st_size
            if name.lower().endswith(PACKINGS):
                name = PurePosixPath(name).stem
            if packing == ".zip":
                with _open_zip(raw) as archive:
                    inner = _only_file(archive, place)
                    with archive.open(inner) as stream:
                        yield Unpacked(
                            inner.filename, io.BufferedReader(stream), raw, size, is_packed=True
                        )
                return
            stream = io.BufferedReader(_unpack(raw, packing))
            yield Unpacked(name, stream, raw, size, is_packed=bool(packing))
    except (DataError, BrokenPipeError):  # the latter comes from the caller's parsing
        raise
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{place}: no such file. Check its name.") from error
    except (
        EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{place}: damaged, cut off or not readable ({error}). Put a whole file in its place."
        ) from error


def shown_columns(names: Iterable[object]) -> str:
    """Return names of columns for an error, shortened if they are many or long."""
    listed = [str(name).strip() for name in names]
    texts = [
        f"{name[:_LENGTH_SHOWN]}..." if len(name) > _LENGTH_SHOWN else name
        for name in (" ".join(name.split()) for name in listed[:_N_SHOWN])
    ]
    more = len(listed) - _N_SHOWN
    return ", ".join([*texts, f"and {more:,} more"] if more > 0 else texts) or "none"


def _open_zip(raw: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except UnicodeDecodeError as error:
        raise zipfile.BadZipFile("its list of files is not readable") from error


def _unpack(raw: IO[bytes], packing: str) -> Any:
    if packing == ".zst":
        import pyarrow as pa  # here to start quickly

        return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers[packing](raw) if packing else raw


def _only_file(archive: zipfile.ZipFile, place: Path) -> zipfile.ZipInfo:
    files = [
        file
        for file in archive.infolist()
        if not file.is_dir() and not file.filename.startswith("__MACOSX/")
    ]
    if any(file.filename == "[Content_Types].xml" for file in files):
        raise DataError(f"{place}: a workbook of Excel. Save its sheet as CSV and give that.")
    if len(files) != 1:
        shown = ", ".join(file.filename for file in files[:5]) or "nothing"
        raise DataError(
            f"{place}: a .zip of {len(files)} files ({shown}). Unpack it and give one of them."
        )
    if files[0].flag_bits & 1:
        raise DataError(f"{place}: needs a password. Unpack it and give the file within.")
    return files[0]
