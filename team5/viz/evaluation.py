"""Plots of an evaluation: figures beside controls, how reliable and how sure the answers are."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from team5.errors import ConfigError
from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.records import Metric
from team5.evaluation.report import CONTROL_NAMES, MARK, controls_of, label_of
from team5.evaluation.selective import RiskCoverage
from team5.viz.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SERIES,
    SKY,
    VERMILION,
    figure_of,
    name_at_ends,
    new_figure,
    tidy,
)

# The share that is wrong of fewer answers says little and jumps about.
_FEWEST_ANSWERS = 20
_WIDTH = 3.9  # inches; legible on a telephone without zooming
_ROW_HEIGHT = 0.58
# Shape and colour, so that each control is told apart without either.
_MARKERS = {
    "chance": ("|", INK),
    "exchanged": ("x", PURPLE),
    "mass_error": ("D", ORANGE),
    "molecule_only": ("^", GREEN),
    "precursor_alone": ("v", ORANGE),
    "bond_breaking": ("s", SKY),
}


def plot_metrics(rows: Sequence[Metric]) -> Figure:
    """Draw metrics with their intervals, one below the other, and their controls on the same line.

    Parameters
    ----------
    rows : sequence of Metric
        All from 0 to 1. Those that a blind control reaches are hollow and in another colour.
    """
    controls = controls_of(rows)
    legend_rows = len(controls) // 3 + 1
    figure = new_figure(_WIDTH, 0.5 + _ROW_HEIGHT * len(rows) + 0.2 * legend_rows)
    ax = figure.add_subplot()
    for row, found in enumerate(rows):
        colour = VERMILION if found.not_above_blind else BLUE
        ax.hlines(row, 0, 1, colors=PALE, linewidth=0.5, zorder=0)
        for name in controls:
            value = getattr(found, name)
            if value is not None:
                _draw_marker(ax, value, row, name)
        ax.hlines(row, found.low, found.high, colors=colour, linewidth=3.0)
        ax.plot(
            found.value,
            row,
            marker="o",
            markersize=7,
            color=colour,
            markerfacecolor="none" if found.not_above_blind else colour,
        )
        mark = f" {MARK}" if found.not_above_blind else ""
        ax.text(0, row - 0.37, label_of(found), fontsize=9, color=INK, va="center")
        ax.text(1, row - 0.37, f"{found.value:.2f}{mark}", fontsize=9, color=colour, ha="right",
                va="center")  # fmt: skip
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(len(rows) - 0.6, -0.62)
    ax.set_yticks([])
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
    """Draw, for each bin of match probabilities, the share of pairs that is true.

    On the diagonal both are equal. The line below says how many pairs a bin holds.
    """
    figure = new_figure(_WIDTH, 4.0)
    ax, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=1.0, linestyle=(0, (4, 3)))
    said = [b.mean_probability for b in bins]
    ax.vlines(said, [b.low for b in bins], [b.high for b in bins], colors=BLUE, linewidth=2.0)
    ax.plot(said, [b.value for b in bins], color=BLUE, marker="o", markersize=6, linewidth=1.0)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of true pairs")
    counts.bar(
        [b.bin_low for b in bins],
        [b.n_pairs for b in bins],
        width=[b.bin_high - b.bin_low for b in bins],
        align="edge",
        color=SKY,
        linewidth=0,
    )
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
    """Draw the share of answers that is wrong against the share answered, the surest first.

    Parameters
    ----------
    curves : mapping of str to RiskCoverage
        By the text at the end of each: of `risk_coverages` in ``selective_report``, or
        `risk_coverage` in ``selective`` of several versions. A curve begins at 20 answers.
    max_error : float, optional
        An error rate to draw a line at, and to say how much of each curve keeps it.
    ax : Axes, optional
        Where to draw; a new figure where not given.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        If there are no curves, or ``ax`` belongs to no figure.
    """
    if not curves:
        raise ConfigError("no curves given; give at least one, by its name.")
    if ax is None:
        ax = new_figure(5.6, 3.6).add_subplot()
    figure = figure_of(ax)
    ends = {}
    for i, (name, curve) in enumerate(curves.items()):
        colour = SERIES[i % len(SERIES)]
        enough = curve.coverage * curve.n_answers >= min(_FEWEST_ANSWERS, curve.n_answers)
        shares, errors = 100 * curve.coverage[enough], 100 * curve.risk[enough]
        ax.plot(shares, errors, color=colour, linewidth=1.8, linestyle="-" if i < 6 else "--")
        text = f"{name}, {errors[-1]:.0f} %"
        if max_error is not None:
            kept = shares[errors <= 100 * max_error]
            text += f"\n{kept.max(initial=0.0):.0f} % answered at {100 * max_error:g} %"
        ends[text] = (float(errors[-1]), colour)
    if max_error is not None:
        ax.axhline(100 * max_error, color=PALE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
    ax.set(xlim=(0, 100), xlabel="answered, the surest first (%)", ylabel="wrong of these (%)")
    ax.set_ylim(0, max(1.15 * ax.get_ylim()[1], 5))
    tidy(ax)
    name_at_ends(ax, ends, gap=0.065 if max_error is None else 0.13)
    return figure


def _draw_marker(ax: Axes, value: float, row: int, name: str) -> None:
    marker, colour = _MARKERS[name]
    ax.plot(value, row, marker=marker, markersize=7, color=colour, markerfacecolor="none")
