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

# The plots' colours by their names in the style sheet, and those of dark pages.
LIGHT_COLOURS = {
    "ink": style.INK,
    "muted": style.MUTED,
    "pale": style.PALE,
    "blue": style.BLUE,
    "vermilion": style.VERMILION,
    "green": style.GREEN,
    "purple": style.PURPLE,
    "orange": style.ORANGE,
    "sky": style.SKY,
}
DARK_COLOURS = {
    "ink": "#e8e8e8",
    "muted": "#a8a8a8",
    "pale": "#6b6b6b",
    "blue": "#4da6e0",
    "vermilion": "#f28a45",
    "green": "#2fc79a",
    "purple": "#d88ad8",
    "orange": "#f0b840",
    "sky": "#7cc8f0",
}


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
