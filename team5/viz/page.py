"""The frame of a report: one HTML file without scripts, nothing fetched, pictures inside."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from team5.viz import style

# Every colour of the plots by its name in the style sheet, which has one for dark pages too.
_COLOURS = {
    style.INK: "ink",
    style.MUTED: "muted",
    style.PALE: "pale",
    style.BLUE: "blue",
    style.VERMILION: "vermilion",
    style.GREEN: "green",
    style.PURPLE: "purple",
    style.ORANGE: "orange",
    style.SKY: "sky",
}
_DARK = {
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
_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --band: #f4f5f6; LIGHT }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --band: #22262a; DARK } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.4rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 0.4rem; }
section { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.5rem 1.5rem; }
section > h3 { grid-column: 1 / -1; margin-bottom: 0; }
@media (min-width: 62rem) { section { grid-template-columns: 25rem minmax(0, 1fr); } }
figure { margin: 0; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.5rem; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; white-space: normal; min-width: 8rem; }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal; }
tbody tr:nth-child(odd) { background: var(--band); }
tbody th { font-weight: 400; }
.marked { color: var(--vermilion); font-weight: 700; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem 1rem; }
p, dd, li { max-width: 46rem; overflow-wrap: anywhere; }
.muted { color: var(--muted); }
.facts { display: grid; grid-template-columns: minmax(5rem, max-content) minmax(0, 1fr);
  gap: 0.1rem 1rem; }
.facts dd { margin: 0; }
.wide svg { min-width: 40rem; max-width: 62rem; }
article { margin: 1.6rem 0; padding-top: 0.4rem; border-top: 1px solid var(--pale); }
article h4 { margin: 0.6rem 0 0; font-size: 0.95rem; }
.beside { display: grid; gap: 0 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.structure { background: #ffffff; border-radius: 0.4rem; max-width: 16rem; margin: 0.4rem 0; }
code, pre { font: 0.85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; margin: 0.5rem 0; padding: 0.6rem; background: var(--band); }
summary { cursor: pointer; font-weight: 600; }
"""


def to_page(title: str, parts: Sequence[str]) -> str:
    """Return a page that stands alone and reads in light and dark, and on narrow screens.

    Parameters
    ----------
    title : str
        Plain text.
    parts : sequence of str
        HTML, in the order of the page; empty ones are left out.
    """
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_style()}</style>\n</head>\n<body>",
        f"<h1>{escape(title)}</h1>",
    ]
    return "\n".join([*head, *filter(None, parts), "</body>\n</html>\n"])


def to_facts(facts: Mapping[str, str]) -> str:
    """Return names and values as a list; empty without any."""
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def to_details(summary: str, text: str) -> str:
    """Return a text that is folded away until it is asked for; empty without one."""
    if not text:
        return ""
    return (
        f"<details><summary>{escape(summary)}</summary>"
        f'<pre tabindex="0">{escape(text)}</pre></details>'
    )


def to_table(headings: Sequence[str], body: Sequence[str]) -> str:
    """Return a table, which scrolls where it is wider than the page, from rows of HTML."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return (
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody></table></div>"
    )


def to_svg(figure: Figure, label: str) -> str:
    """Return a plot as an SVG element for a page, its colours named by the page's style sheet."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "team5"}):
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.DOTALL)
    for colour, name in _COLOURS.items():
        text = re.sub(re.escape(colour), f"var(--{name})", text, flags=re.IGNORECASE)
    return _embedded(text, label)


def _embedded(text: str, label: str) -> str:
    """Return an SVG file's text as an element for a page, named for those who do not see it."""
    text = text[text.index("<svg") :].strip()
    # A page needs no name spaces: they would be its only internet addresses.
    text = re.sub(r"""\s+(xmlns|xml)(:\w+)?=("[^"]*"|'[^']*')""", "", text)
    text = text.replace("xlink:href", "href")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def _style() -> str:
    light = " ".join(f"--{name}: {colour};" for colour, name in _COLOURS.items())
    dark = " ".join(f"--{name}: {colour};" for name, colour in _DARK.items())
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)
