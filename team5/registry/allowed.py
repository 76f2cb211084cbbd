"""Classes that a user allows a version to name, and the plain values it may pass to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from team5.errors import ConfigError

# A few words: nothing that could be a path, an address or a variable.
_WORDS = re.compile(r"[\w+-][\w .,+()@-]{0,99}")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_MAX_ITEMS, _MAX_DEPTH = 10_000, 4


def check_allow(allow: object) -> list[str]:
    """Return the names of ``allow=``; anything but a list of dotted names is refused.

    Raises
    ------
    ConfigError
    """
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise ConfigError(f"allow={allow}: give a list, allow=[my_lab.encoder.MyEncoder].")
    names = list(allow)
    wrong = [each for each in names if not is_dotted(each)]
    if wrong:
        raise ConfigError(
            f"allow: {wrong[0]!r} is no dotted name of a class, as my_lab.encoder.MyEncoder. "
            "Each class is named in full; there are no patterns."
        )
    return names


def is_dotted(name: object) -> bool:
    """Tell whether something is the full dotted name of a class."""
    return isinstance(name, str) and "." in name and name.replace(".", "_").isidentifier()


def argument_fault(name: object, value: object, depth: int = 0) -> str | None:
    """Return why a version may not pass this argument to a class; None if it may.

    Allowed are None, numbers, booleans, short text that cannot be a path or an address, and
    lists and mappings of these.
    """
    if not isinstance(name, str) or _PARAMETER.fullmatch(name) is None:
        return f"{str(name)[:60]!r} is no name of an argument"
    match value:
        case None | bool():
            return None
        case int() | float() if abs(value) <= 1e15:  # never of NaN
            return None
        case str() if value == "" or _WORDS.fullmatch(value):
            return None
        case list() | tuple() if len(value) <= _MAX_ITEMS and depth < _MAX_DEPTH:
            return next(filter(None, (argument_fault(name, v, depth + 1) for v in value)), None)
        case Mapping() if len(value) <= _MAX_ITEMS and depth < _MAX_DEPTH:
            inner = (argument_fault(key, v, depth + 1) for key, v in value.items())
            fault = next(filter(None, inner), None)
            return f"{name}: {fault}" if fault else None
    return f"{name}={str(value)[:60]!r} is no plain value: a number, a word, a list of these"
