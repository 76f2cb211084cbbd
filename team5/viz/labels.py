"""Placement of peak labels, near their peaks or on leaders, without overlaps."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from team5.viz.style import PALE


class Label(NamedTuple):
    """The text of a peak, by the peak's index; its size in points."""

    peak: int
    text: str
    colour: str
    size: float


def label_peaks(
    ax: Axes,
    mzs: NDArray[np.float64],
    heights: NDArray[np.float64],
    labels: Iterable[Label],
    points_per_pixel: float,
) -> None:
    """Write texts at the tips of peaks where they cover no text, peak or leader.

    The layout of the figure must be final.

    Parameters
    ----------
    mzs, heights : array of shape (P,)
        All peaks on this side of the axis; heights all above 0, or all below, in which case
        labels are placed under the peaks.
    labels : iterable of Label
        The most important first; later ones are left out where there is no room.
    """
    # Below the axis everything is mirrored, so that "up" is away from it on both sides.
    up = -1.0 if heights.size and heights[0] < 0 else 1.0
    stems = ax.transData.transform(np.column_stack([mzs, heights])) * (1.0, up)
    frame = _turned(ax.get_window_extent(), up)
    occupied = [_turned(text.get_window_extent(), up) for text in ax.texts]
    leaders: list[NDArray[np.float64]] = []
    for i, text, colour, size in labels:
        annotation = ax.annotate(
            text, (mzs[i], heights[i]), xytext=(0, 3 * up), textcoords="offset points",
            ha="center", va="bottom" if up > 0 else "top", fontsize=size, color=colour,
        )  # fmt: skip
        box = _turned(annotation.get_window_extent(), up)
        spot = _free_spot(box, stems[i], np.delete(stems, i, axis=0), occupied, leaders, frame)
        if spot is None:
            annotation.remove()
            continue
        occupied.append(spot)
        leaders.append(_leader(stems[i], spot))
        _move(ax, annotation, leaders[-1] * (1.0, up), points_per_pixel)


def _turned(box: Bbox, up: float) -> Bbox:
    return box if up > 0 else Bbox.from_extents(box.x0, -box.y1, box.x1, -box.y0)


def _offsets(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Yield shifts in pixels from right above a peak, the nearest first."""
    steps = [
        (dx * width, dy * height)
        for dy in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
        for dx in (0.0, -0.3, 0.3, -0.6, 0.6, -0.9, 0.9)
    ]
    yield from sorted(steps, key=lambda step: abs(step[0]) + abs(step[1]))


def _free_spot(
    box: Bbox,
    tip: NDArray[np.float64],
    other_stems: NDArray[np.float64],
    taken: list[Bbox],
    leaders: list[NDArray[np.float64]],
    frame: Bbox,
) -> Bbox | None:
    """Return the nearest box where neither a label nor its leader covers anything else."""
    for dx, dy in _offsets(box.width, box.height):
        spot = box.translated(dx, dy)
        if spot.x0 < frame.x0 or spot.x1 > frame.x1 or spot.y1 > frame.y1:
            continue
        near = (other_stems[:, 0] > spot.x0 - 2) & (other_stems[:, 0] < spot.x1 + 2)
        if (other_stems[near, 1] > spot.y0 - 2).any():
            continue
        leader = _leader(tip, spot)
        if any(spot.overlaps(other) or other.count_contains(leader) for other in taken):
            continue
        if any(spot.count_contains(other) for other in leaders):
            continue
        if not _crosses(leader, other_stems):
            return spot
    return None


def _leader(tip: NDArray[np.float64], spot: Bbox) -> NDArray[np.float64]:
    """Return points along the line from a peak's tip to the foot of its label."""
    return np.linspace(tip, ((spot.x0 + spot.x1) / 2, spot.y0), 16)


def _crosses(leader: NDArray[np.float64], stems: NDArray[np.float64]) -> bool:
    """Return whether a leader, straight and never falling, runs through a peak."""
    (x0, y0), (x1, y1) = leader[0], leader[-1]
    between = stems[(stems[:, 0] > min(x0, x1)) & (stems[:, 0] < max(x0, x1))]
    if not between.size:
        return False
    heights = y0 + (y1 - y0) * (between[:, 0] - x0) / (x1 - x0)
    return bool((between[:, 1] > heights).any())


def _move(
    ax: Axes, annotation: Annotation, leader: NDArray[np.float64], points_per_pixel: float
) -> None:
    """Draw a label at the end of its leader, which is omitted if it is right above its peak."""
    tip, foot = leader[0], leader[-1]
    dx, dy = (foot - tip) * points_per_pixel
    annotation.set_position((dx, dy))
    if np.hypot(dx, dy) > 6:
        ends = ax.transData.inverted().transform([tip, foot])
        ax.plot(*ends.T, color=PALE, linewidth=0.6, zorder=1)
