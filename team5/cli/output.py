"""Answers as text for people, as JSON for programs, and as files by extension."""

from __future__ import annotations

import json
from collections.abc import Sequence

from team5.cli.terminal import Terminal
from team5.inference.results import (
    Answer,
    Match,
    Simulation,
    confidence_text,
    is_ranking,
    sure_text,
)
from team5.runtime.tables import to_columns
from team5.search.text import RANKING_WORDS

# m/z and intensities.
Peaks = tuple[Sequence[float], Sequence[float]]
_RANKING_HEADER: tuple[str, ...] = (
    "rank", "confidence", "score", "explained", "formula", "SMILES",
)  # fmt: skip
_SHARE_WORDS = "predicted share: how much of the spectrum predicted for the structure this ion is"


def print_answers(
    answers: Answer | Sequence[Answer],
    *,
    as_json: bool = False,
    top: int = 20,
    peaks: Peaks | None = None,
) -> int:
    """Print answers to standard output; ranked candidates as a table, as JSON a list as a list.

    Parameters
    ----------
    answers : Match, Simulation, or a sequence of them
        Ranked candidates by rank.
    as_json : bool, default False
        JSON instead of text: one answer per line, keys and digits always the same.
    top : int, default 20
        Rows shown as text of each answer; JSON has all.
    peaks : pair of sequences of float, optional
        m/z and intensities of the query, if it is a single spectrum, drawn on a terminal.

    Returns
    -------
    int
        Number of answers.
    """
    if as_json:
        return _print_json(answers)
    terminal = Terminal.here()
    listed = [answers] if isinstance(answers, Answer) else answers
    if is_ranking(listed):
        sketch = _sketch(terminal, listed[0], peaks)
        terminal.print(format_ranking(listed, top, terminal.width, sketch))
        return len(listed)
    for number, answer in enumerate(listed):
        if number:
            print()
        sketch = _sketch(terminal, answer, peaks)
        terminal.print(format_answer(answer, top, terminal.width, sketch))
    return len(listed)


def _print_json(answers: Answer | Sequence[Answer]) -> int:
    """Print an answer, or a list with one answer per line."""
    if isinstance(answers, Answer):
        print(_to_json(answers))
        return 1
    print("[\n" + ",\n".join(map(_to_json, answers)) + "\n]" if answers else "[]")
    return len(answers)


def format_answer(
    answer: Answer, top: int = 20, width: int | None = None, sketch: Sequence[str] = ()
) -> str:
    """Return an answer as text.

    Parameters
    ----------
    answer : Match or Simulation
    top : int, default 20
        Rows shown; of a spectrum its highest peaks.
    width : int, optional
        Columns that tables have to fit, with SMILES shortened; by default nothing is cut.
    sketch : sequence of str
        Lines of a drawn spectrum, put before the table.
    """
    if isinstance(answer, Simulation):
        return _format_simulation(answer, top, width, sketch)
    return _format_match(answer, top, width, sketch)


def _sketch(terminal: Terminal, answer: Answer, peaks: Peaks | None) -> list[str]:
    """Return the query's spectrum, or the predicted one, as lines for a terminal."""
    if isinstance(answer, Simulation):
        return terminal.sketch(answer.mzs, answer.intensities)
    if peaks is None:
        return []
    return terminal.sketch(*peaks, [peak.mz for peak in answer.peaks])


def _to_json(answer: Answer) -> str:
    return json.dumps(answer.to_dict(), ensure_ascii=False, allow_nan=False)


def _format_match(match: Match, top: int, width: int | None, sketch: Sequence[str]) -> str:
    verdict = "withheld" if match.abstained else "match" if match.label else "no match"
    judgement = (
        f"{verdict}: probability {match.probability:.3f} (threshold {match.threshold:.3f}), "
        f"{match.explained_intensity:.0%} of the intensity explained"
    )
    lines = [match.smiles, f"  {judgement}", f"  {_conditions(match)}"]
    if match.references:
        n = match.n_references
        noun, rest = {"candidates": ("other molecule", "of its mass"),
                      "isomers": ("isomer", "made from it")}[match.references]  # fmt: skip
        lines.append(f"  compared with {n} {noun}{'s' if n != 1 else ''} {rest}")
    if sketch:
        lines += ["", *sketch]
    if match.peaks:
        lines.append("")
        highest = sorted(match.peaks, key=lambda peak: -peak.intensity)[:top]
        lines += to_columns(
            ("m/z", "intensity", "ion", "error ppm", "predicted share"),
            [
                (
                    f"{peak.mz:.4f}",
                    f"{peak.intensity:.3f}",
                    peak.formula,
                    f"{peak.error_ppm:+.1f}",
                    f"{peak.probability:.3f}",
                )
                for peak in sorted(highest, key=lambda peak: peak.mz)
            ],
            left={"ion"},
            width=width,
        )
        lines += _left_out(len(match.peaks), top, "explained peaks")
        lines += ["", f"  {_SHARE_WORDS}"]
    if match.impossible_mzs:
        lines.append("")
        mzs = ", ".join(f"{mz:.4f}" for mz in match.impossible_mzs[:top])
        more = ", ..." if len(match.impossible_mzs) > top else ""
        lines.append(f"  From no ion of this structure (above its precursor): {mzs}{more}")
    return "\n".join(lines + _closing(match))


