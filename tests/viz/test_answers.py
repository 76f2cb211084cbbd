from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from team5.data.spectrum import Spectrum
from team5.viz.answers import plot_match, plot_simulation, plot_two_spectra
from team5.viz.spectra import format_adduct, format_formula
from team5.viz.style import BLUE, PALE, VERMILION


def stems(ax, colour):
    return {
        round(float(segment[0, 0]), 4): round(float(segment[1, 1]), 6)
        for lines in ax.collections
        if np.allclose(lines.get_color()[0], to_rgba(colour))
        for segment in lines.get_segments()
    }


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_match_has_explained_peaks_in_colour_and_the_simulation_below(spectrum, match, simulation):
    (ax,) = plot_match(spectrum, match, simulation).axes

    assert sorted(stems(ax, BLUE)) == [round(peak.mz, 4) for peak in match.peaks]
    assert 97.2 in stems(ax, PALE)
    assert stems(ax, VERMILION) == {
        round(mz, 4): round(-height, 6)
        for mz, height in zip(simulation.mzs, simulation.intensities, strict=True)
    }
    assert "◆ precursor m/z 195.0877" in texts(ax)
    assert "predicted by v0.2" in texts(ax)


def test_match_says_the_same_share_of_intensity_as_the_answer(spectrum, match):
    (ax,) = plot_match(spectrum, match).axes

    said = f"measured, {100 * match.explained_intensity:.0f} % of its intensity explained"
    assert said in texts(ax)


def test_title_says_what_was_measured_and_takes_dollar_signs_as_text(spectrum, match, tmp_path):
    figure = plot_match(spectrum, match)

    title = figure.axes[0].get_title(loc="left")
    said = [r"caffeine \$1\$", format_formula("C8H10N4O2"), format_adduct("[M+H]+"), "35 eV"]
    assert title == ", ".join(said)
    figure.savefig(tmp_path / "match.png")
    assert plot_match(spectrum, match, title="mine").axes[0].get_title(loc="left") == "mine"


def test_energy_without_a_unit_is_named(spectrum, match):
    title = plot_match(spectrum, replace(match, collision_energy="35")).axes[0].get_title("left")

    assert title.endswith("collision energy 35")


def test_simulation_stands_above_the_axis_with_its_ions(simulation):
    (ax,) = plot_simulation(simulation).axes

    highest = simulation.formulas[int(np.argmax(simulation.intensities))]
    assert format_formula(highest) in texts(ax)
    assert min(stems(ax, VERMILION).values()) > 0
    assert ax.get_ylim()[0] == 0


def test_peaks_that_two_spectra_share_are_in_colour():
    upper = Spectrum([100.0, 150.0], [1.0, 0.5], identifier="a", collision_energy="10 eV")
    lower = Spectrum([100.0004, 120.0], [0.5, 1.0], identifier="b", collision_energy="40 eV")

    (ax,) = plot_two_spectra(upper, lower).axes

    assert list(stems(ax, BLUE)) == [100.0]
    assert stems(ax, VERMILION) == {100.0004: -0.5}
    assert set(stems(ax, PALE)) == {150.0, 120.0}
    assert {"a, 10 eV", "b, 40 eV", "150.0000", "120.0000"} <= set(texts(ax))
    assert ax.get_title(loc="left").startswith("cosine ")


def test_names_of_two_spectra_can_be_given():
    spectrum = Spectrum([100.0], [1.0])

    (ax,) = plot_two_spectra(spectrum, spectrum, names=("first", "second"), title="").axes

    assert {"first", "second"} <= set(texts(ax))


@pytest.mark.parametrize("what", ["match", "simulation"])
def test_given_axes_are_drawn_into(what, spectrum, match, simulation):
    figure = Figure()
    ax = figure.add_subplot()

    drawn = (
        plot_match(spectrum, match, ax=ax)
        if what == "match"
        else plot_simulation(simulation, ax=ax)
    )

    assert drawn is figure
    assert figure.axes == [ax]


def test_spectrum_that_was_not_measured_can_be_called_so(spectrum, match):
    (ax,) = plot_match(spectrum, match, name="computed").axes

    assert any(text.startswith("computed, ") for text in texts(ax))
    assert not any("measured" in text for text in texts(ax))
