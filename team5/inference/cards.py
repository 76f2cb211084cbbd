"""Answers and models as small HTML cards for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from team5.chemistry.depiction import depiction_svg
from team5.data.cards import MEASURED, PREDICTED, card, facts, remarks, sticks_svg
from team5.errors import MoleculeError
from team5.inference.results import Answer, Match, Ranking, Simulation

if TYPE_CHECKING:
    from team5.inference.inference import LoadedModel

# Of a longer list so many are shown, as each brings a drawing.
_N_SHOWN = 10
_SMALL = {"width": 130, "height": 84}
_CELL = "padding:2px 8px;text-align:left;vertical-align:middle"


def match_card(match: Match) -> str:
    """Return a match: structure, explained peaks, and what is said of both."""
    labels = {i: peak.formula for i, peak in enumerate(match.peaks)}
    drawn = sticks_svg(
        [peak.mz for peak in match.peaks],
        [peak.intensity for peak in match.peaks],
        labels,
        colour=MEASURED,
        titles={i: str(peak) for i, peak in enumerate(match.peaks)},
    )
    verdict = "match" if match.label else "no match"
    said = facts(
        {
            verdict: f"at probability {match.probability:.3f} (threshold {match.threshold:.3f})",
            "rank": None if match.rank is None else str(match.rank),
            "explained": f"{match.explained_intensity:.0%} of the intensity",
            "ion": f"{match.formula} {match.adduct}, m/z {match.precursor_mz:.4f}",
            "collision energy": match.collision_energy,
            "held back": match.abstained,
            "model": _model(match),
        }
    )
    return card(match.smiles, _structure(match.smiles), drawn, said) + remarks(match.notes)


def simulation_card(simulation: Simulation) -> str:
    """Return a predicted spectrum with the structure it is of."""
    said = facts(
        {
            "predicted": f"{len(simulation.mzs)} peaks",
            "ion": f"{simulation.formula} {simulation.adduct}, m/z {simulation.precursor_mz:.4f}",
            "collision energy": simulation.collision_energy,
            "model": _model(simulation),
        }
    )
    drawn = _predicted(simulation)
    structure = _structure(simulation.smiles)
    return card(simulation.smiles, structure, drawn, said) + remarks(simulation.notes)


def ranking_card(ranking: Ranking) -> str:
    """Return candidates, the best first."""
    names = dict(zip(map(id, ranking.matches), ranking.names, strict=False))
    best_first = ranking.best_first
    count = f"{len(best_first)} candidate{'s' if len(best_first) != 1 else ''}"
    title = f"{ranking.identifier or 'Spectrum'}: {count}"
    return card(title, _matches(best_first, [names.get(id(m), "") for m in best_first]))


def list_card(answers: Sequence[Answer]) -> str:
    """Return several answers; ranked candidates of one spectrum the best first."""
    matches = [answer for answer in answers if isinstance(answer, Match)]
    if matches and len(matches) == len(answers):
        if all(match.rank is not None for match in matches):
            return ranking_card(Ranking("", tuple(matches), matches[0].version))
        return card(f"{len(matches)} matches", _matches(matches, [""] * len(matches)))
    shown = "".join(to_card(answer) for answer in answers[:_N_SHOWN])
    return shown + _left_out(len(answers))


def to_card(answer: Answer) -> str:
    """Return the card of any answer."""
    if isinstance(answer, Match):
        return match_card(answer)
    return ranking_card(answer) if isinstance(answer, Ranking) else simulation_card(answer)


def model_card(model: LoadedModel) -> str:
    """Return what a loaded version is and how it answers."""
    return card(
        f"team5 {model.version}",
        facts(
            {
                "version": f"{model.version} ({model.version_hash})",
                "parameters": f"{model.n_parameters:,}",
                "device": str(model.device),
                "match from": f"probability {model.threshold:.3f}",
                "abstains where asked": "yes" if model.calibration else "no",
            }
        ),
    )


def _matches(matches: Sequence[Match], names: Sequence[str]) -> str:
    named = any(names)
    headings = ["rank", "", "name", "probability", "", "explained", "score", "SMILES"]
    rows = []
    for match, name in zip(matches[:_N_SHOWN], names, strict=False):
        cells = [
            "" if match.rank is None else str(match.rank),
            _structure(match.smiles, **_SMALL),
            escape(name),
            f"{match.probability:.3f}",
            "match" if match.label else "no match",
            f"{match.explained_intensity:.0%}",
            f"{match.score:.2f}",
            f'<span style="overflow-wrap:anywhere">{escape(match.smiles)}</span>',
        ]
        rows.append(_row("td", cells, named))
    head = _row("th", headings, named)
    best = matches[0] if matches else None
    said = [] if best is None else [f"Held back: {best.abstained}"] if best.abstained else []
    table = f'<table style="border-collapse:collapse;font-size:13px">{head}{"".join(rows)}</table>'
    return remarks(said) + (table if matches else "") + _left_out(len(matches))


def _row(tag: str, cells: Sequence[str], named: bool) -> str:
    kept = [cell for i, cell in enumerate(cells) if named or i != 2]
    inside = "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in kept)
    return f"<tr>{inside}</tr>"


def _left_out(n_answers: int) -> str:
    n_more = n_answers - _N_SHOWN
    return remarks([f"… and {n_more:,} more"]) if n_more > 0 else ""


def _predicted(simulation: Simulation) -> str:
    return sticks_svg(
        simulation.mzs,
        simulation.intensities,
        dict(enumerate(simulation.formulas)),
        colour=PREDICTED,
        titles={
            i: f"m/z {mz:.4f} {formula}"
            for i, (mz, formula) in enumerate(zip(simulation.mzs, simulation.formulas, strict=True))
        },
    )


def _structure(smiles: str, *, width: int = 220, height: int = 150) -> str:
    """Return a structure's drawing, nothing where an answer made by hand holds none."""
    try:
        return depiction_svg(smiles, width=width, height=height)
    except MoleculeError:
        return ""


def _model(answer: Match | Simulation) -> str:
    return f"{answer.version} ({answer.version_hash})" if answer.version_hash else answer.version
