"""Answers to look at: structures, and measured spectra above predicted ones, for a report."""

from __future__ import annotations

from html import escape

from team5.assessment.examples import Example, Examples, Judged
from team5.chemistry.depiction import depiction_svg
from team5.viz.page import to_svg
from team5.viz.spectra import mirror_plot
from team5.viz.style import new_figure

# Inches: of a size at which labels can be read on a telephone.
_SIZE = (4.9, 3.7)


def to_articles(examples: Examples) -> list[str]:
    """Return examples as parts of a page; none where there are no examples."""
    if not (examples.right or examples.wrong):
        return []
    right = [_article(f"Right {i}", found) for i, found in enumerate(examples.right, start=1)]
    wrong = [_article(f"Wrong {i}", found) for i, found in enumerate(examples.wrong, start=1)]
    said = (
        "Drawn by seed, each of another structure: first those where the true structure came first "
        "among the candidates, then those where another one did. Measured peaks above, those "
        "predicted for the structure below; peaks that it explains carry its ion's formula."
    )
    if not examples.wrong:
        said += " No spectrum of those measured was answered wrong."
    elif not examples.right:
        said += " No spectrum of those measured was answered right."
    # One answer each: they stand side by side where there is room.
    beside = [f'<div class="beside">{"".join(right)}</div>'] if right else []
    return ["<h2>Examples</h2>", f'<p class="muted">{said}</p>', *beside, *wrong]


def _article(title: str, example: Example) -> str:
    spectrum = example.spectrum
    energy = spectrum.collision_energy
    conditions = [
        f"true structure on place {example.rank} of {example.n_candidates}",
        *([spectrum.adduct] if spectrum.adduct else []),
        *([f"precursor m/z {spectrum.precursor_mz:.4f}"] if spectrum.precursor_mz else []),
        f"collision energy {energy or 'not given'}",
    ]
    answers = [_answer("true structure", example, example.true)]
    if example.preferred is not None:
        answers.append(_answer("what the model preferred", example, example.preferred))
    name = f": {spectrum.identifier}" if spectrum.identifier else ""
    return (
        f"<article>\n<h3>{escape(title + name)}</h3>\n"
        f'<p class="muted">{escape(", ".join(conditions))}</p>\n'
        f'<div class="beside">{"".join(answers)}</div>\n</article>'
    )


def _answer(title: str, example: Example, judged: Judged) -> str:
    match, predicted = judged.match, judged.predicted
    spectrum = example.spectrum
    plot = mirror_plot(
        spectrum.mzs,
        spectrum.intensities,
        predicted.mzs,
        predicted.intensities,
        explained=match.peaks,
        ax=new_figure(*_SIZE).add_subplot(),
    )
    label = f"measured and predicted spectrum, {title}"
    said = f"score {match.score:.2f}, match probability {match.probability:.3f}"
    return (
        f"<div><h4>{escape(title)}</h4>\n"
        f"<p><code>{escape(match.smiles)}</code><br>{escape(said)}</p>\n"
        f'<div class="structure">{depiction_svg(match.smiles, width=300, height=220)}</div>\n'
        f"<figure>{to_svg(plot, label)}</figure></div>"
    )
