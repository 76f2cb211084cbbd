"""Parsing of a file's numbers: decimal points, decimal commas, or commas for thousands."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from team5.errors import DataError

# Tokens that hold numbers, and where they stand: "line 8".
Samples = Callable[[], Iterator[tuple[str, str]]]

_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+(?:[eE][+-]?\d+)?")
_THOUSANDS_COMMA = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_THOUSANDS_POINT = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")


class Numbers:
    """Parser of the numbers of one file, all by one rule.

    At the first comma within a number the whole file is searched for the reading that fits all of
    its numbers.

    Parameters
    ----------
    path : Path
        Named in errors.
    samples : callable
        Yields every number of the file that may contain a comma, with its place.
    """

    def __init__(self, path: Path, samples: Samples) -> None:
        self._path = path
        self._samples = samples
        self._comma: str | None = None

    def parse(self, token: str) -> float:
        """Return the value of a number.

        Raises
        ------
        ValueError
            If it is not a number.
        DataError
            If the file does not write its numbers in one way; names the places.
        """
        if "_" in token:  # Python takes it, no spectrum has it
            raise ValueError(token)
        if "," in token and self._comma is None:
            self._comma = self._settle()
        if self._comma == "decimal" and ("," in token or "." in token):
            if not (_DECIMAL_COMMA.fullmatch(token) or _THOUSANDS_POINT.fullmatch(token)):
                raise ValueError(token)
            token = token.replace(".", "").replace(",", ".")
        elif "," in token:
            if not _THOUSANDS_COMMA.fullmatch(token):
                raise ValueError(token)
            token = token.replace(",", "")
        return float(token)

    def in_field(self, text: str) -> str:
        """Return the first number of a field with a decimal point, other text unchanged."""
        if "," not in text:
            return text
        try:
            return str(self.parse(text.split()[0]))
        except DataError:  # of the whole file
            raise
        except ValueError:
            return text

    @property
    def has_decimal_commas(self) -> bool:
        """Whether a comma within a number of this file is a decimal comma."""
        if self._comma is None:
            self._comma = self._settle()
        return self._comma == "decimal"

    def _settle(self) -> str:
        examples: dict[str, str] = {}
        for token, place in self._samples():
            examples.setdefault(_kind(token), f"{token} ({place})")
        decimal, unsure = examples.get("decimal"), examples.get("unsure")
        contrary = examples.get("thousands") or examples.get("point")
        if decimal and contrary:
            raise DataError(
                f"{self._path}: a comma is a decimal comma in {decimal}, but not in {contrary}. "
                "Write all numbers in one way, best with decimal points.",
                code="decimal_comma",
            )
        if unsure and not decimal and not contrary:
            raise DataError(
                f"{self._path}: {unsure} may have a decimal comma or one for thousands, and no "
                "other number of the file tells. Write numbers with decimal points.",
                code="decimal_comma",
            )
        return "decimal" if decimal else "thousands"


@lru_cache(maxsize=65_536)
def _kind(token: str) -> str:
    if "," not in token:
        # 1.234 may also occur in files with decimal commas.
        return "point" if "." in token and not _THOUSANDS_POINT.fullmatch(token) else ""
    is_decimal = _DECIMAL_COMMA.fullmatch(token) is not None
    if not _THOUSANDS_COMMA.fullmatch(token):
        return "decimal" if is_decimal else ""
    if not is_decimal:
        return "thousands"
    integer_part = token.lstrip("+-").split(",")[0]
    # 0,123 is not thousands, and 195,087 is an m/z rather than a mass of 195 kDa.
    return "decimal" if integer_part == "0" or integer_part.startswith("0") else "unsure"
