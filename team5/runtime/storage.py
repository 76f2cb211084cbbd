"""Files that survive a crash: write and flush, put a folder in the place of another."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from team5.errors import MissingExtraError, StorageError, Team5Error

if sys.platform != "win32":
    import fcntl

_AT_FDCWD = -100  # linux/fcntl.h: paths relative to the current folder
_RENAME_EXCHANGE = 2  # linux/fs.h
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def write_flushed(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` and return when the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Return when the disk has the names in ``folder``: a rename is safe only after this."""
    if os.name == "nt":  # Windows opens no folders; its file systems write names through
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(first: Path, second: Path) -> bool:
    """Let two folders of one file system change places in a single step.

    Returns
    -------
    bool
        False, with nothing done, where the system or the file system cannot: macOS, Windows, some
        network file systems.
    """
    import ctypes

    if not hasattr(os, "uname") or os.uname().sysname != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):  # glibc before 2.28
        return False
    code = libc.renameat2(
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(first)),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(second)),
        ctypes.c_uint(_RENAME_EXCHANGE),
    )
    if code == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


def as_root(root: str | Path) -> Path:
    """Return the folder of versions; ``s3://...`` and the like can be read, not written.

    Raises
    ------
    MissingExtraError
        If it is on object storage and the extra that reads it is not installed.
    """
    if not is_remote(root):
        return Path(root)
    try:
        from upath import UPath
    except ImportError as error:
        raise MissingExtraError(
            f"{root}: reading versions from object storage needs an extra: "
            'pip install "team5[remote]"'
        ) from error
    # It has the methods of a Path that reading needs, though it is none.
    return cast(Path, UPath(str(root)))


def is_remote(root: str | Path) -> bool:
    """Tell whether a folder of versions is on object storage."""
    return "://" in str(root)


def mark_as_read(file: BinaryIO) -> None:
    """Mark an open file as being read until it is closed, for :func:`is_being_read`."""
    if sys.platform != "win32":
        # A file system without locks has no marks; nothing depends on them but gc's patience.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_being_read(path: Path) -> bool:
    """Tell whether a program has marked a file as being read and still does."""
    if sys.platform == "win32":
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


@contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Turn what the system says of a write into a StorageError that says what to do."""
    try:
        yield
    except Team5Error:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fault = "the disk is full, or your share of it"
            remedy = "Free some space or choose another folder"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            place = error.filename or error.filename2
            fault = f"cannot be written ({error.strerror}{f': {place}' if place else ''})"
            remedy = "Give yourself the right to write there or choose another folder"
        else:
            fault = f"cannot be written ({error})"
            remedy = "Check the folder and its disk"
        raise StorageError(
            f"{root}: {fault}. {remedy}; what was there before is untouched."
        ) from error
