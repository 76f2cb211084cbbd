"""Plots of spectra on one m/z axis, peaks labelled with their ions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from team5.constants import PEAK_TOLERANCE_FLOOR, PEAK_TOLERANCE_PPM
from team5.errors import SpectrumError
from team5.inference.results import ExplainedPeak
from team5.viz.labels import Label, label_peaks
from team5.viz.style import BLUE, INK, MUTED, PALE, VERMILION, axes_or_new, plain, tidy

# Number of the largest unexplained peaks that get their m/z written.
_N_UNEXPLAINED_LABELS = 4
# Smaller ones, relative to the base peak, are not worth a label.
_LABEL_MIN_INTENSITY = 0.01
# An explanation belongs to the peak within this distance in m/z; both are the same number.
_SAME_PEAK = 1e-4
# With this many peaks, lines are drawn thinner, so that neighbours stay separate.
_MANY_PEAKS = 100


@dataclass(frozen=True, eq=False)
class Side:
    """A spectrum drawn on one side of the axis.

    Attributes
    ----------
    mzs, heights : array of shape (P,)
        The base peak has height 1.
    caption : str
    colour : str
        Of the peaks in ``coloured``; the others are pale.
    coloured : array of shape (P,), bool
    formulas : mapping of int to str
        Of ions, by index of their peak.
    n_mzs : int
        Number of the largest peaks without formula that are labelled with their m/z.
    """

    mzs: NDArray[np.float64]
    heights: NDArray[np.float64]
    caption: str
    colour: str
    coloured: NDArray[np.bool_]
    formulas: Mapping[int, str] = field(default_factory=dict)
    n_mzs: int = 0

    @property
    def caption_colour(self) -> str:
        return self.colour if self.coloured.any() else MUTED


def mirror_plot(
    mzs: ArrayLike,
    intensities: ArrayLike,
    predicted_mzs: ArrayLike,
    predicted_intensities: ArrayLike,
    *,
    explained: Sequence[ExplainedPeak] = (),
    name: str = "measured",
    precursor_mz: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a measured spectrum above and a predicted one below one m/z axis.

    Parameters
    ----------
    mzs, intensities : array of shape (P,)
        Measured peaks, intensities in any positive unit.
    predicted_mzs, predicted_intensities : array of shape (R,)
        Predicted peaks; with R = 0 only the measured ones are drawn.
    explained : sequence of ExplainedPeak, optional
        Peaks to colour and to label with the formula of their fragment, e.g. ``match.peaks``.
    name : str
        Of the upper spectrum: measured or computed.
    precursor_mz : float, optional
        Marked on the axis, by a filled diamond if there is a measured peak, else by an open one.
    title : str, optional

    Raises
    ------
    SpectrumError
        If lengths differ, a value is not finite, or there is no measured peak.
    """
    measured = to_peaks(mzs, intensities, "measured")
    predicted = to_peaks(predicted_mzs, predicted_intensities, "predicted")
    if not measured[0].size:
        raise SpectrumError("no measured peaks to draw; give at least one.")
    everything = np.ones(predicted[0].size, dtype=bool)
    lower = Side(*predicted, "predicted", VERMILION, everything) if everything.size else None
    upper = explained_side(measured, explained, name)
    return draw_spectra(upper, lower, precursor_mz=precursor_mz, title=title, ax=ax)


