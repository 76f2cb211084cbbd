"""Plots of structures: ranked candidates as a grid, and the fragment of each peak."""

import re
import textwrap
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from team5.chemistry import depiction
from team5.errors import ConfigError
from team5.inference.results import ExplainedPeak, Match, confidence_text
from team5.runtime.tables import cut
from team5.viz.spectra import format_adduct, format_formula
from team5.viz.style import BLUE, INK, MUTED, VERMILION, axes_or_new, figure_of, new_figure, plain

_PANEL = (2.5, 2.35)  # inches, of a structure with its lines of text
_FRAME = (220, 150)  # units of the drawing
# Sky blue, pale enough to lie under the structure.
_FRAGMENT_TINT = "#C7E5F7"
_CHARACTERS_PER_INCH = 12.5  # of a title
_MAX_NAME_LENGTH = 32  # characters
_CODES = {"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3}


def plot_structure(
    smiles: str,
    *,
    atoms: Sequence[int] = (),
    cut_bonds: Sequence[tuple[int, int]] = (),
    ax: Axes | None = None,
) -> Figure:
    """Draw a structure as vectors, atoms of a fragment shaded and broken bonds crossed.

    Parameters
    ----------
    smiles : str
    atoms : sequence of int
        Of the fragment, by index in the verbatim SMILES: ``peak.atoms``.
    cut_bonds : sequence of pairs of int
        ``peak.broken_bonds``.

    Raises
    ------
    MoleculeError
        If the text is not a SMILES that team5 accepts.
    """
    figure, ax = axes_or_new(ax, 3.0, 2.2)
    _prepare(ax)
    # Lines are as thick as the drawing is large, so the layout has to stand first.
    figure.draw_without_rendering()
    _draw(ax, smiles, atoms, cut_bonds)
    return figure


def plot_candidates(
    matches: Sequence[Match],
    *,
    names: Sequence[str] | None = None,
    top: int = 8,
    columns: int = 4,
    title: str | None = None,
) -> Figure:
    """Draw ranked candidates as a grid, the best first, each with its confidence and score.

    Parameters
    ----------
    matches : sequence of Match
        Candidates of one spectrum, in any order.
    names : sequence of str, optional
        Of the candidates, in the order of ``matches``.
    top : int
        Number of drawn candidates; the title gives the total.
    columns : int
    title : str, optional
        By default the number of candidates, and whether the ranking was withheld.

    Raises
    ------
    ConfigError
        If there are no candidates, or ``top``, ``columns`` or the number of names is wrong.
    """
    if not matches or top < 1 or columns < 1:
        raise ConfigError("give at least one match, and top= and columns= of at least 1.")
    if names is not None and len(names) != len(matches):
        raise ConfigError(f"{len(names)} names for {len(matches)} matches; give one for each.")
    order = sorted(range(len(matches)), key=lambda i: matches[i].rank or 0)[:top]
    shown = [matches[i] for i in order]
    if title is None:
        title = _candidates_title(shown, len(matches))
    # If all are withheld, the title says so.
    some_held_back = not all(match.abstained for match in shown)
    texts = [_candidate_texts(matches[i], names[i] if names else "", some_held_back) for i in order]
    figure, panels = _grid(columns, texts, title)
    for panel, match in zip(panels, shown, strict=True):
        _draw(panel, match.smiles)
    return figure


def plot_fragments(
    match: Match, *, top: int = 6, columns: int = 6, title: str | None = None
) -> Figure:
    """Draw the structure once for each of the highest explained peaks, the fragment marked.

    Parameters
    ----------
    match : Match
    top : int
        Number of the highest explained peaks, drawn in order of m/z.
    columns : int
    title : str, optional
        By default the number of peaks and the meaning of the marks.

    Raises
    ------
    ConfigError
        If no peak is explained, or ``top`` or ``columns`` is below 1.
    """
    if not match.peaks or top < 1 or columns < 1:
        raise ConfigError(
            "give a match with at least one explained peak, and top= and columns= of at least 1."
        )
    highest = sorted(match.peaks, key=lambda peak: -peak.intensity)[:top]
    peaks = sorted(highest, key=lambda peak: peak.mz)
    if title is None:
        title = (
            f"The {len(peaks)} highest of {len(match.peaks)} explained peaks"
            if len(match.peaks) > len(peaks)
            else "Explained peaks"
        ) + ": atoms of the fragment shaded, broken bonds crossed"
    figure, panels = _grid(columns, [_peak_texts(peak) for peak in peaks], title)
    for panel, peak in zip(panels, peaks, strict=True):
        _draw(panel, match.smiles, peak.atoms, peak.broken_bonds)
    return figure


def _prepare(ax: Axes) -> None:
    ax.set_xlim(0, _FRAME[0])
    ax.set_ylim(_FRAME[1], 0)
    ax.set_aspect("equal")
    ax.set_axis_off()


def _draw(
    ax: Axes, smiles: str, atoms: Sequence[int] = (), cut_bonds: Sequence[tuple[int, int]] = ()
) -> None:
    drawn = depiction.depict(smiles, *_FRAME)
    box = ax.get_window_extent()
    points = 72 / figure_of(ax).dpi * min(box.width / drawn.width, box.height / drawn.height)
    _add_lines(
        ax, drawn.fragment_lines(atoms), _FRAGMENT_TINT, depiction.FRAGMENT_WIDTH * points,
        capstyle="round", zorder=1, gid="fragment",
    )  # fmt: skip
    for shape in drawn.shapes:
        ax.add_patch(
            PathPatch(
                _to_path(shape.path),
                facecolor=_or_ink(shape.fill),
                edgecolor=_or_ink(shape.stroke),
                linewidth=shape.line_width * points if shape.stroke else 0,
                capstyle="round",
                zorder=2,
            )
        )
    cuts, width = drawn.cut_lines(cut_bonds), depiction.CUT_WIDTH * points
    _add_lines(ax, cuts, depiction.CUT_COLOUR, width, zorder=3, gid="cuts")


def _add_lines(
    ax: Axes, lines: Sequence[Any], colour: str, width: float, **properties: Any
) -> None:
    if lines:
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=width, **properties))


