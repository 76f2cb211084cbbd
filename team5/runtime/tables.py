"""Text tables that fit the terminal, and text that is safe to print."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Sequence

ELLIPSIS = "…"
SMILES = "SMILES"
# Columns a narrow terminal drops, in this order; files and JSON have them all.
_DISPENSABLE = ("error ppm", "explained", "formula", "match", "score")
# C0 and C1 controls, DEL, and what turns the direction of writing (Unicode Standard Annex 9).
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STEERING_IN_CELLS = re.compile(f"[\t\n]|{_STEERING.pattern}")
_MIN_SMILES_WIDTH = 16
_MAX_NAME_WIDTH = 24


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the plural unless the number is 1."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def counted_spectra(n: int) -> str:
    """Return a number of spectra in words."""
    return counted(n, "spectrum", "spectra")


def to_columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[str] = (),
    width: int | None = None,
    indent: int = 2,
) -> Iterator[str]:
    """Yield the lines of a table; terminal control characters in its cells are spelled out.

    rich.table could do this; importing it would slow down every short answer.

    Parameters
    ----------
    left : collection of str
        Left-aligned columns; the others are numbers.
    indent : int, default 2
        Blanks before each line.
    width : int, optional
        Columns of the terminal: names and SMILES are shortened to fit, and dispensable columns
        are dropped and named below the table. By default nothing is cut.
    """
    shown = [[printable(cell, lines=False) for cell in row] for row in rows]
    columns = [list(column) for column in zip(header, *shown, strict=True)]
    dropped: list[str] = []
    if width is not None:
        columns, dropped = _fit(columns, width)
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        padded = (
            cell.ljust(wide) if column[0] in left else cell.rjust(wide)
            for cell, wide, column in zip(cells, widths, columns, strict=True)
        )
        yield (" " * indent + "  ".join(padded)).rstrip()
    if dropped:
        yield cut(f"  Not shown for lack of width: {', '.join(dropped)}.", width)


def printable(text: str, *, lines: bool = True) -> str:
    """Return a text with terminal control characters spelled out; names in files may contain them.

    Line breaks and tabs stay unless ``lines`` is False.
    """
    pattern = _STEERING if lines else _STEERING_IN_CELLS
    return pattern.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def print_text(text: str, *, to_stderr: bool = False) -> None:
    """Print text for people, safe against control characters in names of files or versions."""
    print(printable(text), file=sys.stderr if to_stderr else sys.stdout)


def cut(text: str, width: int | None) -> str:
    """Return a text of at most so many characters; an ellipsis marks a cut."""
    if width is None or len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + ELLIPSIS


def _fit(columns: list[list[str]], width: int) -> tuple[list[list[str]], list[str]]:
    dropped = []
    columns = [
        [cut(cell, _MAX_NAME_WIDTH) for cell in column] if column[0] == "name" else column
        for column in columns
    ]
    for name in _DISPENSABLE:
        if _space(columns, width) >= _wanted(columns):
            break
        remaining = [column for column in columns if column[0] != name]
        if len(remaining) < len(columns):
            dropped.append(name)
            columns = remaining
    space = max(_space(columns, width), 1)
    return [
        [cut(cell, max(space, len(SMILES))) for cell in column] if column[0] == SMILES else column
        for column in columns
    ], dropped


def _space(columns: Sequence[Sequence[str]], width: int) -> int:
    """Return how many characters are left for the SMILES, or at all."""
    return width - 2 - sum(max(map(len, c)) + 2 for c in columns if c[0] != SMILES)


def _wanted(columns: Sequence[Sequence[str]]) -> int:
    # Without SMILES the blanks behind the last column are none.
    longest = [max(map(len, column)) for column in columns if column[0] == SMILES]
    return min(longest[0], _MIN_SMILES_WIDTH) if longest else -2
