"""Colours and axes that all plots share."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from team5.errors import ConfigError

# Okabe and Ito, Color Universal Design (2008): distinguishable with every kind of colour vision.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#AA4499"
ORANGE = "#E69F00"
SKY = "#56B4E9"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

INK = "#222222"
MUTED = "#6B6B6B"
PALE = "#A6A6A6"

# Of reference lines, such as a diagonal or a best epoch.
GUIDE: dict[str, Any] = {"color": PALE, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 0}


def series_style(i: int) -> dict[str, Any]:
    """Return colour and dashes of the i-th line of a plot."""
    return {
        "color": SERIES[i % len(SERIES)],
        "linestyle": "-" if i < len(SERIES) else "--",
        "linewidth": 1.8,
    }


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, size in inches, that pyplot does not keep alive.

    A notebook shows it as the value of a cell after ``%matplotlib inline``.
    """
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes belong to; a ConfigError if there is none."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ConfigError("ax belongs to no figure; make it with figure.add_subplot().")
    return figure


def axes_or_new(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Return axes to draw into and their figure, a new one if no axes are given."""
    if ax is None:
        ax = new_figure(width, height).add_subplot()
    return figure_of(ax), ax


def tidy(ax: Axes) -> None:
    """Keep only the spines with a scale, and tone down everything that is not data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.tick_params(colors=MUTED, labelsize=9)
    ax.xaxis.label.set(color=INK, fontsize=10)
    ax.yaxis.label.set(color=INK, fontsize=10)


def plain(text: str) -> str:
    """Return text from users or files with dollar signs escaped, so that it is not mathtext."""
    return text.replace("$", r"\$")


def name_at_ends(
    ax: Axes, last_values: Mapping[str, tuple[float, str]], *, gap: float = 0.065
) -> None:
    """Write texts right of the axes at the height of lines' last values, pushed apart.

    Parameters
    ----------
    last_values : mapping of str to (float, str)
        By text, the value and the colour of its line.
    gap : float
        Minimum distance of two texts, in heights of the axes.
    """
    low, high = ax.get_ylim()
    order = sorted(last_values, key=lambda text: last_values[text][0])
    heights = [(last_values[text][0] - low) / (high - low) for text in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    # Pushed out at the top: move down again from there.
    ceiling = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - gap
    for text, height in zip(order, heights, strict=True):
        ax.text(
            1.02, height, text, transform=ax.transAxes, va="center", fontsize=8.5,
            color=last_values[text][1],
        )  # fmt: skip
