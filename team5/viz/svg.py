"""Plots as SVG elements, in colours that the page can replace."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from team5.runtime.html import trusted
from team5.viz import style

if TYPE_CHECKING:
    from markupsafe import Markup

# The plots' colours by their names in the style sheet, and what replaces them on dark pages.
_COLOURS = {
    "ink": (style.INK, "#e8e8e8"),
    "muted": (style.MUTED, "#a8a8a8"),
    "pale": (style.PALE, "#6b6b6b"),
    "blue": (style.BLUE, "#4da6e0"),
    "vermilion": (style.VERMILION, "#f28a45"),
    "green": (style.GREEN, "#2fc79a"),
    "purple": (style.PURPLE, "#d88ad8"),
    "orange": (style.ORANGE, "#f0b840"),
    "sky": (style.SKY, "#7cc8f0"),
}
LIGHT_COLOURS = {name: light for name, (light, _) in _COLOURS.items()}
DARK_COLOURS = {name: dark for name, (_, dark) in _COLOURS.items()}


def to_svg(figure: Figure, label: str) -> Markup:
    """Return a plot as an SVG element with a label for screen readers."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "team5"}):
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.DOTALL)
    for name, colour in LIGHT_COLOURS.items():
        text = re.sub(re.escape(colour), f"var(--{name})", text, flags=re.IGNORECASE)
    text = text[text.index("<svg") :].strip()
    # A page needs no name spaces: they would be its only internet addresses.
    text = re.sub(r"""\s+(xmlns|xml)(:\w+)?=("[^"]*"|'[^']*')""", "", text)
    text = text.replace("xlink:href", "href")
    return trusted(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))
