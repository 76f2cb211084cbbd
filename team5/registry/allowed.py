"""What a user allows a version to name: classes outside team5, each by its full dotted name."""

from __future__ import annotations

from collections.abc import Iterable

from team5.errors import ConfigError


def check_allow(allow: object) -> list[str]:
    """Return the names of ``allow=``; anything but a list of dotted names is refused.

    Raises
    ------
    ConfigError
    """
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise ConfigError(f"allow={allow}: give a list, allow=[my_lab.encoder.MyEncoder].")
    names = list(allow)
    wrong = [
        each
        for each in names
        if not (isinstance(each, str) and "." in each and each.replace(".", "_").isidentifier())
    ]
    if wrong:
        raise ConfigError(
            f"allow: {wrong[0]!r} is no dotted name of a class, as my_lab.encoder.MyEncoder. "
            "Each class is named in full; there are no patterns."
        )
    return names
