"""An evaluation's report as one HTML file: no scripts, nothing fetched, plots inside."""

import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from team5.evaluation import figures as measured
from team5.evaluation.report import (
    CONTROL_NAMES,
    CONTROL_TEXTS,
    MARK,
    MARK_TEXT,
    Report,
    controls_of,
    label_of,
)
from team5.viz import style
from team5.viz.evaluation import plot_figures, plot_reliability

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
"""


def to_html(report: Report) -> str:
    """Return the report as a page that stands alone.

    It reads in light and dark, on narrow screens, and is the same for the same report.
    """
    controls = [
        f"<dt>{CONTROL_NAMES[name]}</dt><dd>{escape(CONTROL_TEXTS[name])}</dd>"
        for name in report.controls
    ]
    notes = [f"<li>{escape(note)}</li>" for note in report.notes]
    mark = f'<p><span class="marked">{MARK}</span> {escape(MARK_TEXT)}</p>'
    conditions = (
        f"Seed {report.seed}, threshold of a match {report.threshold:.3f}. Intervals hold 95 % of "
        "the values that other draws of the structures give."
    )
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.version)} on {escape(report.queries)}</title>",
        f"<style>{_style()}</style>\n</head>\n<body>",
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="muted">{conditions}</p>',
        mark if report.is_marked else "",
        "<ul>" + "".join(notes) + "</ul>" if notes else "",
        "<h2>Figures</h2>",
        *(_section(title, rows) for title, rows in report.figures.items()),
        _reliability_section(report),
    ]
    for title, found in report.breakdowns.items():
        parts.append(f"<h2>hit@1, {escape(title.removeprefix('rank, '))}</h2>")
        parts += [_section(f"by {by}", rows) for by, rows in found.items()]
    parts += ["<h2>Controls</h2>", "<dl>", *controls, "</dl>", "</body>\n</html>\n"]
    return "\n".join(part for part in parts if part)


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
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # A page needs no name spaces: they would be its only internet addresses.
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    for colour, name in _COLOURS.items():
        text = re.sub(re.escape(colour), f"var(--{name})", text, flags=re.IGNORECASE)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def _style() -> str:
    light = " ".join(f"--{name}: {colour};" for colour, name in _COLOURS.items())
    dark = " ".join(f"--{name}: {colour};" for name, colour in _DARK.items())
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)


def _section(title: str, rows: Sequence[measured.Figure]) -> str:
    controls = controls_of(rows)
    headings = ["", "value", "95 % interval", *(CONTROL_NAMES[c] for c in controls), "queries"]
    body = []
    for f in rows:
        mark = f' class="marked">{f.value:.3f} {MARK}' if f.not_above_blind else f">{f.value:.3f}"
        values = [getattr(f, c) for c in controls]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        cells = [f"{f.low:.3f} to {f.high:.3f}", *cells, str(f.n_queries)]
        body.append(
            f"<tr><th>{escape(label_of(f))}</th><td{mark}</td>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    return _with_plot(title, plot_figures(rows), headings, body)


def _reliability_section(report: Report) -> str:
    title = "match, reliability of probabilities"
    headings = ["probability", "said", "true", "95 % interval", "pairs"]
    body = [
        f"<tr><th>{b.bin_low:.1f} to {b.bin_high:.1f}</th><td>{b.mean_probability:.3f}</td>"
        f"<td>{b.value:.3f}</td><td>{b.low:.3f} to {b.high:.3f}</td><td>{b.n_pairs}</td></tr>"
        for b in report.reliability
    ]
    return _with_plot(title, plot_reliability(report.reliability), headings, body)


def _with_plot(title: str, plot: Figure, headings: Sequence[str], body: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return (
        f"<section>\n<h3>{escape(title)}</h3>\n<figure>{to_svg(plot, title)}</figure>\n"
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody></table></div>\n</section>"
    )
