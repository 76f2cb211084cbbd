"""Names of versions, ``v<major>.<minor>``: parse, order, next, closest."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from team5.errors import VersionError

# No leading zeros, so that a version has one name; nine digits, so that the name stays a short one.
_PATTERN = re.compile(r"v(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A version, ordered as numbers: ``v0.10`` comes after ``v0.9``."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Return the version that ``text`` names.

        Raises
        ------
        VersionError
            If ``text`` is not literally ``v<major>.<minor>``. A version's folder is named by it, so
            anything else is refused before a path is built.
        """
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise VersionError(
                f"{_quoted(text)} is not a version. Write v<major>.<minor>, for example v0.2."
            )
        return cls(int(match[1]), int(match[2]))

    @staticmethod
    def is_version(text: str) -> bool:
        """Tell whether ``text`` has the form of a version."""
        return _PATTERN.fullmatch(text) is not None

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}"


def next_version(existing: Iterable[Version]) -> Version:
    """Return the next minor version after the highest existing one; ``v0.1`` if there is none."""
    highest = max(existing, default=Version(0, 0))
    return Version(highest.major, highest.minor + 1)


def closest(name: str, existing: Iterable[Version]) -> list[Version]:
    """Return ``existing`` by similarity to ``name``; of equals, the newest first."""

    def likeness(version: Version) -> float:
        return SequenceMatcher(None, name, str(version)).ratio()

    # Names are short except in a mistaken or hostile call; the comparison costs their length.
    name = name[:40]
    return sorted(sorted(existing, reverse=True), key=likeness, reverse=True)


def _quoted(text: object) -> str:
    shown = f'"{text}"' if isinstance(text, str) and text.isprintable() else repr(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
