"""Small drawings of spectra for notebooks, as SVG in the colours of the page around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from team5.runtime.html import render, trusted

if TYPE_CHECKING:
    from markupsafe import Markup

# After Okabe and Ito, Color Universal Design (2008), blue lighter for dark pages.
MEASURED = "#2B8CC4"
PREDICTED = "#D55E00"

_WIDTH, _HEIGHT = 420, 150  # px
_LEFT, _RIGHT, _TOP, _BOTTOM = 10, 10, 26, 18
_LABEL_HEIGHT = 12
_CHARACTER = 7.4  # px, of labels
_N_LABELS = 6
_FEWEST_TICKS = 4
# All but this many highest peaks are drawn as one path, to keep spectra of thousands small.
_N_TITLED = 100


def draw_sticks(
    mzs: Sequence[float],
    intensities: Sequence[float],
    labels: Sequence[str],
    *,
    colour: str,
    titles: Sequence[str] | None = None,
) -> Markup:
    """Return a spectrum as an SVG element, empty where there are no peaks.

    Parameters
    ----------
    mzs, intensities : sequence of P float
        The highest intensity fills the height of the drawing.
    labels : sequence of P str
        Written at the highest peaks, where there is room.
    colour : str
        Of the peaks.
    titles : sequence of P str, optional
        Tooltips of the peaks; by default m/z and intensity.
    """
    if not len(mzs):
        return trusted("")
    low, high = min(mzs), max(mzs)
    margin = max(0.04 * (high - low), 2.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / (high - low + 2 * margin)
    x = [_LEFT + (mz - low + margin) * scale for mz in mzs]
    base = _HEIGHT - _BOTTOM
    full = max(intensities)
    tips = [base - (base - _TOP) * intensity / full for intensity in intensities]
    if titles is None:
        titles = [
            f"m/z {mz:.4f}, {100 * intensity / full:.1f} %"
            for mz, intensity in zip(mzs, intensities, strict=True)
        ]
    stems = [f"M {x[i]:.1f} {base} V {tips[i]:.1f}" for i in range(len(mzs))]
    lowest_first = sorted(range(len(mzs)), key=lambda i: intensities[i])
    untitled = " ".join(stems[i] for i in lowest_first[:-_N_TITLED])
    peaks = [(stems[i], titles[i]) for i in lowest_first[-_N_TITLED:]]
    svg = render(
        "spectrum.svg",
        n_peaks=len(mzs),
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        base=base,
        colour=colour,
        ticks=[
            (f"{_LEFT + (tick - low + margin) * scale:.1f}", f"{tick:g}")
            for tick in _ticks(low - margin, high + margin)
        ],
        peaks=[(untitled, ""), *peaks] if untitled else peaks,
        labels=[
            (f"{label_x:.1f}", f"{y:.1f}", labels[i]) for i, label_x, y in _placed(x, tips, labels)
        ],
    )
    return trusted(svg)


def _placed(
    places: Sequence[float], tips: Sequence[float], labels: Sequence[str]
) -> list[tuple[int, float, float]]:
    """Return index, x and y of the labels to write: the highest, clear of peaks and each other."""
    chosen: list[tuple[int, float, float]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for i in sorted(range(len(labels)), key=lambda i: tips[i]):
        half = len(labels[i]) * _CHARACTER / 2
        x = min(max(places[i], half), _WIDTH - half)
        top, bottom = tips[i] - 3 - _LABEL_HEIGHT, tips[i] - 3
        hidden = any(
            x - half < place < x + half and tip < bottom and j != i
            for j, (place, tip) in enumerate(zip(places, tips, strict=True))
        ) or any(
            x - half < right and x + half > left and top < below and bottom > above
            for left, right, above, below in boxes
        )
        if not hidden:
            chosen.append((i, x, bottom))
            boxes.append((x - half, x + half, top, bottom))
        if len(chosen) == _N_LABELS:
            break
    return chosen


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two others: at least four, unless both are close."""
    steps = (500, 250, 200, 100, 50, 25, 20, 10, 5, 2, 1)
    for step in steps:
        ticks = [float(n * step) for n in range(int(-(-low // step)), int(high // step) + 1)]
        if len(ticks) >= _FEWEST_TICKS:
            return ticks
    return ticks
