"""Plots of an evaluation: metrics with controls, reliability, and risk against coverage."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from team5.errors import ConfigError
from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.records import SHUFFLED, Metric
from team5.evaluation.report import CONTROL_NAMES, MARK, controls_of, label_of
from team5.evaluation.selective import RiskCoverage
from team5.viz.style import (
    BLUE,
    GREEN,
    GUIDE,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    axes_or_new,
    name_at_ends,
    new_figure,
    series_style,
    tidy,
)

# The error of fewer answers is too noisy to show.
_FEWEST_ANSWERS = 20
_WIDTH = 3.9  # inches; legible on a telephone without zooming
_ROW_HEIGHT = 0.58
# Shape and colour, so that either alone distinguishes the controls.
_MARKERS = {
    "chance": ("|", INK),
    SHUFFLED: ("x", PURPLE),
    "mass_error": ("D", ORANGE),
    "molecule_only": ("^", GREEN),
    "precursor_alone": ("v", ORANGE),
    "bond_breaking": ("s", SKY),
}


def plot_metrics(metrics: Sequence[Metric]) -> Figure:
    """Draw metrics with their intervals and controls, one below the other.

    Parameters
    ----------
    metrics : sequence of Metric
        All from 0 to 1. Those reached by a blind control are hollow and in another colour.
    """
    controls = controls_of(metrics)
    legend_rows = len(controls) // 3 + 1
    figure = new_figure(_WIDTH, 0.5 + _ROW_HEIGHT * len(metrics) + 0.2 * legend_rows)
    ax = figure.add_subplot()
    for row, m in enumerate(metrics):
        colour = VERMILION if m.not_above_blind else BLUE
        face = "none" if m.not_above_blind else colour
        ax.hlines(row, 0, 1, colors=PALE, linewidth=0.5, zorder=0)
        for name in controls:
            value = getattr(m, name)
            if value is not None:
                marker, marker_colour = _MARKERS[name]
                ax.plot(
                    value, row, marker=marker, markersize=7, color=marker_colour,
                    markerfacecolor="none",
                )  # fmt: skip
        ax.hlines(row, m.low, m.high, colors=colour, linewidth=3.0)
        ax.plot(m.value, row, marker="o", markersize=7, color=colour, markerfacecolor=face)
        mark = f" {MARK}" if m.not_above_blind else ""
        ax.text(0, row - 0.37, label_of(m), fontsize=9, color=INK, va="center")
        ax.text(1, row - 0.37, f"{m.value:.2f}{mark}", fontsize=9, color=colour, ha="right",
                va="center")  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(len(metrics) - 0.6, -0.62), yticks=[])
    tidy(ax)
    ax.spines["left"].set_visible(False)
    handles = [
        Line2D([], [], marker="o", color=BLUE, linewidth=3, markersize=6, label="model, 95 %"),
        *(
            Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor="none",
                   markersize=6, label=CONTROL_NAMES[name])
            for name in controls
            for marker, colour in [_MARKERS[name]]
        ),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, fontsize=8.5, frameon=False,
        labelcolor=INK, handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
    return figure


def plot_reliability(bins: Sequence[ReliabilityBin]) -> Figure:
    """Draw the share of true pairs against the match probability, and the pairs of each bin."""
    figure = new_figure(_WIDTH, 4.0)
    ax, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    ax.plot([0, 1], [0, 1], **GUIDE)
    means = [b.mean_probability for b in bins]
    ax.vlines(means, [b.low for b in bins], [b.high for b in bins], colors=BLUE, linewidth=2.0)
    ax.plot(means, [b.value for b in bins], color=BLUE, marker="o", markersize=6, linewidth=1.0)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of true pairs")
    widths = [b.bin_high - b.bin_low for b in bins]
    counts.bar(
        [b.bin_low for b in bins], [b.n_pairs for b in bins], width=widths, align="edge",
        color=SKY, linewidth=0,
    )  # fmt: skip
    counts.set(xlabel="match probability", ylabel="pairs")
    for axes in (ax, counts):
        tidy(axes)
    return figure


def plot_risk_coverage(
    curves: Mapping[str, RiskCoverage],
    *,
    max_error: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the share of wrong answers against the share answered, most confident first.

    Parameters
    ----------
    curves : mapping of str to RiskCoverage
        By label: from `risk_coverages` in ``selective_report``, or from
        `risk_coverage` in ``selective`` for several versions. A curve begins at 20 answers.
    max_error : float, optional
        An error rate to mark by a line, with the share answered at it for each curve.

    Raises
    ------
    ConfigError
        If there are no curves.
    """
    if not curves:
        raise ConfigError("no curves given; give at least one, by its name.")
    figure, ax = axes_or_new(ax, 5.6, 3.6)
    ends = {}
    for i, (name, curve) in enumerate(curves.items()):
        style = series_style(i)
        enough = curve.coverage * curve.n_answers >= min(_FEWEST_ANSWERS, curve.n_answers)
        shares, errors = 100 * curve.coverage[enough], 100 * curve.risk[enough]
        ax.plot(shares, errors, **style)
        text = f"{name}, {errors[-1]:.0f} %"
        if max_error is not None:
            within = shares[errors <= 100 * max_error]
            text += f"\n{within.max(initial=0.0):.0f} % answered at {100 * max_error:g} %"
        ends[text] = (float(errors[-1]), style["color"])
    if max_error is not None:
        ax.axhline(100 * max_error, **GUIDE)
    ax.set(xlim=(0, 100), xlabel="answered, most confident first (%)", ylabel="wrong of these (%)")
    ax.set_ylim(0, max(1.15 * ax.get_ylim()[1], 5))
    tidy(ax)
    name_at_ends(ax, ends, gap=0.065 if max_error is None else 0.13)
    return figure
