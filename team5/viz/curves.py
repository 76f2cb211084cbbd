"""Training curves from the metrics.csv that Lightning's CSVLogger writes."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from team5.errors import ConfigError, DataError, DataFileNotFoundError
from team5.viz.style import (
    GUIDE,
    MUTED,
    axes_or_new,
    figure_of,
    name_at_ends,
    new_figure,
    series_style,
    tidy,
)

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_metrics(path: str | Path) -> dict[str, Series]:
    """Read the logged metrics of a run.

    Parameters
    ----------
    path : path
        ``metrics.csv``; columns ``epoch``, ``step`` and one for each metric, empty where a row
        has none.

    Returns
    -------
    dict of name to (steps, values)
        In the order of the file, finite values only.

    Raises
    ------
    DataFileNotFoundError, DataError
        If there is no such file, or it is not such a table.
    """
    file = Path(path)
    if not file.is_file():
        raise DataFileNotFoundError(f"{file}: no such file. Give the metrics.csv of a run.")
    points: dict[str, list[tuple[float, float]]] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if "step" not in (reader.fieldnames or ()):
            raise DataError(f"{file}: has no column 'step'. Give the metrics.csv of a run.")
        for row in reader:
            try:
                values = {name: float(text) for name, text in row.items() if text}
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{file}, line {reader.line_num}: holds what is no number. "
                    "Give the metrics.csv of a run."
                ) from error
            for name, value in values.items():
                if name != "step" and "step" in values and np.isfinite(value):
                    points.setdefault(name, []).append((values["step"], value))
    return {name: (np.array(rows)[:, 0], np.array(rows)[:, 1]) for name, rows in points.items()}


def plot_training_curves(path: str | Path, ax: Axes | None = None) -> Figure:
    """Draw the losses of a run and, in a second panel, its validation metrics.

    Parameters
    ----------
    path : path
        The run's ``metrics.csv``.
    ax : Axes, optional
        Axes for the losses; the metrics are then not drawn.

    Raises
    ------
    DataFileNotFoundError, DataError
        If there is no such file, it is not such a table, or no loss was logged.
    """
    series = read_metrics(path)
    losses = {name: series[name] for name in series if _is_loss(name)}
    metrics = {
        name: series[name] for name in series if name.startswith("val/") and not _is_loss(name)
    }
    if not losses:
        raise DataError(f"{path}: no loss was logged; there must be a column such as train/loss.")
    if ax is not None:
        panels = [(ax, losses)]
    elif metrics:
        left, right = new_figure(10.0, 3.8).subplots(1, 2)
        panels = [(left, losses), (right, metrics)]
    else:
        panels = [(new_figure(5.5, 3.8).add_subplot(), losses)]

    best_step = _best_step(series)
    for panel, lines in panels:
        _draw_lines(panel, lines)
        if best_step is not None:
            panel.axvline(best_step, **GUIDE)
    panels[0][0].set_ylabel("loss")
    if best_step is not None:
        panels[0][0].annotate(
            "lowest val/loss", (best_step, 1.0), xycoords=("data", "axes fraction"),
            xytext=(-4, -2), textcoords="offset points", ha="right", va="top", fontsize=8,
            color=MUTED,
        )  # fmt: skip
    return figure_of(panels[0][0])


def plot_runs(
    runs: Mapping[str, str | Path], metric: str = "val/loss", *, ax: Axes | None = None
) -> Figure:
    """Draw one metric of several runs over their epochs, the best epoch of each marked.

    Parameters
    ----------
    runs : mapping of str to path
        ``metrics.csv`` by the name of its run: ``{"v0.1": "outputs/.../metrics.csv"}``.
    metric : str
        A column of all of them. The lowest loss is best, of other metrics the highest.

    Raises
    ------
    DataFileNotFoundError, DataError
        If there is no such file, or the metric or its epochs were not logged; names those logged.
    ConfigError
        If there are no runs.
    """
    if not runs:
        raise ConfigError("no runs given; give at least one metrics.csv, by the name of its run.")
    by_run = {name: _by_epoch(path, metric) for name, path in runs.items()}
    figure, ax = axes_or_new(ax, 6.4, 3.8)
    ends = {}
    for i, (name, (epochs, values)) in enumerate(by_run.items()):
        style = series_style(i)
        best = int(values.argmin() if _is_loss(metric) else values.argmax())
        ax.plot(epochs, values, **style)
        ax.plot(
            epochs[best], values[best], "o", markersize=7, color=style["color"],
            markeredgecolor="white",
        )  # fmt: skip
        text = f"{name}  best {values[best]:#.3g} in epoch {epochs[best]:.0f}"
        ends[text] = (float(values[-1]), style["color"])
    ax.set_ylabel(metric)
    _finish_axes(ax, "epoch", 6, ends)
    return figure


def _by_epoch(path: str | Path, metric: str) -> Series:
    """Return the epochs and a metric's values, from rows that have both."""
    series = read_metrics(path)
    if metric not in series or "epoch" not in series:
        logged = ", ".join(name for name in series if name != "epoch") or "nothing"
        raise DataError(f"{path}: has no {metric!r} with its epochs. Logged are: {logged}.")
    steps, values = series[metric]
    epoch_at = dict(zip(*series["epoch"], strict=True))
    return np.array([epoch_at[step] for step in steps if step in epoch_at]), values


def _is_loss(name: str) -> bool:
    return "loss" in name.rpartition("/")[2]


def _best_step(series: dict[str, Series]) -> float | None:
    if "val/loss" not in series:
        return None
    steps, values = series["val/loss"]
    return float(steps[values.argmin()])


def _draw_lines(ax: Axes, lines: dict[str, Series]) -> None:
    """Draw each series, labelled at its end with name and last value in its colour."""
    ends = {}
    for i, (name, (steps, values)) in enumerate(sorted(lines.items())):
        style = series_style(i)
        smooth = _smoothed(values)
        if smooth is not values:
            ax.plot(steps, values, color=style["color"], linewidth=0.6, alpha=0.25)
        ax.plot(steps, smooth, **style, marker="o" if values.size < 4 else None, markersize=4)
        ends[f"{name}  {smooth[-1]:.3g}"] = (float(smooth[-1]), style["color"])
    _finish_axes(ax, "training step", 5, ends)


def _finish_axes(ax: Axes, label: str, n_ticks: int, ends: Mapping[str, tuple[float, str]]) -> None:
    ax.set_xlabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(n_ticks, integer=True))
    ax.margins(x=0.02, y=0.08)
    tidy(ax)
    name_at_ends(ax, ends)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a running mean of a long series, such as the loss of every step."""
    if values.size < 100:
        return values
    width = values.size // 50
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")
