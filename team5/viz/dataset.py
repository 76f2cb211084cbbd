"""A data set at a glance: compounds and spectra per fold, ions, collision energies, masses."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from team5.data.overview import NO_UNIT, Overview, read_overview
from team5.runtime.tables import counted, counted_spectra
from team5.viz.spectra import format_adduct
from team5.viz.style import BLUE, INK, MUTED, ORANGE, PALE, SKY, new_figure, plain, tidy

_N_ADDUCTS = 8
_UNIT_COLOURS = {"eV": BLUE, "NCE": ORANGE, NO_UNIT: PALE}
_N_BINS = 30


def plot_dataset(source: str | Path | Overview) -> Figure:
    """Draw folds, adducts, collision energies and masses of a file of spectra.

    Without structures, precursor m/z replaces the masses of the compounds.

    Parameters
    ----------
    source : path or Overview
        A prepared table, any file or folder that `team5.data.readers` reads, or the result of
        `read_overview`.

    Raises
    ------
    DataFileNotFoundError, DataError
        If there is no such file, the format is unknown, or no record can be used.
    """
    overview = source if isinstance(source, Overview) else read_overview(source)
    figure = new_figure(9.0, 5.6)
    folds, adducts, energies, masses = figure.subplots(2, 2).ravel()
    _draw_folds(folds, overview)
    _draw_adducts(adducts, overview)
    _draw_energies(energies, overview)
    _draw_masses(masses, overview)
    n_spectra = sum(overview.n_spectra.values())
    title = f"{overview.source}: {counted_spectra(n_spectra)}"
    if len(overview.masses):
        title += f" of {counted(len(overview.masses), 'compound')}"
    if n_skipped := overview.skipped.total():
        title += f"; {counted(n_skipped, 'record')} not used"
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _draw_folds(ax: Axes, overview: Overview) -> None:
    names = list(overview.n_spectra)
    rows = np.arange(len(names))
    spectra = list(overview.n_spectra.values())
    compounds = [overview.n_compounds[name] for name in names]
    _bars(ax, rows - 0.2, spectra, BLUE, 0.36, "spectra")
    _bars(ax, rows + 0.2, compounds, SKY, 0.36, "compounds")
    _name_rows(ax, names, "count")


def _draw_adducts(ax: Axes, overview: Overview) -> None:
    counts = dict(list(overview.adducts.items())[:_N_ADDUCTS])
    names = [format_adduct(name) for name in counts]
    if (n_others := len(overview.adducts) - len(counts)) > 0:
        counts["others"] = sum(overview.adducts.values()) - sum(counts.values())
        names.append(f"{n_others} others")
    _bars(ax, np.arange(len(counts)), list(counts.values()), BLUE, 0.7)
    _name_rows(ax, names, "spectra")


def _bars(
    ax: Axes, rows: np.ndarray, counts: list[int], colour: str, height: float, noun: str = ""
) -> None:
    ax.barh(rows, counts, height=height, color=colour, linewidth=0)
    for row, count in zip(rows, counts, strict=True):
        ax.annotate(
            f"{count:,} {noun}".strip(), (count, row), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=8, color=MUTED,
        )  # fmt: skip


def _name_rows(ax: Axes, names: list[str], unit: str) -> None:
    ax.set_yticks(range(len(names)), names)
    # A single bar does not fill the panel.
    ax.set_ylim(max(len(names), 3) - 0.5, -0.5)
    ax.set_xlabel(unit)
    # Room for the numbers behind the bars.
    ax.set_xlim(0, 1.3 * max(ax.get_xlim()[1], 1))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    tidy(ax)
    ax.tick_params(axis="y", length=0)


def _draw_energies(ax: Axes, overview: Overview) -> None:
    energies = overview.energies
    if energies:
        highest = max(float(values.max()) for values in energies.values())
        # Around the round numbers that energies are set to.
        width = 5 * math.ceil(max(highest, 1.0) / (5 * _N_BINS))
        bins = np.arange(-width / 2, highest + width, width)
        ax.hist(
            list(energies.values()),
            bins=list(bins),
            stacked=True,
            color=[_UNIT_COLOURS[unit] for unit in energies],
        )
    texts = [(f"{len(values):,} in {unit}" if unit != NO_UNIT else f"{len(values):,} without unit",
             _UNIT_COLOURS[unit]) for unit, values in energies.items()]  # fmt: skip
    if overview.n_without_energy:
        texts.append((f"{overview.n_without_energy:,} not stated", MUTED))
    for row, (text, colour) in enumerate(texts):
        ax.annotate(
            text, (1.0, 1.0), xycoords="axes fraction", xytext=(0, -2 - 12 * row),
            textcoords="offset points", ha="right", va="top", fontsize=8.5,
            color=MUTED if colour == PALE else colour,
        )  # fmt: skip
    ax.set(xlabel="collision energy (eV or NCE)", ylabel="spectra")
    _count_axis(ax)


def _draw_masses(ax: Axes, overview: Overview) -> None:
    of_compounds = len(overview.masses) > 0
    values = overview.masses if of_compounds else overview.precursor_mzs
    if len(values):
        ax.hist(values, bins=_N_BINS, color=BLUE)
    ax.set_xlabel("exact mass of the compounds (u)" if of_compounds else "precursor m/z")
    ax.set_ylabel("compounds" if of_compounds else "spectra")
    _count_axis(ax)


def _count_axis(ax: Axes) -> None:
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_ylim(0, 1.25 * max(ax.get_ylim()[1], 1))
    tidy(ax)
