"""Uploaded files: parsed from a request, checked, and read like local files."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.data.conditions import Conditions
from team5.data.metadata import text_or_none
from team5.data.readers import nothing_usable
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record
from team5.errors import ConfigError, DataError, Team5Error
from team5.search.checks import KEEP, check_one_source, check_window
from team5.search.reading import UNANSWERABLE, iter_candidates, numbered_records
from team5.search.spectra import Chunk, SpectraFile, check_group_by, iter_chunks
from team5.search.structures import (
    CandidateSet,
    ListedStructures,
    Structures,
    TargetStructures,
    without_candidates,
)
from team5.serving.items import check_atoms, parse_json
from team5.serving.libraries import ServedLibrary, structures_of
from team5.serving.messages import Contents, Query
from team5.serving.settings import Limits

_FILES = ("spectra", "candidates")
_CONDITIONS = ("adduct", "precursor_mz", "collision_energy", "instrument_type")
_OPTIONS = (*_CONDITIONS, "max_error", "library", "ppm", "keep", "group_by", "first")
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
    fields = _parse(content_type, body)
    left_out: list[str] = []
    with _folder() as folder:
        records = _read(folder, fields["spectra"], limits, left_out)
        spectra = [_to_dict(*record) for record in records]
    return json.dumps({"spectra": spectra, "left_out": left_out}).encode() + b"\n"


def read_for_ranking(
    libraries: Mapping[str, ServedLibrary], content_type: str, body: bytes, limits: Limits
) -> Contents:
    """Return the queries of POST /rank/file: those that a search of the file would score."""
    fields = _parse(content_type, body)
    adduct = fields.get("adduct")
    conditions = Conditions(
        adduct if isinstance(adduct, list) else text_or_none(adduct),
        _number(fields, "precursor_mz"),
        fields.get("collision_energy"),
        text_or_none(fields.get("instrument_type")),
    )
    max_error, group_by = _number(fields, "max_error"), text_or_none(fields.get("group_by"))
    ppm, keep = _number(fields, "ppm"), _number(fields, "keep")
    ppm = CANDIDATE_TOLERANCE_PPM if ppm is None else ppm
    keep = KEEP if keep is None else int(keep) if keep.is_integer() else keep
    check_window(ppm, keep)
    check_group_by(group_by)
    first = _number(fields, "first")
    if first is not None and not (first >= 1 and first.is_integer()):
        raise ConfigError(
            f"first={first:g}: give the number of a spectrum, from 1.", argument="first"
        )
    first = first or 1
    left_out: list[str] = []
    queries: list[Query] = []
    packed: dict[bytes, bytes] = {}  # lists of candidates that many spectra share, each once
    n_spectra = 0
    with _folder() as folder:
        structures = _structures(folder, fields, libraries, limits, left_out)
        path = _write(fields["spectra"], folder / "spectra", "spectra.txt", limits)
        for chunk in iter_chunks(SpectraFile(path), conditions, 1, group_by):
            n_spectra += chunk.n_spectra
            _check_spectra(n_spectra, limits)
            if _first_of(chunk) < first:
                continue
            queries += _to_queries(path.name, chunk, structures, ppm, limits, packed)
    if not n_spectra:
        raise DataError(nothing_usable(path.name, Counter()))
    return Contents(queries, int(keep), max_error, left_out)


def _parse(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the fields of a request, files as uploads."""
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        fields = asyncio.run(_parse_form(content_type, body))
    else:
        fields = parse_json(body)
        if not isinstance(fields, dict):
            raise ConfigError(
                'send a form with files (curl -F spectra=@FILE) or JSON: {"spectra": "TEXT"}.'
            )
    known = {*_FILES, *(f"{name}_name" for name in _FILES), *_OPTIONS}
    if unknown := sorted(str(key)[:40] for key in fields.keys() - known):
        raise ConfigError(f"no key {unknown[0]!r} here; there are: {', '.join(sorted(known))}.")
    files = {name: _upload(fields, name) for name in _FILES}
    if files["spectra"] is None:
        raise ConfigError("spectra is missing. Send the text of an MGF, MSP or mzML file.")
    return {**fields, **files}


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
    fields: dict[str, Any] = {}
    for key, value in form.multi_items():
        if key in fields:
            raise ConfigError(f"{key} is given twice. Give it once.")
        if isinstance(value, UploadFile):
            fields[key] = _Upload(value.filename or "", await value.read())
        else:
            fields[key] = value
    return fields