def _grid(
    columns: int, texts: Sequence[Sequence[tuple[str, str]]], title: str
) -> tuple[Figure, list[Axes]]:
    """Return panels with coloured texts: one above, the others below."""
    columns = min(columns, len(texts))
    rows = ceil(len(texts) / columns)
    width = _PANEL[0] * columns
    # Adducts are mathtext, which must stay in one piece.
    lines = textwrap.wrap(
        title, int(width * _CHARACTERS_PER_INCH), break_on_hyphens=False, break_long_words=False
    )
    figure = new_figure(width, 0.2 + 0.2 * len(lines) + _PANEL[1] * rows)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11, color=INK)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        _prepare(panel)
    for panel, (above, *below) in zip(panels, texts, strict=False):
        panel.set_title(above[0], fontsize=10, color=above[1], pad=3)
        for row, (text, colour) in enumerate(below):
            panel.annotate(
                text, (0.5, 0.0), xycoords="axes fraction", xytext=(0, -3 - 12 * row),
                textcoords="offset points", ha="center", va="top", fontsize=8.5, color=colour,
            )  # fmt: skip
    # Lines are as thick as the drawing is large, so the layout has to stand first.
    figure.draw_without_rendering()
    return figure, list(panels[: len(texts)])


def _candidate_texts(match: Match, name: str, say_held_back: bool) -> list[tuple[str, str]]:
    probability = f"probability {match.probability:.2f}"
    if match.rank is not None:
        probability = f"{match.rank}   confidence {confidence_text(match.confidence)}"
    texts = [(probability, BLUE if match.label else MUTED)]
    if name:
        texts.append((plain(cut(name, _MAX_NAME_LENGTH)), INK))
    score = f"{match.score:.2f}".replace("-", "−")
    texts.append((f"score {score}, {100 * match.explained_intensity:.0f} % explained", MUTED))
    if match.abstained and say_held_back:
        texts.append(("withheld", VERMILION))
    if match.precursor_fits is False:
        texts.append(("cannot have the precursor", VERMILION))
    return texts


def _candidates_title(shown: Sequence[Match], n_candidates: int) -> str:
    best = shown[0]
    count = f"{n_candidates} candidate{'s' if n_candidates != 1 else ''}"
    if len(shown) < n_candidates:
        count = f"Best {len(shown)} of {count}"
    title = f"{count}, {format_adduct(best.adduct)}, ranked by {best.version}"
    return f"{title}. Withheld: {best.abstained}" if best.abstained else title


def _peak_texts(peak: ExplainedPeak) -> list[tuple[str, str]]:
    error = f"{peak.error_ppm:+.1f}".replace("-", "−")
    return [
        (f"m/z {peak.mz:.4f}", INK),
        (format_formula(peak.formula), BLUE),
        (f"{error} ppm, {100 * peak.intensity:.0f} % of base peak", MUTED),
    ]


def _to_path(text: str) -> Path:
    """Return an SVG path with the commands M, L, Q and Z as matplotlib's."""
    vertices: list[tuple[float, float]] = []
    codes: list[np.uint8] = []
    for command, numbers in re.findall(r"([MLQZ])([^MLQZ]*)", text):
        if command == "Z":
            vertices.append(vertices[-1])
            codes.append(Path.CLOSEPOLY)
            continue
        values = [float(number) for number in numbers.split()]
        points = list(zip(values[::2], values[1::2], strict=True))
        vertices += points
        codes += [_CODES[command]] * len(points)
    return Path(vertices, codes)


def _or_ink(colour: str | None) -> str:
    return "none" if colour is None else INK if colour == depiction.INK else colour
