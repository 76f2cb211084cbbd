"""Mirror plots: a measured spectrum above, a predicted one below."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from team5.errors import SpectrumError
from team5.viz.style import BLUE, INK, MUTED, PALE, VERMILION, new_figure, tidy

# Of the peaks nothing explains, so many of the largest get their m/z written.
_N_UNEXPLAINED_LABELS = 4
# Smaller ones, relative to the base peak, are not worth a label.
_LABEL_MIN_INTENSITY = 0.01
# A peak is the one an explanation speaks of within this distance in m/z; they are copies.
_SAME_PEAK = 1e-4


class Explained(Protocol):
    """What a label needs to know; `team5.inference.results.ExplainedPeak` has it."""

    @property
    def mz(self) -> float: ...

    @property
    def formula(self) -> str: ...


def mirror_plot(
    mzs: ArrayLike,
    intensities: ArrayLike,
    predicted_mzs: ArrayLike,
    predicted_intensities: ArrayLike,
    *,
    explained: Sequence[Explained] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a measured spectrum above and a predicted one below one m/z axis.

    Parameters
    ----------
    mzs, intensities : array of shape (P,)
        Measured peaks, intensities in any positive unit.
    predicted_mzs, predicted_intensities : array of shape (R,)
        Predicted peaks; R may be 0, then only the measured ones are drawn.
    explained : sequence of ExplainedPeak, optional
        Peaks to colour and to label with the formula of their fragment, e.g. ``match.peaks``.
        Where labels would overlap, those of the larger peaks are kept.
    title : str, optional
        Written above the plot.
    ax : Axes, optional
        Where to draw; a new figure where not given.

    Returns
    -------
    Figure
        Save it with ``figure.savefig("mirror.png")``.

    Raises
    ------
    SpectrumError
        If lengths differ, a value is not finite, or there is no measured peak.
    """
    measured = _peaks(mzs, intensities, "measured")
    predicted = _peaks(predicted_mzs, predicted_intensities, "predicted")
    if not measured[0].size:
        raise SpectrumError("no measured peaks to draw; give at least one.")
    formulas = _formulas_by_peak(measured[0], explained or ())

    if ax is None:
        ax = new_figure(9.0, 5.2 if predicted[0].size else 3.6).add_subplot()
    _draw(ax, measured, predicted, formulas)
    if title:
        ax.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
    figure = ax.get_figure(root=True)
    if figure is None:
        raise SpectrumError("ax belongs to no figure; make it with figure.add_subplot().")
    # Labels are placed by what they cover on the page, so the layout has to stand first.
    figure.draw_without_rendering()
    _label(ax, *measured, formulas, points_per_pixel=72 / figure.dpi)
    return figure


def format_formula(formula: str) -> str:
    """Return an ion's formula as mathtext: ``C6H7O+`` with its digits low and its charge high."""
    parts = re.fullmatch(r"((?:[A-Z][a-z]?\d*)+)([•.]?)(\d*[+-])?([•.]?)", formula)
    if parts is None:
        return formula.replace("$", r"\$")
    atoms = re.sub(r"(\d+)", r"_{\1}", parts[1])
    charge = (parts[3] or "").replace("-", "{-}").replace("+", "{+}")
    radical = r"\bullet" if parts[2] or parts[4] else ""
    return rf"$\mathrm{{{atoms}}}^{{{charge}{radical}}}$"


def _peaks(
    mzs: ArrayLike, intensities: ArrayLike, which: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the peaks with the base peak at 1."""
    mz_array = np.asarray(mzs, dtype=np.float64)
    heights = np.asarray(intensities, dtype=np.float64)
    if mz_array.ndim != 1 or mz_array.shape != heights.shape:
        raise SpectrumError(
            f"{which} spectrum: m/z values of shape {mz_array.shape} but intensities of shape "
            f"{heights.shape}. Give every peak both."
        )
    if not (np.isfinite(mz_array).all() and np.isfinite(heights).all()):
        raise SpectrumError(f"{which} spectrum: m/z values and intensities must be finite.")
    kept = heights > 0
    return mz_array[kept], heights[kept] / heights.max(initial=np.finfo(float).tiny)


def _formulas_by_peak(mzs: NDArray[np.float64], explained: Sequence[Explained]) -> dict[int, str]:
    """Return the formulas of explained peaks by the peaks' positions."""
    formulas = {}
    for peak in explained:
        nearest = int(np.abs(mzs - peak.mz).argmin())
        if abs(mzs[nearest] - peak.mz) <= _SAME_PEAK:
            formulas[nearest] = peak.formula
    return formulas


def _draw(
    ax: Axes,
    measured: tuple[NDArray[np.float64], NDArray[np.float64]],
    predicted: tuple[NDArray[np.float64], NDArray[np.float64]],
    formulas: dict[int, str],
) -> None:
    mzs, heights = measured
    is_explained = np.isin(np.arange(mzs.size), list(formulas))
    ax.vlines(mzs[~is_explained], 0, heights[~is_explained], colors=PALE, linewidth=1.3)
    ax.vlines(mzs[is_explained], 0, heights[is_explained], colors=BLUE, linewidth=1.8)
    ax.vlines(predicted[0], 0, -predicted[1], colors=VERMILION, linewidth=1.8)
    ax.axhline(0, color=MUTED, linewidth=0.8)

    every_mz = np.concatenate([mzs, predicted[0]])
    margin = max(0.05 * np.ptp(every_mz), 4.0)
    ax.set_xlim(every_mz.min() - margin, every_mz.max() + margin)
    # Room above for the labels, and below as much as looks even.
    ax.set_ylim(-1.12 if predicted[0].size else 0.0, 1.3)
    ax.set_yticks([y for y in (-1, -0.5, 0, 0.5, 1) if y >= 0 or predicted[0].size])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(100 * y):.0f}"))
    ax.set_xlabel("m/z", style="italic")
    ax.set_ylabel("relative intensity (%)")
    tidy(ax)

    said = "measured"
    if formulas:
        share = heights[is_explained].sum() / heights.sum()
        said += f", {100 * share:.0f} % of its intensity explained"
    caption: dict[str, Any] = {"transform": ax.transAxes, "fontsize": 9, "ha": "right"}
    ax.text(1.0, 0.99, said, color=BLUE if formulas else MUTED, va="top", **caption)
    if predicted[0].size:
        ax.text(1.0, 0.015, "predicted", color=VERMILION, va="bottom", **caption)


