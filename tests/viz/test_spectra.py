from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from team5.errors import SpectrumError
from team5.inference.results import ExplainedPeak
from team5.viz.spectra import Side, draw_spectra, format_adduct, format_formula, mirror_plot
from team5.viz.style import BLUE, PALE, VERMILION


def explained_peak(mz, formula):
    return ExplainedPeak(
        mz=mz,
        intensity=1.0,
        fragment_mz=mz,
        error_ppm=0.0,
        formula=formula,
        atoms=(),
        broken_bonds=(),
        probability=0.5,
    )


CAFFEINE = ([195.0877, 138.0661, 110.0713, 97.2], [100.0, 60.0, 30.0, 10.0])
EXPLAINED = [explained_peak(138.0661, "C6H8N3O+"), explained_peak(195.0877, "C8H11N4O2+")]


def stems(ax, colour):
    """Ends of the peaks drawn in a colour, by m/z."""
    return {
        float(segment[0, 0]): float(segment[1, 1])
        for lines in ax.collections
        if np.allclose(lines.get_color()[0], to_rgba(colour))
        for segment in lines.get_segments()
    }


def labels(ax):
    return [text for text in ax.texts if isinstance(text, Annotation)]


def test_measured_stands_above_and_predicted_below():
    figure = mirror_plot(*CAFFEINE, [138.0661, 83.06], [50.0, 200.0])

    (ax,) = figure.axes
    assert stems(ax, PALE) == pytest.approx(
        {195.0877: 1.0, 138.0661: 0.6, 110.0713: 0.3, 97.2: 0.1}
    )
    assert stems(ax, VERMILION) == pytest.approx({138.0661: -0.25, 83.06: -1.0})


def test_explained_peaks_are_coloured_and_named():
    figure = mirror_plot(*CAFFEINE, [], [], explained=EXPLAINED)

    (ax,) = figure.axes
    assert stems(ax, BLUE) == pytest.approx({195.0877: 1.0, 138.0661: 0.6})
    texts = [label.get_text() for label in labels(ax)]
    assert format_formula("C8H11N4O2+") in texts
    assert format_formula("C6H8N3O+") in texts
    assert "110.0713" in texts
    assert any("80 %" in text.get_text() for text in ax.texts)


def test_explanation_of_a_peak_that_is_not_there_is_left_out():
    figure = mirror_plot(*CAFFEINE, [], [], explained=[explained_peak(55.5, "C4H7+")])

    assert format_formula("C4H7+") not in [label.get_text() for label in labels(figure.axes[0])]


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 80))
def test_labels_never_overlap(seed, n_peaks):
    rng = np.random.default_rng(seed)
    mzs = rng.uniform(50, 300, n_peaks)
    explained = [explained_peak(mz, "C12H17N2O4+") for mz in mzs[::2]]

    figure = mirror_plot(mzs, rng.random(n_peaks) + 1e-3, [], [], explained=explained)

    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 1
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_drawing_into_given_axes_returns_their_figure():
    figure = Figure()
    upper, lower = figure.subplots(2, 1)

    assert mirror_plot(*CAFFEINE, [], [], ax=lower, title="caffeine") is figure
    assert lower.get_title(loc="left") == "caffeine"
    assert not upper.collections


def test_figure_is_written_as_an_image(tmp_path):
    file = tmp_path / "mirror.png"
    mirror_plot(*CAFFEINE, [138.0661], [1.0], explained=EXPLAINED).savefig(file)

    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("C6H7O+", r"$\mathrm{C_{6}H_{7}O}^{{+}}$"),
        ("CHCl2-", r"$\mathrm{CHCl_{2}}^{{-}}$"),
        ("C7H8+•", r"$\mathrm{C_{7}H_{8}}^{{+}\bullet}$"),
        ("C7H8.+", r"$\mathrm{C_{7}H_{8}}^{{+}\bullet}$"),
        ("C20H30N2+2", "C20H30N2+2"),
        ("C20H30N22+", r"$\mathrm{C_{20}H_{30}N_{22}}^{{+}}$"),
        ("[M+H]+ $", r"[M+H]+ \$"),
    ],
)
def test_formula_is_set_with_low_digits_and_high_charge(formula, text):
    assert format_formula(formula) == text


@pytest.mark.parametrize(
    ("adduct", "text"),
    [
        ("[M+H]+", r"$\mathrm{[M{+}H]}^{{+}}$"),
        ("[M-H2O+H]+", r"$\mathrm{[M{-}H_{2}O{+}H]}^{{+}}$"),
        ("[2M+NH4]+", r"$\mathrm{[2M{+}NH_{4}]}^{{+}}$"),
        ("[M-2H]2-", r"$\mathrm{[M{-}2H]}^{2{-}}$"),
        ("not stated", "not stated"),
        ("$", r"\$"),
    ],
)
def test_adduct_is_set_with_low_digits_and_high_charge(adduct, text):
    assert format_adduct(adduct) == text


@pytest.mark.parametrize(
    ("peaks", "said"),
    [
        (([100.0, 200.0], [1.0]), "Give every peak both"),
        (([100.0], [float("nan")]), "finite"),
        (([], []), "no measured peaks"),
        (([100.0], [0.0]), "no measured peaks"),
    ],
)
def test_spectra_that_cannot_be_drawn_are_named(peaks, said):
    with pytest.raises(SpectrumError, match=said):
        mirror_plot(*peaks, [], [])


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.integers(2, 80))
def test_labels_on_both_sides_never_overlap(seed, n_peaks):
    rng = np.random.default_rng(seed)
    upper, lower = (
        Side(
            np.sort(rng.uniform(50, 300, n_peaks)),
            rng.uniform(0.01, 1.0, n_peaks),
            caption,
            BLUE,
            np.ones(n_peaks, dtype=bool),
            dict.fromkeys(range(0, n_peaks, 2), "C12H17N2O4+"),
            n_mzs=5,
        )
        for caption in ("above", "below")
    )

    figure = draw_spectra(upper, lower, precursor_mz=200.0)

    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 4
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_precursor_is_a_full_mark_where_it_was_measured_and_an_open_one_elsewhere():
    def said(precursor_mz):
        (ax,) = mirror_plot(*CAFFEINE, [], [], precursor_mz=precursor_mz).axes
        low, high = ax.get_xlim()
        assert low < precursor_mz < high
        return [text.get_text() for text in ax.texts if "precursor" in text.get_text()]

    assert said(195.0877) == ["◆ precursor m/z 195.0877"]
    assert said(212.1) == ["◇ precursor m/z 212.1000"]