def draw_spectra(
    upper: Side,
    lower: Side | None = None,
    *,
    precursor_mz: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one spectrum, or two mirrored across the m/z axis, and label them."""
    figure, ax = axes_or_new(ax, 9.0, 5.2 if lower else 3.6)
    _draw_peaks(ax, upper, 1.0)
    if lower:
        _draw_peaks(ax, lower, -1.0)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    sides = [upper] if lower is None else [upper, lower]
    _scale(ax, sides, precursor_mz)
    if title:
        ax.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
    corner: dict[str, Any] = {"transform": ax.transAxes, "fontsize": 9, "ha": "right"}
    ax.text(1.0, 0.99, upper.caption, color=upper.caption_colour, va="top", **corner)
    if lower:
        ax.text(1.0, 0.015, lower.caption, color=lower.caption_colour, va="bottom", **corner)
    if precursor_mz is not None:
        _mark_precursor(ax, precursor_mz, upper.mzs)
    # Labels are placed by what they cover on the page, so the layout must be final.
    figure.draw_without_rendering()
    for side, up in zip(sides, (1.0, -1.0), strict=False):
        _label(ax, side, up, 72 / figure.dpi)
    return figure


def format_formula(formula: str) -> str:
    """Return an ion's formula as mathtext: ``C6H7O+`` with subscript digits, superscript charge."""
    parts = re.fullmatch(r"((?:[A-Z][a-z]?\d*)+)([•.]?)(\d*[+-])?([•.]?)", formula)
    if parts is None:
        return plain(formula)
    atoms = re.sub(r"(\d+)", r"_{\1}", parts[1])
    charge = (parts[3] or "").replace("-", "{-}").replace("+", "{+}")
    radical = r"\bullet" if parts[2] or parts[4] else ""
    return rf"$\mathrm{{{atoms}}}^{{{charge}{radical}}}$"


def format_adduct(adduct: str) -> str:
    """Return an adduct as mathtext: ``[M+NH4]+`` with subscript digits, superscript charge."""
    parts = re.fullmatch(r"\[([\w+-]+)\](\d*)([+-])", adduct)
    if parts is None:
        return plain(adduct)
    inside = re.sub(r"(?<=[A-Za-z])(\d+)", r"_{\1}", parts[1])
    # In braces signs are text, without the spaces of a sum.
    inside = re.sub(r"([+-])", r"{\1}", inside)
    return rf"$\mathrm{{[{inside}]}}^{{{parts[2]}{{{parts[3]}}}}}$"


def is_near(mzs: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each m/z matches another within the tolerance of peaks."""
    if not others.size:
        return np.zeros(mzs.shape, dtype=bool)
    distances = np.abs(mzs[:, None] - others).min(axis=1)
    near: NDArray[np.bool_] = distances <= np.maximum(
        mzs * PEAK_TOLERANCE_PPM * 1e-6, PEAK_TOLERANCE_FLOOR
    )
    return near


def to_peaks(
    mzs: ArrayLike, intensities: ArrayLike, which: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the peaks relative to the base peak."""
    mz_array = np.asarray(mzs, dtype=np.float64)
    heights = np.asarray(intensities, dtype=np.float64)
    if mz_array.ndim != 1 or mz_array.shape != heights.shape:
        raise SpectrumError(
            f"{which} spectrum: m/z values of shape {mz_array.shape} but intensities of shape "
            f"{heights.shape}. Give every peak both."
        )
    if not (np.isfinite(mz_array).all() and np.isfinite(heights).all()):
        raise SpectrumError(f"{which} spectrum: m/z values and intensities must be finite.")
    is_positive = heights > 0
    return mz_array[is_positive], heights[is_positive] / heights.max(initial=np.finfo(float).tiny)


def explained_side(
    peaks: tuple[NDArray[np.float64], NDArray[np.float64]],
    explained: Sequence[ExplainedPeak],
    name: str,
    share: float | None = None,
) -> Side:
    """Return a spectrum whose explained peaks are coloured and labelled.

    Parameters
    ----------
    share : float, optional
        Explained share of the intensity; by default that of the explained peaks, if any.
    """
    formulas = _formulas_by_peak(peaks[0], explained)
    is_explained = np.isin(np.arange(peaks[0].size), list(formulas))
    if share is None and formulas:
        share = peaks[1][is_explained].sum() / peaks[1].sum()
    caption = name if share is None else f"{name}, {100 * share:.0f} % of its intensity explained"
    return Side(*peaks, caption, BLUE, is_explained, formulas, n_mzs=_N_UNEXPLAINED_LABELS)


def _formulas_by_peak(
    mzs: NDArray[np.float64], explained: Sequence[ExplainedPeak]
) -> dict[int, str]:
    formulas = {}
    for peak in explained:
        nearest = int(np.abs(mzs - peak.mz).argmin())
        if abs(mzs[nearest] - peak.mz) <= _SAME_PEAK:
            formulas[nearest] = peak.formula
    return formulas


def _draw_peaks(ax: Axes, side: Side, up: float) -> None:
    width = 1.1 if side.mzs.size > _MANY_PEAKS else 1.8
    for chosen, colour, thickness in (
        (~side.coloured, PALE, 0.7 * width),
        (side.coloured, side.colour, width),
    ):
        if chosen.any():
            ax.vlines(
                side.mzs[chosen], 0, up * side.heights[chosen], colors=colour, linewidth=thickness
            )


def _scale(ax: Axes, sides: Sequence[Side], precursor_mz: float | None) -> None:
    every_mz = np.concatenate(
        [*(side.mzs for side in sides), [] if precursor_mz is None else [precursor_mz]]
    )
    margin = max(0.05 * np.ptp(every_mz), 4.0)
    ax.set_xlim(every_mz.min() - margin, every_mz.max() + margin)
    # Room above for the labels, and below for balance.
    lowest = 0.0 if len(sides) == 1 else -1.3 if sides[1].formulas or sides[1].n_mzs else -1.12
    ax.set_ylim(lowest, 1.3)
    ax.set_yticks([y for y in (-1, -0.5, 0, 0.5, 1) if y >= 0 or len(sides) > 1])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(100 * y):.0f}"))
    ax.set_xlabel("m/z", style="italic")
    ax.set_ylabel("relative intensity (%)")
    tidy(ax)


def _mark_precursor(ax: Axes, precursor_mz: float, mzs: NDArray[np.float64]) -> None:
    mark = "◆" if is_near(np.array([precursor_mz]), mzs)[0] else "◇"
    # Text, so that labels avoid it like all other text.
    ax.text(
        precursor_mz, 0, mark, fontsize=7, color=INK, ha="center", va="center_baseline", zorder=4
    )
    ax.text(
        0.01, 0.99, f"{mark} precursor m/z {precursor_mz:.4f}", transform=ax.transAxes, fontsize=9,
        color=MUTED, va="top",
    )  # fmt: skip


def _label(ax: Axes, side: Side, up: float, points_per_pixel: float) -> None:
    """Write formulas, and the m/z of large peaks without one, where there is room for them."""
    by_height = [
        int(i) for i in np.argsort(-side.heights) if side.heights[i] >= _LABEL_MIN_INTENSITY
    ]
    # Formulas first: what is explained matters more than what is not.
    with_formula = [i for i in by_height if i in side.formulas]
    without = [i for i in by_height if i not in side.formulas][: side.n_mzs]
    colours = {i: side.colour if side.coloured[i] else MUTED for i in by_height}
    labels = [Label(i, format_formula(side.formulas[i]), colours[i], 8.5) for i in with_formula]
    labels += [Label(i, f"{side.mzs[i]:.4f}", colours[i], 7.5) for i in without]
    label_peaks(ax, side.mzs, up * side.heights, labels, points_per_pixel)
