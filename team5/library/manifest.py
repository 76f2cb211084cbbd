"""``library.json``: content of a library, and the mass ranges of its row groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from team5.errors import DataError, DataFileNotFoundError
from team5.runtime.storage import as_path, sha256
from team5.runtime.strict_json import read_object, to_json

MANIFEST_NAME = "library.json"
BUILDING_NAME = ".building"  # folder of an unfinished build
FORMAT = 1
_BUILD = "python -m team5.library build INPUT... OUTPUT"
_REMEDY = f"Build the library again: {_BUILD}"


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a library.

    Attributes
    ----------
    file : str
        Its name within the library.
    n_rows, size : int
        Rows, and bytes.
    sha256 : str
    min_masses, max_masses : tuple of float
        The lightest and the heaviest structure of each row group, in u.
    """

    file: str
    n_rows: int
    size: int
    sha256: str
    min_masses: tuple[float, ...]
    max_masses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content and sources of a library.

    Attributes
    ----------
    n_rows : int
        Structures.
    rows_per_group : int
        Rows of every row group but the last one of a part.
    parts : tuple of Part
        In order of mass.
    inputs : tuple of dict
        ``path, size, sha256`` and ``n_records`` of every file read.
    trust_columns : bool
        ``inchikey14, formula, exact_mass`` of tables were used unchanged.
    made_with : dict
        Versions of team5, RDKit and pyarrow.
    n_records, n_merged : int
        Records read, and how many of them were duplicates.
    dropped : dict
        ``{reason: {"code": ..., "count": ..., "examples": [{"place": ..., "text": ...}]}}``.
    """

    n_rows: int
    rows_per_group: int
    parts: tuple[Part, ...]
    inputs: tuple[Mapping[str, Any], ...]
    trust_columns: bool
    made_with: Mapping[str, str]
    n_records: int
    n_merged: int
    dropped: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Return the content of ``library.json``."""
        return to_json({"format": FORMAT, **asdict(self)}, MANIFEST_NAME)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a library.

    Raises
    ------
    DataFileNotFoundError
        If there is no such folder, or it holds no library or an unfinished one.
    DataError
        If the manifest is damaged or of a later format.
    """
    path = folder / MANIFEST_NAME
    if not path.exists():
        if (folder / BUILDING_NAME).exists():
            raise DataFileNotFoundError(
                f"{folder}: the build was not finished: run the same command to resume it."
            )
        if not folder.exists():
            raise DataFileNotFoundError(
                f"{folder}: no such folder. Build a library: {_BUILD}. To search the demo "
                "molecules, library=demo, none is needed."
            )
        raise DataFileNotFoundError(
            f"{folder}: holds no library.json, so it is no library. {_REMEDY}"
        )
    raw = read_object(path, _REMEDY)
    if raw.get("format") != FORMAT:
        raise DataError(
            f"{path}: format {raw.get('format')!r}; this team5 reads format {FORMAT}. {_REMEDY}"
        )
    try:
        manifest = TypeAdapter(Manifest).validate_python(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise DataError(f"{path}: damaged ({where}: {fault['msg']}). {_REMEDY}") from error
    _check(manifest, path)
    return manifest


def _check(manifest: Manifest, path: Path) -> None:
    borders = [
        border
        for part in manifest.parts
        for pair in zip(part.min_masses, part.max_masses, strict=False)
        for border in pair
    ]
    per_group = manifest.rows_per_group
    fits = (
        per_group > 0
        and sum(part.n_rows for part in manifest.parts) == manifest.n_rows
        and borders == sorted(borders)
        and all(
            len(part.min_masses) == len(part.max_masses) == -(-part.n_rows // per_group)
            # A name that leads out of the folder would let a manifest read any file.
            and "/" not in part.file and "\\" not in part.file and part.file not in ("", "..")
            for part in manifest.parts
        )
    )  # fmt: skip
    if not fits:
        raise DataError(f"{path}: damaged (its parts contradict one another). {_REMEDY}")


def verify_parts(library: str | Path, manifest: Manifest) -> None:
    """Compare every part of a library with its checksum.

    Raises
    ------
    DataError
        Naming all parts that are missing or damaged.
    """
    faults = []
    for part in manifest.parts:
        try:
            digest = sha256(as_path(library) / part.file)
        except OSError as error:
            faults.append(f"{part.file} cannot be read ({error.strerror or error})")
            continue
        if digest != part.sha256:
            faults.append(f"{part.file} has SHA-256 {digest[:12]}, not {part.sha256[:12]}")
    if faults:
        raise DataError(f"{library}: {'; '.join(faults)}. Build the library again.")
