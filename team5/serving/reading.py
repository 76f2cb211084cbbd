"""Uploaded files: parsed from a request, checked, and read as local files are."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.conditions import Conditions
from team5.data.metadata import text_or_none
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record
from team5.errors import ConfigError, DataError, Team5Error
from team5.search.reading import UNANSWERABLE, Candidate, numbered_records, read_candidates
from team5.serving.items import check_atoms, parse_json
from team5.serving.messages import Contents, Query
from team5.serving.settings import Limits

_FILES = ("spectra", "candidates")
_OPTIONS = ("adduct", "precursor_mz", "collision_energy", "instrument_type", "max_error")
_MAX_FIELDS = 20
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"PAR1")
_XML_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']+)", re.IGNORECASE)
_XML_ENCODINGS = {b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252"}


@dataclass(frozen=True, slots=True)
class _Upload:
    name: str
    content: bytes


def read_spectra_as_json(content_type: str, body: bytes, limits: Limits) -> bytes:
    """Return the answer to POST /spectra/read."""
    given = _parse(content_type, body)
    left_out: list[str] = []
    with _folder() as folder:
        records = _read(folder, given["spectra"], limits, left_out)
        spectra = [_to_dict(place, record) for _, place, record in records]
    return json.dumps({"spectra": spectra, "left_out": left_out}).encode() + b"\n"


def read_for_ranking(content_type: str, body: bytes, limits: Limits) -> Contents:
    """Return the queries of POST /rank/file."""
    given = _parse(content_type, body)
    conditions = Conditions(
        text_or_none(given.get("adduct")),
        _number(given, "precursor_mz"),
        given.get("collision_energy"),
        text_or_none(given.get("instrument_type")),
    )
    if conditions.adduct is not None:
        parse_adduct(conditions.adduct)
    max_error = _number(given, "max_error")
    left_out: list[str] = []
    candidates = None
    with _folder() as folder:
        if given["candidates"] is not None:
            candidates = _read_candidates(folder, given["candidates"], limits, left_out)
        shared = None if candidates is None else pickle.dumps(candidates)
        queries = [
            _to_query(number, place, record, conditions, shared)
            for number, place, record in _read(folder, given["spectra"], limits, left_out)
        ]
    return Contents(queries, max(len(candidates or ()), 1), max_error, left_out)


def _parse(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the fields of a request, files as uploads."""
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        given = asyncio.run(_parse_form(content_type, body))
    else:
        given = parse_json(body)
        if not isinstance(given, dict):
            raise ConfigError(
                'send a form with files (curl -F spectra=@FILE) or JSON: {"spectra": "TEXT"}.'
            )
    known = {*_FILES, *(f"{name}_name" for name in _FILES), *_OPTIONS}
    if unknown := sorted(str(key)[:40] for key in given.keys() - known):
        raise ConfigError(f"no key {unknown[0]!r} here; there are: {', '.join(sorted(known))}.")
    files = {name: _upload(given, name) for name in _FILES}
    if files["spectra"] is None:
        raise ConfigError("spectra is missing. Send the text of an MGF, MSP or mzML file.")
    return {**given, **files}


async def _parse_form(content_type: str, body: bytes) -> dict[str, Any]:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(
        Headers({"content-type": content_type}),
        chunks(),  # type: ignore[arg-type]  # any asynchronous iterator will do
        max_files=len(_FILES),
        max_fields=_MAX_FIELDS,
        max_part_size=max(len(body), 1),
    )
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeDecodeError, KeyError) as error:
        why = getattr(error, "message", None) or "its parts cannot be separated"
        raise ConfigError(f"the form cannot be read: {why}") from error
    given: dict[str, Any] = {}
    for key, value in form.multi_items():
        if key in given:
            raise ConfigError(f"{key} is given twice. Give it once.")
        if isinstance(value, UploadFile):
            given[key] = _Upload(value.filename or "", await value.read())
        else:
            given[key] = value
    return given


def _upload(given: Mapping[str, Any], name: str) -> _Upload | None:
    value = given.get(name)
    if value is None or isinstance(value, _Upload):
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be the text of a file, not {type(value).__name__}.")
    file_name = given.get(f"{name}_name")
    return _Upload(
        file_name if isinstance(file_name, str) else "",
        value.encode("utf-8", errors="surrogatepass"),
    )


