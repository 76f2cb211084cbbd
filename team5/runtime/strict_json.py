"""JSON as RFC 8259 has it: Python's reader and writer, without the NaN and Infinity they allow."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from team5.errors import ConfigError, DataError, DataFileNotFoundError

# Strings are matched first, so that a NaN found outside of them is the constant.
_CONSTANT = re.compile(r'"(?:\\.|[^"\\])*"|(NaN|-?Infinity)')


def parse_json(data: bytes) -> Any:
    """Return the value that ``data`` holds as UTF-8 JSON.

    Raises
    ------
    json.JSONDecodeError
        For any fault, with its line and column.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise json.JSONDecodeError("not UTF-8", before + "?", len(before)) from error

    def refuse_constant(constant: str) -> NoReturn:
        places = (match.start() for match in _CONSTANT.finditer(text) if match[1])
        raise json.JSONDecodeError(f"{constant} is not JSON", text, next(places, 0))

    try:
        return json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # an integer of more digits than Python converts
        raise json.JSONDecodeError(str(error), text, 0) from error
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", text, 0) from error


def to_json(value: Any, name: str) -> bytes:
    """Return ``value`` as indented UTF-8 JSON with a final newline.

    Parameters
    ----------
    value : JSON-able
        Dicts with text keys, lists, tuples, text, finite numbers, booleans and None.
    name : str
        What the value is, for the error.

    Raises
    ------
    ConfigError
        If something in it has no JSON form; names every such place.
    """
    faults = list(_faults(value, name))
    if faults:
        raise ConfigError(f"cannot be written as JSON: {'; '.join(faults)}. Give plain values.")
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises
    ------
    DataFileNotFoundError
        If it is not there.
    DataError
        If it cannot be read or holds something else; ends with the remedy.
    """
    try:
        value = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{path}: no such file. {remedy}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {remedy}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds no JSON object. {remedy}")
    return value


def _faults(value: Any, where: str) -> Iterator[str]:
    match value:
        case None | bool() | int():
            return
        case float():
            if not math.isfinite(value):
                yield f"{where} is {value}"
        case str():
            # Bytes of a command line that are not UTF-8 arrive as lone surrogates.
            if any("\ud800" <= character <= "\udfff" for character in value):
                yield f"{where} is not valid Unicode: {value!a}"
        case Mapping():
            for key, item in value.items():
                if isinstance(key, str):
                    yield from _faults(key, f"a key of {where}")
                    yield from _faults(item, f"{where}.{key}")
                else:
                    yield f"{where} has the key {key!r}, which is not text"
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _faults(item, f"{where}[{index}]")
        case _:
            yield f"{where} is of type {type(value).__name__}"
