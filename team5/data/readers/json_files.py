"""Reader of JSON from GNPS, MoNA and matchms: a list of spectra, or one object per line."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from team5.data.metadata import fields_of
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record, leave_out, record_of
from team5.errors import DataError

Progress = Callable[[float], None] | None

_READ_AT_ONCE = 1 << 20
_PEAK_KEYS = ("peaks_json", "peaks", "spectrum", "mzs")
_PAIR = re.compile(r"([\d.eE+-]+)[\s:,]+([\d.eE+-]+)")


def is_json(head: str) -> bool:
    """Return whether a file that begins like this is JSON of spectra."""
    text = head.lstrip("\ufeff \t\r\n")
    return text[:1] in ("[", "{") and any(f'"{key}"' in text for key in _PEAK_KEYS)


def iter_json(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the records of a JSON file."""
    stem = path.name.split(".")[0]
    for number, entry in enumerate(_entries(path, on_progress), start=1):
        place = f"spectrum {number}"
        try:
            pairs = list(_pairs(entry))
            mzs, intensities = _peaks(entry)
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError):
            leave_out(skipped, "record_not_understood", place)
            continue
        record = record_of(
            skipped,
            fields_of(pairs),
            mzs,
            intensities,
            name=f"{stem}-{number}",
            place=place,
        )
        if record is not None:
            yield record


def _entries(path: Path, on_progress: Progress) -> Iterator[Any]:
    """Yield the elements of the outermost list one by one; a file may be larger than memory."""
    decoder = json.JSONDecoder()
    with open_unpacked(path) as file:
        text = file.text()
        buffer = ""
        is_list: bool | None = None
        n_needed = 0  # characters without which the entry is known to be incomplete
        while True:
            chunk = text.read(_READ_AT_ONCE)
            buffer = (buffer + chunk).lstrip("\ufeff, \t\r\n")
            file.check_size(len(buffer))
            if is_list is None and buffer:
                is_list = buffer[0] == "["
                buffer = buffer[1:].lstrip() if is_list else buffer
            if on_progress:
                on_progress(file.share_read())
            while buffer and buffer[0] != "]" and (len(buffer) >= n_needed or not chunk):
                try:
                    entry, end = decoder.raw_decode(buffer)
                except ValueError as error:
                    if chunk:
                        n_needed = 2 * len(buffer)
                        break  # the rest of it is still to come
                    raise DataError(
                        f"{path}: the JSON cannot be read to its end ({error}). Export it again."
                    ) from error
                except RecursionError as error:
                    raise DataError(f"{path}: JSON of too many nested brackets.") from error
                yield entry
                buffer = buffer[end:].lstrip(", \t\r\n")
                n_needed = 0
            if not chunk:
                break
        if is_list and buffer[:1] != "]":
            raise DataError(
                f"{path}: the JSON cannot be read to its end (no closing bracket). Export it again."
            )


def _pairs(entry: Any) -> Iterator[tuple[str, Any]]:
    """Yield the key-value pairs of an entry; for MoNA, the spectrum's before the compound's."""
    for key, value in entry.items():
        if isinstance(value, (str, int, float)) and key not in _PEAK_KEYS:
            yield key, value
    # Of MoNA, and of PROXI, the format of web services for spectra.
    for item in _objects(entry, "metaData") + _objects(entry, "attributes"):
        yield str(item.get("name")), item.get("value")
    for compound in _objects(entry, "compound"):
        for key in ("inchi", "inchiKey"):
            yield key, compound.get(key)
        for item in _objects(compound, "metaData"):
            yield str(item.get("name")), item.get("value")
        for item in _objects(compound, "names")[:1]:
            yield "name", item.get("name")
    library = entry.get("library")
    if isinstance(library, dict):
        yield "contributor", library.get("library")


def _objects(entry: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = entry.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _peaks(entry: Any) -> tuple[Any, Any]:
    """Return m/z and intensities from a list of pairs, two lists, or text of either."""
    if "mzs" in entry:
        return entry["mzs"], entry["intensities"]
    value: Any = next((entry[key] for key in _PEAK_KEYS if entry.get(key)), [])
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json.loads(value)
    elif isinstance(value, str):
        value = _PAIR.findall(value)
    return [float(pair[0]) for pair in value], [float(pair[1]) for pair in value]
