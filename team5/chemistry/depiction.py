"""Drawings of structures by RDKit, with a fragment's atoms and cut bonds marked."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from team5.chemistry.molecule import bonds_of, parse_smiles, parse_typed

# Placeholder for the text colour, which a page or plot chooses.
INK = "#000000"
# After Okabe and Ito, Color Universal Design (2008), blue lighter and orange darker, so that each
# has a contrast of at least 3 to white and to black.
_BLUE, _VERMILION, _GREEN, _ORANGE = "#2B8CC4", "#D55E00", "#009E73", "#B27A00"
_ELEMENT_COLOURS = {
    6: INK, 7: _BLUE, 8: _VERMILION, 9: _GREEN, 15: _ORANGE, 16: _ORANGE, 17: _GREEN, 35: _GREEN,
    53: _GREEN,
}  # fmt: skip
FRAGMENT_COLOUR = "#56B4E9"
CUT_COLOUR = "#AA4499"
# In units of the depiction.
FRAGMENT_WIDTH = 15.0
CUT_WIDTH = 2.4
_CUT_LENGTH = 14.0
_BOND_LENGTH = 26.0  # at most; less where a structure would not fit
_LINE_WIDTH = 1.5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """Lines or letters of one colour.

    Attributes
    ----------
    path : str
        In SVG's syntax, with the commands M, L, Q and Z and absolute coordinates only.
    fill, stroke : str or None
        Colours as ``#rrggbb``; `INK` for that of text.
    line_width : float
    """

    path: str
    fill: str | None
    stroke: str | None
    line_width: float


@dataclass(frozen=True, eq=False)
class Depiction:
    """A structure in a frame of ``width`` and ``height``, y downwards.

    Attributes
    ----------
    shapes : tuple of Shape
    places : dict of int to point
        Of the heavy atoms, by index in the verbatim SMILES.
    bonds : tuple of pairs of int
        By the same indices.
    """

    width: float
    height: float
    shapes: tuple[Shape, ...]
    places: dict[int, Point]
    bonds: tuple[tuple[int, int], ...]

    def fragment_lines(self, atoms: Iterable[int]) -> list[tuple[Point, Point]]:
        """Return the lines that highlight a fragment: its bonds, and its lone atoms."""
        drawn = set(atoms) & set(self.places)
        inside = [(a, b) for a, b in self.bonds if a in drawn and b in drawn]
        alone = drawn - {atom for bond in inside for atom in bond}
        ends = inside + [(atom, atom) for atom in sorted(alone)]
        return [(self.places[a], self.places[b]) for a, b in ends]

    def cut_lines(self, bonds: Iterable[tuple[int, int]]) -> list[tuple[Point, Point]]:
        """Return short lines across the middle of bonds."""
        lines = []
        for a, b in bonds:
            if a in self.places and b in self.places:
                start, end = np.array(self.places[a]), np.array(self.places[b])
                along = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
                across = np.array([-along[1], along[0]]) * _CUT_LENGTH / 2
                middle = (start + end) / 2
                lines.append((_point(middle - across), _point(middle + across)))
        return lines


@lru_cache(maxsize=256)
def depict(smiles: str, width: int = 220, height: int = 160) -> Depiction:
    """Draw a structure as typed, with all components and stereo.

    Parameters
    ----------
    smiles : str
    width, height : int
        Of the frame. Structures fill it, unless bonds would become longer than usual.

    Raises
    ------
    MoleculeError
        If the text is no SMILES that team5 takes.
    """
    parse_smiles(smiles)
    mol, typed = parse_typed(smiles.strip())
    rdDepictor.Compute2DCoords(mol, canonOrient=True, useRingTemplates=True)
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options = drawer.drawOptions()
    options.clearBackground = False
    options.bondLineWidth = _LINE_WIDTH
    options.scaleBondWidth = False
    options.fixedBondLength = _BOND_LENGTH
    options.padding = 0.07
    options.flagCloseContactsDist = -1
    options.setAtomPalette({n: _rgb(colour) for n, colour in _ELEMENT_COLOURS.items()})
    drawer.DrawMolecule(rdMolDraw2D.PrepareMolForDrawing(mol))
    places = {typed[i]: _point(drawer.GetDrawCoords(i)) for i in range(len(typed))}
    drawer.FinishDrawing()
    return Depiction(
        width,
        height,
        _shapes(drawer.GetDrawingText()),
        places,
        tuple((typed[b.GetBeginAtomIdx()], typed[b.GetEndAtomIdx()]) for b in bonds_of(mol)),
    )


def depiction_svg(
    smiles: str,
    *,
    atoms: Sequence[int] = (),
    cut_bonds: Sequence[tuple[int, int]] = (),
    width: int = 220,
    height: int = 160,
) -> str:
    """Return a structure as an SVG element for a page, in the colour of the surrounding text.

    Parameters
    ----------
    smiles : str
    atoms : sequence of int
        To mark, by index in the SMILES as typed.
    cut_bonds : sequence of pairs of int
        To mark as broken.
    width, height : int
        In px.

    Raises
    ------
    MoleculeError
        If the text is no SMILES that team5 takes.
    """
    depiction = depict(smiles, width, height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [f'<svg role="img" aria-label="{escape(smiles)}" {size}>']
    if atoms:
        # One group, so that overlapping lines are not darker.
        parts.append(
            f'<path opacity="0.4" fill="none" stroke="{FRAGMENT_COLOUR}" stroke-linecap="round" '
            f'stroke-width="{FRAGMENT_WIDTH}" d="{_to_path(depiction.fragment_lines(atoms))}"/>'
        )
    for shape in depiction.shapes:
        line = (
            f' stroke="{_or_text(shape.stroke)}" stroke-width="{shape.line_width}" '
            'stroke-linecap="round"'
            if shape.stroke
            else ""
        )
        parts.append(f'<path d="{shape.path}" fill="{_or_text(shape.fill)}"{line}/>')
    if cut_bonds:
        parts.append(
            f'<path fill="none" stroke="{CUT_COLOUR}" stroke-width="{CUT_WIDTH}" '
            f'd="{_to_path(depiction.cut_lines(cut_bonds))}"/>'
        )
    return "".join([*parts, "</svg>"])


def _point(values: Sequence[float]) -> Point:
    return round(float(values[0]), 1), round(float(values[1]), 1)


def _shapes(svg: str) -> tuple[Shape, ...]:
    """Return RDKit's drawing as one shape for each colour and line width."""
    paths: dict[tuple[str | None, str | None, float], list[str]] = {}
    for element in ET.fromstring(svg):  # noqa: S314 - RDKit's own output
        style = dict(re.findall(r"([\w-]+):([^;]+)", element.get("style", "")))
        fill = _colour(style.get("fill") or element.get("fill"))
        stroke = _colour(style.get("stroke"))
        width = float(style.get("stroke-width", "0").removesuffix("px"))
        if fill is None and element.get("class") is None:
            continue  # corners of bonds, which round line ends produce too
        if element.tag.endswith("path"):
            path = " ".join(element.get("d", "").replace(",", " ").split())
        elif element.tag.endswith("ellipse"):
            path = _ellipse(*(float(element.get(name, 0)) for name in ("cx", "cy", "rx", "ry")))
        else:
            continue
        paths.setdefault((fill, stroke, width), []).append(path)
    return tuple(
        Shape(" ".join(parts), fill, stroke, width)
        for (fill, stroke, width), parts in paths.items()
    )


def _ellipse(x: float, y: float, width: float, height: float) -> str:
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    ring = [f"{x + width * np.cos(a):.1f} {y + height * np.sin(a):.1f}" for a in angles]
    return f"M {' L '.join(ring)} Z"


def _to_path(lines: Iterable[tuple[Point, Point]]) -> str:
    # A line of zero length with round ends is a disc.
    return " ".join(f"M {a[0]} {a[1]} L {b[0]} {b[1]}" for a, b in lines)


def _colour(text: str | None) -> str | None:
    return None if text in (None, "none") else text[:7].upper()


def _or_text(colour: str | None) -> str:
    return "none" if colour is None else "currentColor" if colour == INK else colour


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
