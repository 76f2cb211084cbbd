"""Small pieces of HTML for notebooks: spectra as lines, facts, and the card of a spectrum.

They hold no scripts and refer to nothing outside, take the text's colour from the page, so that
they read on light and dark ones, and escape all text that comes from users and files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from team5.data.spectrum import Spectrum

# After Okabe and Ito, Color Universal Design (2008), blue lighter for dark pages.
MEASURED = "#2B8CC4"
PREDICTED = "#D55E00"

_WIDTH, _HEIGHT = 420, 150  # px
_LEFT, _RIGHT, _TOP, _BOTTOM = 10, 10, 26, 18
_LABEL_HEIGHT = 12
_CHARACTER = 7.4  # px, of labels
_N_LABELS = 6
_FEWEST_TICKS = 4
# Peaks lower than these many are drawn in one piece, so that spectra of thousands stay small.
_N_TITLED = 100


def spectrum_card(spectrum: Spectrum) -> str:
    """Return a measured spectrum as a drawing with what is known of it."""
    labels = {i: f"{mz:.4f}" for i, mz in enumerate(spectrum.mzs)}
    precursor = None if spectrum.precursor_mz is None else f"m/z {spectrum.precursor_mz:.4f}"
    said = facts(
        {
            "precursor": precursor,
            "ion": spectrum.adduct or spectrum.ion_mode,
            "collision energy": spectrum.collision_energy,
            "instrument": spectrum.instrument_type,
            "peaks": f"{spectrum.n_peaks:,}",
        }
    )
    drawn = sticks_svg(
        spectrum.mzs.tolist(), spectrum.intensities.tolist(), labels, colour=MEASURED
    )
    return card(spectrum.identifier or "Spectrum", drawn, said)


def card(title: str, *parts: str) -> str:
    """Return parts, HTML each, side by side below a title, which is text."""
    cells = "".join(f"<div>{part}</div>" for part in parts if part)
    return (
        f'<div style="font-family:sans-serif;font-size:13px;line-height:1.45;margin:4px 0">'
        f'<div style="font-weight:600;overflow-wrap:anywhere">{escape(title)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 20px;align-items:center">{cells}</div>'
        "</div>"
    )


def facts(values: Mapping[str, str | None]) -> str:
    """Return names with their values, those that have one, a line each."""
    lines = (
        f'<div><span style="opacity:0.65">{escape(name)}</span> '
        f'<span style="overflow-wrap:anywhere">{escape(value)}</span></div>'
        for name, value in values.items()
        if value
    )
    return "".join(lines)


def remarks(texts: Iterable[str]) -> str:
    """Return texts below one another, small."""
    lines = "".join(f"<div>{escape(text)}</div>" for text in texts)
    return f'<div style="font-size:12px;opacity:0.75;max-width:44em">{lines}</div>' if lines else ""


def sticks_svg(
    mzs: Sequence[float],
    intensities: Sequence[float],
    labels: Mapping[int, str],
    *,
    colour: str,
    titles: Mapping[int, str] | None = None,
    width: int = _WIDTH,
    height: int = _HEIGHT,
) -> str:
    """Return a spectrum as an SVG element.

    Parameters
    ----------
    mzs, intensities : sequence of P float
        The highest of the intensities is the height of the drawing.
    labels : mapping of int to str
        By position of the peak; those of the highest peaks are written, where there is room.
    colour : str
        Of the peaks.
    titles : mapping of int to str, optional
        What is said where the mouse rests on a peak; by default its m/z and intensity.
    width, height : int
        In px.
    """
    if not len(mzs):
        return ""
    low, high = min(mzs), max(mzs)
    margin = max(0.04 * (high - low), 2.0)
    scale = (width - _LEFT - _RIGHT) / (high - low + 2 * margin)
    places = [_LEFT + (mz - low + margin) * scale for mz in mzs]
    base = height - _BOTTOM
    full = max(intensities)
    tips = [base - (base - _TOP) * intensity / full for intensity in intensities]
    said = titles or {}
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    font = 'font-family="sans-serif" font-size="10.5" fill="currentColor" text-anchor="middle"'
    parts = [
        f'<svg role="img" aria-label="spectrum of {len(mzs)} peaks" {size} {font}>',
        f'<path d="M {_LEFT} {base} H {width - _RIGHT}" stroke="currentColor" opacity="0.5"/>',
    ]
    for tick in _ticks(low - margin, high + margin):
        x = _LEFT + (tick - low + margin) * scale
        parts.append(f'<text x="{x:.1f}" y="{height - 5}" opacity="0.65">{tick:g}</text>')
    line = f'stroke="{colour}" stroke-width="1.8"'
    lowest_first = sorted(range(len(mzs)), key=lambda i: intensities[i])
    stems = [f"M {x:.1f} {base} V {tip:.1f}" for x, tip in zip(places, tips, strict=True)]
    if low_ones := " ".join(stems[i] for i in lowest_first[:-_N_TITLED]):
        parts.append(f'<path d="{low_ones}" {line}/>')
    for i in lowest_first[-_N_TITLED:]:
        title = said.get(i, f"m/z {mzs[i]:.4f}, {100 * intensities[i] / full:.1f} %")
        parts.append(f'<path d="{stems[i]}" {line}><title>{escape(title)}</title></path>')
    for i, x, y in _placed(places, tips, labels, width):
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}">{escape(labels[i])}</text>')
    return "".join([*parts, "</svg>"])


def _placed(
    places: Sequence[float], tips: Sequence[float], labels: Mapping[int, str], width: int
) -> list[tuple[int, float, float]]:
    """Return which labels are written and where: the highest, clear of peaks and each other."""
    chosen: list[tuple[int, float, float]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for i in sorted(labels, key=lambda i: tips[i]):
        half = len(labels[i]) * _CHARACTER / 2
        x = min(max(places[i], half), width - half)
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
        found = [float(n * step) for n in range(int(-(-low // step)), int(high // step) + 1)]
        if len(found) >= _FEWEST_TICKS:
            return found
    return found