def _upload(fields: Mapping[str, Any], name: str) -> _Upload | None:
    value = fields.get(name)
    if value is None or isinstance(value, _Upload):
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be the text of a file, not {type(value).__name__}.")
    file_name = fields.get(f"{name}_name")
    return _Upload(
        file_name if isinstance(file_name, str) else "",
        value.encode("utf-8", errors="surrogatepass"),
    )


def _number(fields: Mapping[str, Any], key: str) -> float | None:
    value = fields.get(key)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{key}={str(value)[:40]!r} is not a number.", argument=key) from error


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for uploads, whose path does not appear in errors."""
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
    for n_spectra, (number, record) in enumerate(records, start=1):
        _check_spectra(n_spectra, limits)
        yield number, _bare(f"{path}, spectrum {number}", folder), record


def _check_spectra(n_spectra: int, limits: Limits) -> None:
    if n_spectra > limits.spectra:
        raise ConfigError(
            f"more than {limits.spectra:,} spectra, the most that are taken at once. "
            "Send several files."
        )


def _structures(
    folder: Path,
    fields: Mapping[str, Any],
    libraries: Mapping[str, ServedLibrary],
    limits: Limits,
    left_out: list[str],
) -> Structures:
    """Return the candidates of the spectra."""
    library, upload = text_or_none(fields.get("library")), fields["candidates"]
    if library is not None:
        check_one_source({name for name in ("library", "candidates") if fields.get(name)})
        return structures_of(libraries, library)
    if upload is None:
        return TargetStructures()
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
    candidates = iter_candidates(
        path, report=lambda text: left_out.append(_bare(text, folder)), parse=parse
    )
    return ListedStructures.of(path.name, candidates)


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
    """Refuse content that expands when read, or refers to other files."""
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


def _first_of(chunk: Chunk) -> int:
    """Return the number of the first spectrum of a chunk."""
    left_out = (each.spectrum for each in chunk.left_out)
    return min([*left_out, *(number for number, _ in chunk.spectra)])


def _to_queries(
    source: str,
    chunk: Chunk,
    structures: Structures,
    ppm: float,
    limits: Limits,
    packed: dict[bytes, bytes],
) -> Iterator[Query]:
    """Yield the queries of a chunk's spectra, and the spectra left out with the reason."""
    left_out = list(chunk.left_out)
    for number, spectrum in chunk.spectra:
        target = chunk.targets.get(number)
        candidates: CandidateSet | str
        try:
            if target is not None:
                check_atoms(target, limits)
            candidates = structures.candidates(spectrum, target, ppm)
        except UNANSWERABLE as error:
            candidates = str(error)
        others = chunk.others.get(number, ())
        spectra = [spectrum, *(other for _, other in others)]
        n_pairs = 0 if isinstance(candidates, str) else len(candidates.smiles) * len(spectra)
        if n_pairs > limits.candidates:
            candidates = (
                f"{n_pairs:,} pairs of a structure and a spectrum; at most {limits.candidates:,} "
                "are taken at once. Choose a smaller ppm="
            )
        if len(spectra) > limits.together:
            candidates = (
                f"{len(spectra):,} spectra of one group; at most {limits.together:,} are judged "
                "together. Merge those of one energy, or leave group_by= out"
            )
        if isinstance(candidates, str):
            left_out += without_candidates(chunk, number, spectrum, candidates)
        else:
            pickled = pickle.dumps(candidates)
            pickled = packed.setdefault(pickled, pickled)
            place = f"{source}, spectrum {number}"
            numbers = (number, *(each for each, _ in others))
            yield Query(number, place, numbers, pickle.dumps(spectra), pickled, n_pairs)
    for each in left_out:
        place = f"{source}, spectrum {each.spectrum}"
        yield Query(each.spectrum, place, left_out=each.to_text(source))


def _to_dict(number: int, place: str, record: Record) -> dict[str, Any]:
    """Return a spectrum of a file in the format of POST /spectra/read."""
    spectrum = record.spectrum
    names = (
        *("identifier", "feature_id", "scan", "retention_time", "group"),
        *("precursor_mz", "adduct", "collision_energy", "instrument_type", "ion_mode"),
    )
    return {
        "spectrum": number,
        "place": place,
        "mzs": spectrum.mzs.tolist(),
        "intensities": spectrum.intensities.tolist(),
        **{name: getattr(spectrum, name) for name in names},
        "notes": list(spectrum.notes),
        "smiles": record.smiles,
    }
