"""The report of an evaluation, and that of a training, each as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from team5.assessment.examples import Examples
from team5.evaluation.records import Metric
from team5.evaluation.report import (
    CONTROL_NAMES,
    CONTROL_TEXTS,
    MARK,
    MARK_TEXT,
    Report,
    controls_of,
    label_of,
)
from team5.viz.curves import plot_training_curves
from team5.viz.evaluation import plot_metrics, plot_reliability
from team5.viz.examples import to_articles
from team5.viz.page import to_details, to_facts, to_page, to_svg, to_table

_NO_EXAMPLES = Examples((), ())


@dataclass(frozen=True)
class Training:
    """What a report says of a run beside what was measured at its end.

    Attributes
    ----------
    title : str
    metrics : path or None
        The run's ``metrics.csv``; None where none was written.
    logged : dict of str to float
        Figures of the whole validation at the epoch that was exported.
    notes : tuple of str
    """

    title: str
    metrics: Path | None = None
    logged: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def to_html(
    report: Report,
    *,
    facts: Mapping[str, str] | None = None,
    examples: Examples = _NO_EXAMPLES,
    config: str = "",
) -> str:
    """Return an evaluation as a page that stands alone.

    It reads in light and dark, on narrow screens, and is the same for the same report.

    Parameters
    ----------
    report : Report
    facts : dict of str to str, optional
        Names and values for the page's head, such as the command.
    examples : Examples, optional
        Answers to show.
    config : str, optional
        The settings, as YAML.
    """
    parts = [
        to_facts(facts or {}),
        *_figures_of(report),
        *to_articles(examples),
        *_breakdowns_of(report),
        *_controls_of(report),
        to_details("Settings", config),
    ]
    return to_page(report.title, parts)


def training_to_html(
    training: Training,
    report: Report | None,
    *,
    facts: Mapping[str, str] | None = None,
    examples: Examples = _NO_EXAMPLES,
    config: str = "",
) -> str:
    """Return a training as a page that stands alone; parameters are those of `to_html`.

    Parameters
    ----------
    training : Training
    report : Report or None
        What the exported version says of validation spectra; None where nothing was exported.
    """
    parts = [to_facts(facts or {}), _list_of(training.notes), _curves(training)]
    if training.logged:
        rows = [
            f"<tr><th>{escape(name)}</th><td>{value:.4g}</td></tr>"
            for name, value in training.logged.items()
        ]
        parts += ["<h2>Whole validation, at the exported epoch</h2>", to_table(["", "value"], rows)]
    if report is not None:
        parts += [*_figures_of(report), *to_articles(examples), *_controls_of(report)]
    return to_page(training.title, [*parts, to_details("Settings", config)])


def _curves(training: Training) -> str:
    if training.metrics is None:
        return ""
    picture = to_svg(plot_training_curves(training.metrics), "losses and validation metrics")
    return f'<h2>Curves</h2>\n<figure class="scroll wide" tabindex="0">{picture}</figure>'


def _figures_of(report: Report) -> list[str]:
    conditions = (
        f"{report.n_queries} spectra of {report.n_structures} structures from {report.queries}. "
        f"Seed {report.seed}, threshold of a match {report.threshold:.3f}. Intervals hold 95 % of "
        "the values that other draws of the structures give."
    )
    mark = f'<p><span class="marked">{MARK}</span> {escape(MARK_TEXT)}</p>'
    return [
        "<h2>Figures</h2>",
        f'<p class="muted">{escape(conditions)}</p>',
        mark if report.is_marked else "",
        _list_of(report.notes),
        *(_section(title, rows) for title, rows in report.metrics.items()),
        _reliability_section(report),
    ]


def _breakdowns_of(report: Report) -> list[str]:
    parts = []
    for title, found in report.breakdowns.items():
        parts.append(f"<h2>hit@1, {escape(title.removeprefix('rank, '))}</h2>")
        parts += [_section(f"by {by}", rows) for by, rows in found.items()]
    return parts


def _controls_of(report: Report) -> list[str]:
    controls = [
        f"<dt>{CONTROL_NAMES[name]}</dt><dd>{escape(CONTROL_TEXTS[name])}</dd>"
        for name in report.controls
    ]
    return ["<h2>Controls</h2>", "<dl>", *controls, "</dl>"]


def _list_of(notes: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _section(title: str, rows: Sequence[Metric]) -> str:
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
    return _with_plot(title, plot_metrics(rows), headings, body)


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
    return (
        f"<section>\n<h3>{escape(title)}</h3>\n<figure>{to_svg(plot, title)}</figure>\n"
        f"{to_table(headings, body)}\n</section>"
    )
