"""Answers beside the spectra they are about: a match, a simulation, two measured spectra."""

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
    format_adduct,
    format_formula,
    formulas_by_peak,
    is_near,
    to_peaks,
)
from team5.viz.style import BLUE, VERMILION

# So many of the highest peaks get their formula or m/z, if there is room.
_N_PREDICTED_LABELS = 10
_N_UNEXPLAINED_LABELS = 4
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
    """Draw a spectrum with the ions of a structure; below it what the structure should give.

    Explained peaks are in colour and named by their ion, the others pale.

    Parameters
    ----------
    spectrum : Spectrum
    match : Match
        The answer to this spectrum and a structure.
    simulation : Simulation, optional
        Of the same structure, drawn below.
    name : str
        What the upper spectrum is said to be.
    title : str, optional
        By default the spectrum's identifier, the structure's formula, the ion and the collision
        energy.
    ax : Axes, optional
        Where to draw; a new figure where not given.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        If ``ax`` belongs to no figure.
    """
    peaks = to_peaks(spectrum.mzs, spectrum.intensities, "measured")
    formulas = formulas_by_peak(peaks[0], match.peaks)
    upper = Side(
        *peaks,
        f"{_plain(name)}, {100 * match.explained_intensity:.0f} % of its intensity explained",
        BLUE,
        np.isin(np.arange(peaks[0].size), list(formulas)),
        formulas,
        n_mzs=_N_UNEXPLAINED_LABELS,
    )
    lower = None if simulation is None or not simulation.mzs else _predicted(simulation)
    return draw_spectra(
        upper,
        lower,
        precursor_mz=match.precursor_mz if spectrum.precursor_mz is None else spectrum.precursor_mz,
        title=_title(spectrum.identifier, match) if title is None else title,
        ax=ax,
    )


def plot_simulation(
    simulation: Simulation, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a predicted spectrum, its highest peaks named by their ions.

    Parameters
    ----------
    simulation : Simulation
    title : str, optional
        By default the structure's formula, the ion and the collision energy.
    ax : Axes, optional
        Where to draw; a new figure where not given.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        If ``ax`` belongs to no figure.
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
    """Draw two measured spectra across one m/z axis; peaks that both have are in colour.

    Parameters
    ----------
    upper, lower : Spectrum
    names : two str, optional
        By default identifier, ion and collision energy of each.
    title : str, optional
        By default the cosine of the two, in bins of 0.01.
    ax : Axes, optional
        Where to draw; a new figure where not given.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        If ``ax`` belongs to no figure.
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
        alike = cosine(upper.mzs, upper.intensities, lower.mzs, lower.intensities)
        title = f"cosine {alike:.2f}"
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
    return _joined([_plain(identifier), formula, adduct, energy])


def _conditions(spectrum: Spectrum) -> str:
    adduct = None if spectrum.adduct is None else format_adduct(spectrum.adduct)
    parts = [_plain(spectrum.identifier), adduct, _energy(spectrum.collision_energy)]
    return _joined(parts) or "measured"


def _energy(text: str | None) -> str | None:
    """Return a collision energy as the instrument writes it, named where it has no unit."""
    if text is None or re.search("eV|NCE|V|%", text):
        return text and _plain(text)
    return f"collision energy {_plain(text)}"


def _plain(text: str) -> str:
    """Return a file's text, a dollar sign of which begins no formula."""
    return text.replace("$", r"\$")


def _joined(parts: Sequence[str | None]) -> str:
    return ", ".join(part for part in parts if part)