def _number(given: Mapping[str, Any], key: str) -> float | None:
    value = given.get(key)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{key}={str(value)[:40]!r} is not a number.") from error


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for uploads whose path no error tells."""
    with tempfile.TemporaryDirectory(prefix="team5-") as name:
        folder = Path(name)
        try:
            yield folder
        except Team5Error as error:
            raise error.reworded(_bare(str(error), folder)) from error


def _bare(text: str, folder: Path) -> str:
    return text.replace(f"{folder}/spectra/", "").replace(f"{folder}/candidates/", "")


def _read(
    folder: Path, upload: _Upload, limits: Limits, left_out: list[str]
) -> Iterator[tuple[int, str, Record]]:
    """Yield the spectra of an upload, each with its number in the file and where it stands."""
    path = _write(upload, folder / "spectra", "spectra.txt", limits)
    records = numbered_records(path, lambda text: left_out.append(_bare(text, folder)))
    for n_read, (number, record) in enumerate(records):
        if n_read >= limits.spectra:
            raise ConfigError(
                f"more than {limits.spectra:,} spectra, the most that are taken at once. "
                "Send several files."
            )
        yield number, _bare(f"{path}, spectrum {number}", folder), record


def _read_candidates(
    folder: Path, upload: _Upload, limits: Limits, left_out: list[str]
) -> list[Candidate]:
    n_candidates = 0

    def parse(smiles: str) -> Molecule:
        nonlocal n_candidates
        n_candidates += 1
        if n_candidates > limits.candidates:
            raise ConfigError(
                f"{n_candidates:,} candidates or more; at most {limits.candidates:,} are taken at "
                "once. Send several files."
            )
        check_atoms(smiles, limits)
        return parse_smiles(smiles)

    path = _write(upload, folder / "candidates", "candidates.smi", limits)
    return read_candidates(
        path, report=lambda text: left_out.append(_bare(text, folder)), parse=parse
    )


def _write(upload: _Upload, folder: Path, fallback: str, limits: Limits) -> Path:
    """Write a file unpacked and, where it is UTF-16, as UTF-8."""
    folder.mkdir()
    path = folder / (_harmless_name(upload.name) or fallback)
    path.write_bytes(upload.content)
    with open_unpacked(path) as file:
        is_wide = b"\0" in file.stream.peek(4)[:4]
        n = limits.body_bytes + 1
        content: bytes = file.text().read(n).encode() if is_wide else file.stream.read(n)
        name = file.name
    if len(content) > limits.body_bytes:
        raise DataError(
            f"{upload.name[:80]}: larger than {limits.body_mb:g} MB unpacked. Send less at once."
        )
    _check_harmless(name[:80], content)
    if content != upload.content:
        path.unlink()
        path = folder / (_harmless_name(name) or fallback)
        path.write_bytes(content)
    return path


def _harmless_name(name: str) -> str:
    # Of a name only letters count: it is never a path.
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("\\", "/").rpartition("/")[2])
    return plain.lstrip(".")[-80:]


def _check_harmless(name: str, content: bytes) -> None:
    """Refuse what unfolds when it is read, or points elsewhere."""
    if content.startswith(_PACKED) or content[257:262] == b"ustar":
        raise DataError(f"{name}: packed twice, or in a way not taken here. Send it unpacked.")
    if b"\0" in content:
        raise DataError(f"{name}: no text in UTF-8. Save it as UTF-8.")
    if not re.match(rb"(\xef\xbb\xbf)?\s*<", content):
        return
    encoding = _XML_ENCODING.search(content[:1000])
    if encoding and encoding[1].lower() not in _XML_ENCODINGS:
        raise DataError(f"{name}: XML in another encoding than UTF-8. Save it as UTF-8.")
    # Entities can unfold without bound or name files of this machine; mzML has none.
    if re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE):
        raise DataError(f"{name}: XML with a DOCTYPE, which no mzML file has. Export it again.")


def _to_query(
    number: int, place: str, record: Record, conditions: Conditions, shared: bytes | None
) -> Query:
    candidates = shared
    if shared is None:
        if record.smiles is None:
            reason = "no SMILES. Send candidates to rank structures."
            return Query(number, place, left_out=f"{place}: {reason} Left out.")
        candidates = pickle.dumps([Candidate(record.smiles)])
    try:
        spectrum = conditions.fill(record.spectrum)
    except UNANSWERABLE as error:
        return Query(number, place, left_out=f"{place}: {error} Left out.")
    return Query(number, place, pickle.dumps(spectrum), candidates)


def _to_dict(place: str, record: Record) -> dict[str, Any]:
    """Return a spectrum of a file as POST /spectra/read shows it."""
    spectrum = record.spectrum
    names = ("precursor_mz", "adduct", "collision_energy", "instrument_type", "ion_mode")
    return {
        "identifier": spectrum.identifier,
        "place": place,
        "mzs": spectrum.mzs.tolist(),
        "intensities": spectrum.intensities.tolist(),
        **{name: getattr(spectrum, name) for name in names},
        "notes": list(spectrum.notes),
        "smiles": record.smiles,
    }
