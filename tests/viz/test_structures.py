from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure

from team5.chemistry.depiction import depict
from team5.errors import ConfigError, MoleculeError
from team5.inference.results import confidence_text
from team5.viz.spectra import format_formula
from team5.viz.structures import plot_candidates, plot_fragments, plot_structure


def texts(ax):
    return [ax.get_title(), *(text.get_text() for text in ax.texts)]


def marks(ax, gid):
    return [lines for lines in ax.collections if lines.get_gid() == gid]


def boxes(figure):
    figure.draw_without_rendering()
    found = [*figure.texts, figure._suptitle]
    for ax in figure.axes:
        found += [ax.title, *ax.texts]
    return [text.get_window_extent() for text in dict.fromkeys(found) if text.get_text()]


def test_structure_is_lines_and_letters_within_given_axes():
    figure = Figure()
    ax = figure.add_subplot()

    assert plot_structure("CCO", ax=ax) is figure
    assert ax.patches
    for patch in ax.patches:
        vertices = patch.get_path().vertices
        assert (vertices >= 0).all()
        assert (vertices <= [ax.get_xlim()[1], ax.get_ylim()[0]]).all()


def test_text_that_is_no_structure_is_refused():
    with pytest.raises(MoleculeError):
        plot_structure("C1CC")


def test_candidates_stand_best_first_with_what_the_model_says(matches):
    figure = plot_candidates(matches)

    by_rank = sorted(matches, key=lambda match: match.rank)
    assert [ax.get_title() for ax in figure.axes] == [
        f"{match.rank}   confidence {confidence_text(match.confidence)}" for match in by_rank
    ]
    for ax, match in zip(figure.axes, by_rank, strict=True):
        score = f"{match.score:.2f}".replace("-", "−")
        assert f"score {score}, {100 * match.explained_intensity:.0f} % explained" in texts(ax)
    assert "4 candidates" in figure.get_suptitle()


def test_names_follow_their_candidates(matches):
    names = ["iso$caffeine", "caffeine", "enprofylline", "x" * 80]

    figure = plot_candidates(matches, names=names, columns=2)

    best = min(range(4), key=lambda i: matches[i].rank)
    assert names[best].replace("$", r"\$") in texts(figure.axes[0])
    assert any("…" in text for ax in figure.axes for text in texts(ax))


def test_only_the_best_are_drawn_and_the_title_says_of_how_many(matches):
    figure = plot_candidates(matches, top=3, columns=2)

    assert len([ax for ax in figure.axes if ax.patches]) == 3
    assert figure.get_suptitle().startswith("Best 3 of 4 candidates")


def test_ranking_that_was_held_back_says_so(matches):
    held = [replace(match, abstained="only 0.28 sure") for match in matches]

    assert "Withheld: only 0.28 sure" in plot_candidates(held).get_suptitle().replace("\n", " ")
    mixed = plot_candidates([*matches[:3], held[3]])
    said = [ax for ax in mixed.axes if "withheld" in texts(ax)]
    assert [ax.get_title()[0] for ax in said] == [str(held[3].rank)]


def test_fragments_are_marked_below_their_peaks(match):
    figure = plot_fragments(match, top=4)

    highest = sorted(match.peaks, key=lambda peak: -peak.intensity)[:4]
    shown = sorted(highest, key=lambda peak: peak.mz)
    assert [ax.get_title() for ax in figure.axes] == [f"m/z {peak.mz:.4f}" for peak in shown]
    depiction = depict(match.smiles, 220, 150)
    for ax, peak in zip(figure.axes, shown, strict=True):
        assert format_formula(peak.formula) in texts(ax)
        assert any("ppm" in text for text in texts(ax))
        (fragment,) = marks(ax, "fragment")
        assert np.allclose(fragment.get_segments(), depiction.fragment_lines(peak.atoms))
        assert len(marks(ax, "cuts")) == bool(peak.broken_bonds)
        for cuts in marks(ax, "cuts"):
            assert np.allclose(cuts.get_segments(), depiction.cut_lines(peak.broken_bonds))


def test_no_text_covers_another(match, matches):
    names = ["a long name of a candidate here", "caffeine", "enprofylline", "guanidine"]
    for figure in (plot_candidates(matches, names=names), plot_fragments(match)):
        found = boxes(figure)
        assert len(found) > 8
        assert not any(a.overlaps(b) for a, b in combinations(found, 2))
        width, height = figure.get_size_inches() * figure.dpi
        assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in found)


def test_nothing_to_draw_is_an_error(match, matches):
    with pytest.raises(ConfigError, match="at least one match"):
        plot_candidates([])
    with pytest.raises(ConfigError, match="1 names for 4 matches"):
        plot_candidates(matches, names=["caffeine"])
    with pytest.raises(ConfigError, match="at least one explained peak"):
        plot_fragments(replace(match, peaks=()))
