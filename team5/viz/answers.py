"""Plots of answers with their spectra: a match, a simulation, two measured spectra."""

import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from team5.data.spectrum import Spectrum
from team5.evaluation.simulation import cosine
from team5.inference.results import Match, Simulation
from team5.viz.spectra import (
    Side,
    draw_spectra,
    explained_side,
    format_adduct,
    format_formula,
    is_near,
    to_peaks,
)
from team5.viz.style import BLUE, VERMILION, plain

# Number of the highest peaks that get their formula or m/z, if there is room.
_N_PREDICTED_LABELS = 10
_N_MEASURED_LABELS = 8


def plot_match(
    spectrum: Spectrum,
    match: Match,
    simulation: Simulation | None = None,
    *,
    name: str = "measured",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a spectrum, its explained peaks in colour with the formula of their ion.

    Parameters
    ----------
    spectrum : Spectrum
    match : Match
        The answer to this spectrum and a structure.
    simulation : Simulation, optional
        Of the same structure, drawn below.
    name : str
        Of the upper spectrum.
    title : str, optional
        By default the spectrum's identifier, the structure's formula, the ion and the collision
        energy.
    """
    peaks = to_peaks(spectrum.mzs, spectrum.intensities, "measured")
    return draw_spectra(
        explained_side(peaks, match.peaks, plain(name), match.explained_intensity),
        None if simulation is None or not simulation.mzs else _predicted(simulation),
        precursor_mz=match.precursor_mz if spectrum.precursor_mz is None else spectrum.precursor_mz,
        title=_title(spectrum.identifier, match) if title is None else title,
        ax=ax,
    )


def plot_simulation(
    simulation: Simulation, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a predicted spectrum, its highest peaks with the formula of their ion.

    Parameters
    ----------
    title : str, optional
        By default the structure's formula, the ion and the collision energy.
    """
    return draw_spectra(
        _predicted(simulation),
        precursor_mz=simulation.precursor_mz,
        title=_title("", simulation) if title is None else title,
        ax=ax,
    )


def plot_two_spectra(
    upper: Spectrum,
    lower: Spectrum,
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw two measured spectra mirrored on one m/z axis; shared peaks are coloured.

    Parameters
    ----------
    names : two str, optional
        By default identifier, ion and collision energy of each.
    title : str, optional
        By default the cosine of the two, in bins of 0.01.
    """
    sides = []
    captions = [_conditions(upper), _conditions(lower)] if names is None else names
    for spectrum, other, caption, colour in zip(
        (upper, lower), (lower, upper), captions, (BLUE, VERMILION), strict=True
    ):
        peaks = to_peaks(spectrum.mzs, spectrum.intensities, "measured")
        shared = is_near(peaks[0], other.mzs)
        sides.append(Side(*peaks, caption, colour, shared, n_mzs=_N_MEASURED_LABELS))
    if title is None:
        similarity = cosine(upper.mzs, upper.intensities, lower.mzs, lower.intensities)
        title = f"cosine {similarity:.2f}"
    precursors = {spectrum.precursor_mz for spectrum in (upper, lower)}
    return draw_spectra(
        *sides,
        precursor_mz=precursors.pop() if len(precursors) == 1 else None,
        title=title,
        ax=ax,
    )


def _predicted(simulation: Simulation) -> Side:
    peaks = to_peaks(simulation.mzs, simulation.intensities, "predicted")
    highest = np.argsort(-peaks[1], kind="stable")[:_N_PREDICTED_LABELS]
    return Side(
        *peaks,
        f"predicted by {simulation.version}",
        VERMILION,
        np.ones(peaks[0].size, dtype=bool),
        {int(i): simulation.formulas[i] for i in highest},
    )


def _title(identifier: str, answer: Match | Simulation) -> str:
    energy = _energy(answer.collision_energy)
    formula, adduct = format_formula(answer.formula), format_adduct(answer.adduct)
    return _joined([plain(identifier), formula, adduct, energy])


def _conditions(spectrum: Spectrum) -> str:
    adduct = None if spectrum.adduct is None else format_adduct(spectrum.adduct)
    parts = [plain(spectrum.identifier), adduct, _energy(spectrum.collision_energy)]
    return _joined(parts) or "measured"


def _energy(text: str | None) -> str | None:
    """Return a collision energy as the instrument writes it, labelled if it has no unit."""
    if text is None or re.search("eV|NCE|V|%", text):
        return text and plain(text)
    return f"collision energy {plain(text)}"


def _joined(parts: Sequence[str | None]) -> str:
    return ", ".join(part for part in parts if part)