def _label(
    ax: Axes,
    mzs: NDArray[np.float64],
    heights: NDArray[np.float64],
    formulas: dict[int, str],
    points_per_pixel: float,
) -> None:
    """Write formulas, and the m/z of large peaks without one, where there is room for them."""
    by_height = [int(i) for i in np.argsort(-heights) if heights[i] >= _LABEL_MIN_INTENSITY]
    unexplained = [i for i in by_height if i not in formulas][:_N_UNEXPLAINED_LABELS]
    stems = ax.transData.transform(np.column_stack([mzs, heights]))
    frame = ax.get_window_extent()
    taken = [text.get_window_extent() for text in ax.texts]
    leaders: list[NDArray[np.float64]] = []
    # Formulas first: what is explained matters more than what is not.
    for i in [i for i in by_height if i in formulas] + unexplained:
        annotation = ax.annotate(
            format_formula(formulas[i]) if i in formulas else f"{mzs[i]:.4f}",
            (mzs[i], heights[i]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5 if i in formulas else 7.5,
            color=BLUE if i in formulas else MUTED,
        )
        others = np.delete(stems, i, axis=0)
        place = _free_place(annotation, stems[i], others, taken, leaders, frame)
        if place is None:
            annotation.remove()
            continue
        taken.append(place)
        leaders.append(_leader(stems[i], place))
        _move(ax, annotation, leaders[-1], points_per_pixel)


def _offsets(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Yield shifts from the place right above a peak, in pixels, the nearest first."""
    steps = [
        (dx * width, dy * height)
        for dy in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
        for dx in (0.0, -0.3, 0.3, -0.6, 0.6, -0.9, 0.9)
    ]
    yield from sorted(steps, key=lambda step: abs(step[0]) + abs(step[1]))


def _free_place(
    annotation: Annotation,
    tip: NDArray[np.float64],
    other_stems: NDArray[np.float64],
    taken: list[Bbox],
    leaders: list[NDArray[np.float64]],
    frame: Bbox,
) -> Bbox | None:
    """Return the nearest place where neither a label nor its leader covers anything else."""
    box = annotation.get_window_extent()
    for dx, dy in _offsets(box.width, box.height):
        place = box.translated(dx, dy)
        if place.x0 < frame.x0 or place.x1 > frame.x1 or place.y1 > frame.y1:
            continue
        beside = (other_stems[:, 0] > place.x0 - 2) & (other_stems[:, 0] < place.x1 + 2)
        if (other_stems[beside, 1] > place.y0 - 2).any():
            continue
        leader = _leader(tip, place)
        if any(place.overlaps(other) or other.count_contains(leader) for other in taken):
            continue
        if any(place.count_contains(other) for other in leaders):
            continue
        if not _crosses(leader, other_stems):
            return place
    return None


def _leader(tip: NDArray[np.float64], place: Bbox) -> NDArray[np.float64]:
    """Return points along the line from a peak's tip to the foot of its label."""
    return np.linspace(tip, ((place.x0 + place.x1) / 2, place.y0), 16)


def _crosses(leader: NDArray[np.float64], stems: NDArray[np.float64]) -> bool:
    """Say whether a leader, straight and never falling, runs through a peak."""
    (x0, y0), (x1, y1) = leader[0], leader[-1]
    between = stems[(stems[:, 0] > min(x0, x1)) & (stems[:, 0] < max(x0, x1))]
    if not between.size:
        return False
    heights = y0 + (y1 - y0) * (between[:, 0] - x0) / (x1 - x0)
    return bool((between[:, 1] > heights).any())


def _move(
    ax: Axes, annotation: Annotation, leader: NDArray[np.float64], points_per_pixel: float
) -> None:
    """Put a label at the end of its leader, which is drawn unless it is right above its peak."""
    tip, foot = leader[0], leader[-1]
    dx, dy = (foot - tip) * points_per_pixel
    annotation.set_position((dx, dy))
    if np.hypot(dx, dy) > 6:
        ends = ax.transData.inverted().transform([tip, foot])
        ax.plot(*ends.T, color=PALE, linewidth=0.6, zorder=1)
