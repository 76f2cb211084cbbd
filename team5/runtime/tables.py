"""Tables of text, as wide as their cells or as a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

ELLIPSIS = "…"
SMILES = "SMILES"
# What a narrow terminal can do without, the first first; files and JSON have it all.
_DISPENSABLE = ("error ppm", "explained", "formula", "match", "score")
_MIN_SMILES_WIDTH = 16
_MAX_NAME_WIDTH = 24


def to_columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[str] = (),
    width: int | None = None,
) -> Iterator[str]:
    """Yield the lines of a table, indented by two blanks.

    Parameters
    ----------
    left : collection of str
        Columns that are flush left; the others are numbers.
    width : int, optional
        Columns of the terminal. Names and SMILES are cut short, and what a narrow terminal can do
        without is left out, and named below; by default nothing is.
    """
    columns = [list(column) for column in zip(header, *rows, strict=True)]
    dropped: list[str] = []
    if width is not None:
        columns, dropped = _fit(columns, width)
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        padded = (
            cell.ljust(wide) if column[0] in left else cell.rjust(wide)
            for cell, wide, column in zip(cells, widths, columns, strict=True)
        )
        yield "  " + "  ".join(padded).rstrip()
    if dropped:
        yield cut(f"  Not shown for lack of width: {', '.join(dropped)}.", width)


def cut(text: str, width: int | None) -> str:
    """Return a text of at most so many characters, what is cut off marked by an ellipsis."""
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
        kept = [column for column in columns if column[0] != name]
        if len(kept) < len(columns):
            dropped.append(name)
            columns = kept
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
