"""Checksums of a version's files: written at export, verified at load.

``config.json`` holds size and SHA-256 of the other files; its own SHA-256 is in the tracker.
So the tracker's entry covers every byte of the version.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from team5.errors import CheckpointError, CheckpointFileNotFoundError
from team5.registry.schemas import MAX_CONFIG_BYTES, ConfigSchema, fault_of
from team5.runtime.storage import sha256, write_flushed
from team5.runtime.strict_json import parse_json, to_json

CONFIG_NAME = "config.json"
HASH_LENGTH = 12  # characters of config.json's SHA-256 that name a version's content in answers

_REMEDY = "Copy the version's folder again from where it came, or use another version."


def write_checksums(folder: str | Path) -> str:
    """Record the other files of the folder in ``config.json`` and return its own SHA-256.

    Parameters
    ----------
    folder : path
        Holds ``config.json`` and the files to record; not yet visible to readers.
    """
    path = Path(folder) / CONFIG_NAME
    config = parse_json(path.read_bytes())
    config["files"] = {
        file.name: {"sha256": sha256(file), "size": file.stat().st_size}
        for file in sorted(path.parent.iterdir())
        if file.name != CONFIG_NAME
    }
    data = to_json(config, CONFIG_NAME)
    write_flushed(path, data)
    return sha256(data)


def verify_folder(folder: str | Path, config_sha256: str | None = None) -> None:
    """Compare every file of a version with its checksum.

    Parameters
    ----------
    folder : path
        The version's folder. Files that ``config.json`` does not name are ignored.
    config_sha256 : str, optional
        Expected checksum of ``config.json`` itself, from the tracker's entry.

    Raises
    ------
    CheckpointFileNotFoundError
        If files are missing; names all.
    CheckpointError
        If files are damaged; names all, with expected and found checksum.
    """
    path = Path(folder) / CONFIG_NAME
    data = read_file(path)
    if config_sha256 is not None:
        check_sha256(path, sha256(data), config_sha256)
    records = recorded_files(path, parse_config(path, data))

    missing = [name for name in records if not (path.parent / name).is_file()]
    if missing:
        raise missing_file(*(path.parent / name for name in missing))
    faults = []
    for name, record in records.items():
        checksum = sha256(read_file(path.parent / name))
        if checksum != record["sha256"]:
            faults.append(_mismatch(path.parent / name, checksum, record["sha256"]))
    if faults:
        raise CheckpointError(f"{'; '.join(faults)}. {_REMEDY}")


def read_file(path: Path) -> bytes:
    """Return a version's file.

    Raises
    ------
    CheckpointFileNotFoundError
        If it is missing.
    CheckpointError
        If the system cannot read it.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_file(path) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error


def missing_file(*paths: Path) -> CheckpointFileNotFoundError:
    """Return the error for required files that a version lacks."""
    names = ", ".join(map(str, paths))
    return CheckpointFileNotFoundError(f"{names}: no such file. {_REMEDY}")


def check_sha256(path: Path, found: str, expected: str) -> None:
    """Raise CheckpointError if a file's checksum differs from the recorded one."""
    if found != expected:
        raise CheckpointError(f"{_mismatch(path, found, expected)}. {_REMEDY}")


def parse_config(path: Path, data: bytes) -> dict[str, Any]:
    """Return the content of a ``config.json``.

    Raises
    ------
    CheckpointError
        If it is not a JSON object, is too large, or violates the schema.
    """
    if len(data) > MAX_CONFIG_BYTES:
        raise CheckpointError(
            f"{path}: {len(data)} bytes; at most {MAX_CONFIG_BYTES} are read. {_REMEDY}"
        )
    try:
        config = parse_json(data)
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path}, line {error.lineno}, column {error.colno}: {error.msg}. {_REMEDY}"
        ) from error
    if fault := fault_of(ConfigSchema, config):
        raise CheckpointError(f"{path}: {fault}. {_REMEDY}")
    return dict(config)


def recorded_files(path: Path, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the checksums that a ``config.json`` records, by file name.

    Raises
    ------
    CheckpointError
        If there are none.
    """
    records: dict[str, dict[str, Any]] = config.get("files", {})
    if not records:
        raise CheckpointError(f'{path} records no checksums under "files". {_REMEDY}')
    return records


def _mismatch(path: Path, found: str, expected: str) -> str:
    return f"{path} is damaged: SHA-256 {found}, expected {expected}"
