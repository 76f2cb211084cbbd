"""Files and folders on disk: written atomically, flushed, hashed, swapped; local or remote."""

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from team5.errors import MissingExtraError, StorageError, Team5Error

if sys.platform != "win32":
    import fcntl

_LOCAL_SCHEME = "file://"
_AT_FDCWD = -100  # linux/fcntl.h: paths relative to the current folder
_RENAME_EXCHANGE = 2  # linux/fs.h
_NO_SWAP = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def write_flushed(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` and return when the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, and stays after a crash."""
    with writing_whole(path) as temporary:
        write_flushed(temporary, data)


@contextmanager
def writing_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; its file replaces ``path`` once the block ends.

    After an error, or if the block writes no file, the old file stays. A link stays a link: its
    target is written.
    """
    path = _target_of(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if temporary.exists():
            with storage_errors(path):
                put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(staged: Path, path: Path) -> None:
    """Move a finished file over ``path`` atomically, and return when it is on disk."""
    path = _target_of(path)
    flush_file(staged)
    try:
        staged.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with writing_whole(path) as temporary:  # a link led to another disk
            shutil.copyfile(staged, temporary)
        staged.unlink()
    flush_folder(path.parent)


def _target_of(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def flush_file(path: Path) -> None:
    """Return when the disk has the content of a file."""
    with path.open("rb+") as file:  # Windows flushes only what is open for writing
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


def sha256(source: Path | bytes) -> str:
    """Return the SHA-256 of bytes or of a file, read in pieces: 64 hex digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def swap_folders(first: Path, second: Path) -> bool:
    """Swap two folders of one file system in a single step.

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
    if number in _NO_SWAP:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


def as_path(place: str | Path) -> Path:
    """Return a path; for ``s3://...``, ``gs://...``, ``memory://...`` one with the same methods.

    Raises
    ------
    MissingExtraError
        If it is on object storage and the extra that reads it is not installed.
    """
    if str(place).startswith(_LOCAL_SCHEME):
        return Path(str(place).removeprefix(_LOCAL_SCHEME))
    if not is_remote(place):
        return Path(place)
    try:
        from upath import UPath  # an extra

        # It has the methods of a Path that are needed here, though it is none.
        return cast(Path, UPath(str(place)))
    except ImportError as error:
        missing = MissingExtraError.of(f"{place}: object storage", "remote")
        raise missing.reworded(
            f"{missing}, and the package of its protocol, such as s3fs ({error})."
        ) from error


def is_remote(place: str | Path) -> bool:
    """Tell whether a path is on object storage."""
    return "://" in str(place)


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
    """Turn an OSError of a write into a StorageError that says what to do."""
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