def format_ranking(
    best_first: Sequence[Match],
    top: int = 20,
    width: int | None = None,
    sketch: Sequence[str] = (),
) -> str:
    """Return ranked candidates as text; the parameters are those of `format_answer`."""
    count = len(best_first)
    counted = f"{count} candidate{'s' if count != 1 else ''}"
    title = f"Spectrum: {counted}; first place: {sure_text(best_first[0].confidence)}"
    shown = best_first[:top]
    header = _RANKING_HEADER
    rows: list[tuple[str, ...]] = [
        (
            "-" if match.rank is None else str(match.rank),
            confidence_text(match.confidence),
            f"{match.score:.2f}",
            f"{match.explained_intensity:.0%}",
            match.formula,
            match.smiles,
        )
        for match in shown
    ]
    if len({match.adduct for match in best_first}) > 1:
        header = *header[:-1], "adduct", header[-1]
        rows = [(*row[:-1], match.adduct, row[-1]) for row, match in zip(rows, shown, strict=True)]
    lines = [title, f"  {_conditions_of_all(best_first)}", ""]
    if sketch:
        lines += [*sketch, ""]
    lines += to_columns(header, rows, left={"formula", "adduct", "SMILES"}, width=width)
    lines += _left_out(count, top, "candidates")
    lines += ["", *(f"  {words}" for words in RANKING_WORDS)]
    # Notes on all candidates; those on single candidates are in their rows of a file.
    notes = [note for note in shown[0].notes if all(note in match.notes for match in shown)]
    notes += _misfits(best_first)
    return "\n".join(lines + _closing(best_first[0], notes))


def _misfits(best_first: Sequence[Match]) -> list[str]:
    count = sum(match.precursor_fits is False for match in best_first)
    if count == 0:
        return []
    if count == len(best_first):
        return ["no candidate has the mass of the measured precursor"]
    return [f"ranked last: {count} without the mass of the measured precursor"]


def _format_simulation(
    simulation: Simulation, top: int, width: int | None, sketch: Sequence[str]
) -> str:
    lines = [simulation.smiles, f"  predicted spectrum, {_conditions(simulation)}", ""]
    if sketch:
        lines += [*sketch, ""]
    peaks = zip(simulation.mzs, simulation.intensities, simulation.formulas, strict=True)
    highest = sorted(peaks, key=lambda peak: -peak[1])[:top]
    lines += to_columns(
        ("m/z", "intensity", "ion"),
        [(f"{mz:.4f}", f"{height:.3f}", formula) for mz, height, formula in sorted(highest)],
        left={"ion"},
        width=width,
    )
    lines += _left_out(len(simulation.mzs), top, "peaks")
    return "\n".join(lines + _closing(simulation))


def _conditions(answer: Match | Simulation) -> str:
    energy = answer.collision_energy or "not given"
    return (
        f"{answer.formula}, {answer.adduct}, precursor m/z {answer.precursor_mz:.4f}, "
        f"collision energy {energy}"
    )


def _conditions_of_all(matches: Sequence[Match]) -> str:
    """Return the conditions; formula and precursor only where all candidates share them."""
    if len({(match.formula, match.adduct) for match in matches}) == 1:
        return _conditions(matches[0])
    adducts = " or ".join(dict.fromkeys(match.adduct for match in matches))
    return f"{adducts}, collision energy {matches[0].collision_energy or 'not given'}"


def _closing(answer: Match | Simulation, notes: Sequence[str] | None = None) -> list[str]:
    lines = answer.notes if notes is None else notes
    if isinstance(answer, Match) and answer.abstained:
        lines = [f"WITHHELD: {answer.abstained}", *lines]
    model = f"{answer.version} ({answer.version_hash})" if answer.version_hash else answer.version
    return ["", *(f"  Note: {note}" for note in lines), f"  Model: {model}"]


def _left_out(count: int, top: int, what: str) -> list[str]:
    if count <= top:
        return []
    shown = f"  ... {count - top:,} more of {count:,} {what}"
    return [f"{shown}; top={count} shows all, output=FILE holds all."]
