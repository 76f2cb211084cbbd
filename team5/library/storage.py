"""Where inputs and libraries lie: local paths, and object storage through fsspec."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, cast

from team5.errors import DataError, DataFileNotFoundError, MissingExtraError
from team5.runtime.storage import flush_folder, is_remote, write_flushed

_BLOCK_SIZE = 1 << 20
_LOCAL_SCHEME = "file://"


def as_place(place: str | Path) -> Path:
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
        from upath import UPath

        # It has the methods of a Path that are needed here, though it is none.
        return cast(Path, UPath(str(place)))
    except ImportError as error:
        raise MissingExtraError(
            f"{place}: object storage needs an extra and the package of its protocol, such as "
            f's3fs: pip install "team5[remote]" s3fs ({error}).'
        ) from error


def sha256(place: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with place.open("rb") as file:
        while block := file.read(_BLOCK_SIZE):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a local file so that it is there whole or not at all, and stays after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_flushed(temporary, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def to_json(value: Any) -> bytes:
    """Return a value as the JSON that is written to files here."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def read_json(place: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    DataFileNotFoundError
        If it is not there.
    DataError
        If it cannot be read or holds something else; ends with the remedy.
    """
    try:
        value = json.loads(place.read_bytes())
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{place}: no such file. {remedy}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{place}: cannot be read ({error}). {remedy}") from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: holds no JSON object. {remedy}")
    return value
