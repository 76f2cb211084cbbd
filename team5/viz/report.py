"""The report of an evaluation or of a training as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from team5.assessment.examples import Example, Examples, Judged
from team5.chemistry.depiction import depiction_svg
from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.records import Metric
from team5.evaluation.report import (
    CONTROL_NAMES,
    CONTROL_TEXTS,
    MARK,
    MARK_TEXT,
    Report,
    breakdown_title,
    control_values,
    controls_of,
    interval_of,
    label_of,
)
from team5.runtime.html import render, trusted
from team5.viz.curves import plot_training_curves
from team5.viz.evaluation import plot_metrics, plot_reliability
from team5.viz.spectra import mirror_plot
from team5.viz.style import new_figure
from team5.viz.svg import DARK_COLOURS, LIGHT_COLOURS, to_svg

# Inches: a size at which labels are legible on a phone.
_MIRROR_SIZE = (4.9, 3.7)
_NO_EXAMPLES = Examples()


@dataclass(frozen=True)
class Training:
    """A run, as described by its report.

    Attributes
    ----------
    title : str
    metrics : path or None
        The run's ``metrics.csv``; None if none was written.
    logged : dict of str to float
        Metrics of the whole validation at the exported epoch.
    compared : sequence of dict
        Comparisons with the previous version on the same spectra, each a
        `team5.registry.schemas.Judged`.
    notes : tuple of str
    """

    title: str
    metrics: Path | None = None
    logged: Mapping[str, float] = field(default_factory=dict)
    compared: Sequence[Mapping[str, Any]] = ()
    notes: tuple[str, ...] = ()


def to_html(
    report: Report | None,
    *,
    training: Training | None = None,
    facts: Mapping[str, str] | None = None,
    examples: Examples = _NO_EXAMPLES,
    spectra: str = "measured",
    config: str = "",
) -> str:
    """Return an evaluation, or a training, as a self-contained page.

    It supports light and dark mode and narrow screens, and is reproducible.

    Parameters
    ----------
    report : Report or None
        Of a training, the exported version on validation spectra; None if none was exported.
    training : Training, optional
    facts : dict of str to str, optional
        Names and values for the top of the page, such as the command.
    examples : Examples, optional
        Answers to show.
    spectra : {"measured", "computed"}
        Kind of the examples' spectra.
    config : str, optional
        The settings, as YAML.
    """
    parts: dict[str, Any] = {}
    if report is not None:
        metrics = [_metrics_section(task, rows) for task, rows in report.metrics.items()]
        breakdowns = [
            (
                f"hit@1, {breakdown_title(task)}",
                [_metrics_section(f"by {by}", rows) for by, rows in by_condition.items()],
            )
            for task, by_condition in report.breakdowns.items()
        ]
        parts = {
            "metrics": [*metrics, _reliability_section(report.reliability)],
            "right": [_example(f"Right {i}", e, spectra) for i, e in enumerate(examples.right, 1)],
            "wrong": [_example(f"Wrong {i}", e, spectra) for i, e in enumerate(examples.wrong, 1)],
            "breakdowns": breakdowns,
            "controls": {CONTROL_NAMES[c]: CONTROL_TEXTS[c] for c in report.controls},
        }
    if training is not None:
        label = "losses and validation metrics"
        parts["curves"] = training.metrics and to_svg(plot_training_curves(training.metrics), label)
        parts["logged"] = [_row(name, f"{v:.4g}") for name, v in training.logged.items()]
        parts["compared"] = [(judged, _compared_rows(judged)) for judged in training.compared]
    return render(
        "report.html",
        title=training.title if training else report.title if report else "",
        report=report,
        training=training,
        facts=facts or {},
        spectra=spectra,
        config=config,
        mark=MARK,
        mark_text=MARK_TEXT,
        light=LIGHT_COLOURS,
        dark=DARK_COLOURS,
        **parts,
    )


def _row(label: str, value: str, *cells: str, is_marked: bool = False) -> dict[str, Any]:
    return {"label": label, "value": value, "cells": cells, "is_marked": is_marked}


def _compared_rows(judged: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _row(
            name,
            f"{figure['before']:.3f}",
            f"{figure['after']:.3f}",
            f"{figure['difference']:+.3f}",
            f"{figure['low']:+.3f} to {figure['high']:+.3f}",
        )
        for name, figure in judged["figures"].items()
    ]


def _section(
    title: str, plot: Figure, headings: Sequence[str], rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {"title": title, "plot": to_svg(plot, title), "headings": headings, "rows": rows}


def _metrics_section(title: str, metrics: Sequence[Metric]) -> dict[str, Any]:
    controls = controls_of(metrics)
    rows = [
        _row(
            label_of(m),
            f"{m.value:.3f} {MARK}" if m.not_above_blind else f"{m.value:.3f}",
            interval_of(m),
            *control_values(m, controls),
            str(m.n_queries),
            is_marked=m.not_above_blind,
        )
        for m in metrics
    ]
    names = [CONTROL_NAMES[control] for control in controls]
    headings = ["", "value", "95 % interval", *names, "queries"]
    return _section(title, plot_metrics(metrics), headings, rows)


def _reliability_section(bins: Sequence[ReliabilityBin]) -> dict[str, Any]:
    rows = [
        _row(
            f"{b.bin_low:.1f} to {b.bin_high:.1f}",
            f"{b.mean_probability:.3f}",
            f"{b.value:.3f}",
            interval_of(b),
            str(b.n_pairs),
        )
        for b in bins
    ]
    headings = ["probability", "mean", "true", "95 % interval", "pairs"]
    return _section("match, reliability of probabilities", plot_reliability(bins), headings, rows)


def _example(title: str, example: Example, spectra: str) -> dict[str, Any]:
    spectrum = example.spectrum
    conditions = [
        f"true structure ranked {example.rank} of {example.n_candidates}",
        spectrum.adduct,
        f"precursor m/z {spectrum.precursor_mz:.4f}" if spectrum.precursor_mz else None,
        f"collision energy {spectrum.collision_energy or 'not given'}",
    ]
    answers = [_answer("true structure", example, example.true, spectra)]
    if example.preferred is not None:
        answers.append(_answer("preferred by the model", example, example.preferred, spectra))
    return {
        "title": f"{title}: {spectrum.identifier}" if spectrum.identifier else title,
        "conditions": ", ".join(text for text in conditions if text),
        "answers": answers,
    }


def _answer(title: str, example: Example, judged: Judged, spectra: str) -> dict[str, Any]:
    match, predicted = judged.match, judged.predicted
    plot = mirror_plot(
        example.spectrum.mzs,
        example.spectrum.intensities,
        predicted.mzs,
        predicted.intensities,
        explained=match.peaks,
        name=spectra,
        ax=new_figure(*_MIRROR_SIZE).add_subplot(),
    )
    return {
        "title": title,
        "smiles": match.smiles,
        "text": f"score {match.score:.2f}, match probability {match.probability:.3f}",
        "structure": trusted(depiction_svg(match.smiles, width=300, height=220)),
        "plot": to_svg(plot, f"{spectra} and predicted spectrum, {title}"),
    }
