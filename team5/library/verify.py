"""A library's parts compared with their checksums."""

from __future__ import annotations

from pathlib import Path

from team5.errors import DataError
from team5.library.manifest import Manifest
from team5.runtime.storage import as_path, sha256


def verify_parts(library: str | Path, manifest: Manifest) -> None:
    """Compare every part of a library with its checksum.

    Raises
    ------
    DataError
        Naming all parts that are missing or damaged.
    """
    faults = []
    for part in manifest.parts:
        place = as_path(library) / part.file
        try:
            found = sha256(place)
        except OSError as error:
            faults.append(f"{part.file} cannot be read ({error.strerror or error})")
            continue
        if found != part.sha256:
            faults.append(f"{part.file} has SHA-256 {found[:12]}, not {part.sha256[:12]}")
    if faults:
        raise DataError(f"{library}: {'; '.join(faults)}. Build the library again.")
