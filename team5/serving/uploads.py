"""Files that callers send: as a form with files, or as JSON with their text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from team5.chemistry.adducts import parse_adduct
from team5.data.conditions import Conditions
from team5.data.spectrum import text_or_none
from team5.errors import ConfigError
from team5.serving.items import parse_json
from team5.serving.messages import Upload

_FILES = ("spectra", "candidates")
_OPTIONS = ("adduct", "precursor_mz", "collision_energy", "instrument_type", "max_error")
_MAX_FIELDS = 20


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """Files, and what is known beside them.

    Attributes
    ----------
    spectra : Upload
    candidates : Upload or None
    context : Conditions
        For spectra that do not say themselves how they were measured.
    max_error : float or None
    """

    spectra: Upload
    candidates: Upload | None
    context: Conditions
    max_error: float | None


async def parse_upload(request: Request, body: bytes) -> FileQuestion:
    """Return what a request for files asks.

    Raises
    ------
    ConfigError
        If it is neither a form nor a JSON object, or lacks the spectra.
    AdductError
        If the adduct is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        given = await _parse_form(request, body)
    else:
        given = parse_json(body)
        if not isinstance(given, dict):
            raise ConfigError(
                'send a form with files (curl -F spectra=@FILE) or JSON: {"spectra": "TEXT"}.'
            )
    return _checked(given)


async def _parse_form(request: Request, body: bytes) -> dict[str, Any]:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(
        request.headers,
        chunks(),  # type: ignore[arg-type]  # any asynchronous iterator will do
        max_files=len(_FILES),
        max_fields=_MAX_FIELDS,
        max_part_size=max(len(body), 1),
    )
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeDecodeError, KeyError) as error:
        why = getattr(error, "message", None) or "its parts cannot be told apart"
        raise ConfigError(f"the form cannot be read: {why}") from error
    given: dict[str, Any] = {}
    async with _closing(form):
        for key, value in form.multi_items():
            if key in given:
                raise ConfigError(f"{key} is given twice. Give it once.")
            if isinstance(value, UploadFile):
                given[key] = Upload(value.filename or "", await value.read())
            else:
                given[key] = value
    return given


class _closing:  # noqa: N801  (as contextlib.aclosing)
    def __init__(self, form: Any) -> None:
        self._form = form

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        await self._form.close()


def _checked(given: Mapping[str, Any]) -> FileQuestion:
    known = {*_FILES, *(f"{name}_name" for name in _FILES), *_OPTIONS}
    if unknown := sorted(str(key)[:40] for key in given.keys() - known):
        raise ConfigError(f"no key {unknown[0]!r} here; there are: {', '.join(sorted(known))}.")
    spectra, candidates = (_upload(given, name) for name in _FILES)
    if spectra is None:
        raise ConfigError("spectra is missing. Send the text of an MGF, MSP or mzML file.")
    adduct = text_or_none(given.get("adduct"))
    if adduct is not None:
        parse_adduct(adduct)
    context = Conditions(
        adduct,
        _number(given, "precursor_mz"),
        given.get("collision_energy"),
        text_or_none(given.get("instrument_type")),
    )
    return FileQuestion(spectra, candidates, context, _number(given, "max_error"))


def _upload(given: Mapping[str, Any], name: str) -> Upload | None:
    value = given.get(name)
    if value is None or isinstance(value, Upload):
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be the text of a file, not {type(value).__name__}.")
    file_name = given.get(f"{name}_name")
    return Upload(
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
