"""Answers on a terminal: fitted to its width, coloured, with a small spectrum."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from team5.runtime.tables import cut, printable

if TYPE_CHECKING:
    from rich.text import Text

MARK = "▴"
_BLANK = 0x2800  # braille without a dot; the eight dots are its bits
# Bits of a cell's left and right dots, from the lowest up (The Unicode Standard, Braille Patterns).
_DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
_ROWS = 4
_MAX_CELLS = 64
_MIN_CELLS = 16
_BRAILLE = re.compile(r"[\u2801-\u28ff]")
_STYLES = (
    (r"(?m)^  match: probability [\d.]+", "bold green"),
    (r"(?m)^  no match: probability [\d.]+", "bold yellow"),
    (r"(?m)^ +rank  .*$|^ +m/z  intensity.*$", "bold"),
    (r"(?<=  )yes(?=  )", "green"),
    (r"WITHHELD", "bold yellow"),
    (r"(?m)^  (Note|Model|Not shown|\.\.\. ).*$", "dim"),
)


@dataclass(frozen=True)
class Terminal:
    """Capabilities of standard output.

    Attributes
    ----------
    width : int or None
        Columns to fit; None in a pipe or a file, where nothing is cut.
    draws : bool
        Whether it can show braille.
    colours : bool
        By ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM``, otherwise only on a terminal.
    """

    width: int | None = None
    draws: bool = False
    colours: bool = False

    @classmethod
    def here(cls) -> Terminal:
        """Return the capabilities of this process's standard output."""
        if not sys.stdout.isatty():
            return cls(colours=_wants_colours(is_terminal=False))
        return cls(
            shutil.get_terminal_size().columns,
            draws=not _is_dumb() and _takes(MARK + chr(_BLANK)),
            colours=_wants_colours(is_terminal=True),
        )

    def sketch(
        self, mzs: Sequence[float], intensities: Sequence[float], explained: Iterable[float] = ()
    ) -> list[str]:
        """Return a spectrum as lines, marks below the explained peaks; none where none is drawn."""
        if not self.draws or self.width is None or self.width - 4 < _MIN_CELLS or not len(mzs):
            return []
        return sketch(mzs, intensities, explained, min(self.width - 4, _MAX_CELLS))

    def fit(self, text: str) -> str:
        """Return a text whose lines are no wider than the terminal."""
        if self.width is None:
            return text
        return "\n".join(_fit_line(line, self.width) for line in text.split("\n"))

    def print(self, text: str) -> None:
        """Print an answer."""
        _silence_colorama()
        fitted = self.fit(printable(text))
        if not self.colours:
            print(fitted, flush=True)
            return
        from rich.console import Console

        console = Console(
            file=sys.stdout, force_terminal=True, color_system="standard", highlight=False
        )
        console.print(coloured(fitted), soft_wrap=True)
        sys.stdout.flush()


def sketch(
    mzs: Sequence[float], intensities: Sequence[float], explained: Iterable[float], n_cells: int
) -> list[str]:
    """Return a spectrum in braille.

    Parameters
    ----------
    mzs, intensities : sequence of float
        Peaks in any order; intensities in any positive unit.
    explained : iterable of float
        The ``mzs`` to mark.
    n_cells : int
        Width in characters; two peaks of different m/z may share one.

    Returns
    -------
    list of str
        Four lines of braille, one of marks if there are any, and the m/z axis.
    """
    low, high, highest = min(mzs), max(mzs), max(intensities)
    n_dots = 2 * n_cells - 1

    def place(mz: float) -> int:
        return round((mz - low) / (high - low) * n_dots) if high > low else n_cells

    cells = [[_BLANK] * n_cells for _ in range(_ROWS)]
    for mz, intensity in zip(mzs, intensities, strict=True):
        dot = place(mz)
        # Even the smallest peak is visible.
        for height in range(max(1, round(4 * _ROWS * intensity / highest))):
            cells[-1 - height // 4][dot // 2] |= _DOTS[dot % 2][height % 4]
    marked = {place(mz) // 2 for mz in explained}
    lines = ["".join(map(chr, row)).replace(chr(_BLANK), " ").rstrip() for row in cells]
    if marked:
        lines.append("".join(MARK if i in marked else " " for i in range(n_cells)).rstrip())
    axis = f"{low:.2f}", f"{high:.2f} m/z"
    if high > low:
        lines.append(axis[0] + axis[1].rjust(n_cells - len(axis[0])))
    else:
        lines.append(axis[1].center(n_cells).rstrip())
    return [f"  {line}".rstrip() for line in lines]


def coloured(text: str) -> Text:
    """Return an answer's text with its verdicts, headings and explained peaks in colour."""
    from rich.text import Text

    shown = Text(text)
    for pattern, style in _STYLES:
        shown.highlight_regex(pattern, style)
    start = 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _BRAILLE.search(line):
            marks = next((other for other in lines[number:] if not _BRAILLE.search(other)), "")
            for column, character in enumerate(line):
                if character != " ":
                    is_marked = marks[column : column + 1] == MARK
                    style = "bold cyan" if is_marked else "bright_black"
                    shown.stylize(style, start + column, start + column + 1)
        elif MARK in line:
            shown.stylize("cyan", start, start + len(line))
        start += len(line) + 1
    return shown


def _fit_line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    stripped = line.lstrip()
    indent = " " * (len(line) - len(stripped))
    if " " not in stripped:  # a SMILES
        return cut(line, width)
    return textwrap.fill(
        stripped, max(width, 20), initial_indent=indent, subsequent_indent=f"{indent}  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _wants_colours(*, is_terminal: bool) -> bool:
    if os.environ.get("NO_COLOR"):  # no-color.org: set and not empty
        return False
    forced = os.environ.get("FORCE_COLOR")
    if forced is not None:
        return forced not in ("", "0")
    return is_terminal and not _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")


def _silence_colorama() -> None:
    """Undo colorama's reset of terminal colours at exit, which would write to plain output too.

    numba imports colorama, which registers it.
    """
    colorama = sys.modules.get("colorama.initialise")
    if colorama is not None:
        atexit.unregister(colorama.reset_all)


def _takes(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
