"""Answers as text for people: a match, a simulated spectrum, ranked candidates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from team5.inference.results import Answer, Match, Simulation, confidence_text
from team5.inference.tables import match_row
from team5.runtime.tables import counted, to_columns

# What the columns of a table mean, by whether it ranks candidates or has only one.
_WORDS = {
    True: "confidence: the probability that it is the right one, if the right one is in the list",
    False: "probability: how probable it is that the spectrum is of this structure",
}
_SCORE_WORDS = "score: the weighted log-likelihood of the peaks"
_EXPLAINED_WORDS = "explained: the share of the intensity that fragments of the structure explain"
_SHARE_WORDS = "predicted share: how much of the spectrum predicted for the structure this ion is"
_LEFT = {"match", "formula", "adduct", "name", "SMILES"}


def words_of_columns(ranked: Collection[bool]) -> str:
    """Return what the columns mean, to be said once below all tables.

    Parameters
    ----------
    ranked : collection of bool
        For each table, or kind of table, whether it ranks several candidates.
    """
    words = [text for is_ranked, text in _WORDS.items() if is_ranked in ranked]
    score = _SCORE_WORDS + (", which ranks go by" if True in ranked else "")
    return "\n".join(["", *(f"  {text}" for text in (*words, score, _EXPLAINED_WORDS))])


def format_answer(
    answer: Answer, top: int = 20, width: int | None = None, sketch: Sequence[str] = ()
) -> str:
    """Return a match or a simulated spectrum as text.

    Parameters
    ----------
    answer : Match or Simulation
    top : int, default 20
        Peaks shown, the highest.
    width : int, optional
        Columns that tables have to fit, with SMILES shortened; by default nothing is cut.
    sketch : sequence of str
        Lines of a drawn spectrum, put before the table.
    """
    if isinstance(answer, Simulation):
        return _format_simulation(answer, top, width, sketch)
    return _format_match(answer, top, width, sketch)


def format_ranking(
    matches: Sequence[Match], top: int = 20, width: int | None = None, sketch: Sequence[str] = ()
) -> str:
    """Return the candidates that `infer` has ranked, best first, as text; see `format_hits`."""
    best = matches[0]
    if len({(match.formula, match.adduct) for match in matches}) == 1:
        conditions = _conditions(best)
    else:  # each has a precursor of its own
        adducts = " or ".join(dict.fromkeys(match.adduct for match in matches))
        conditions = f"{adducts}, collision energy {best.collision_energy or 'not given'}"
    notes = _shared([match.notes for match in matches])
    n_misfits = sum(match.precursor_fits is False for match in matches)
    if n_misfits == len(matches):
        notes.append("no candidate has the mass of the measured precursor")
    elif n_misfits:
        notes.append(f"ranked last: {n_misfits} without the mass of the measured precursor")
    lines = [
        f"Spectrum: {_candidates(len(matches))}; {_first_place(best.confidence)}",
        f"  {conditions}",
    ]
    lines += _table([match_row(match) for match in matches], top, width, sketch)
    return "\n".join(lines + _closing(best.version, best.version_hash, notes, best.abstained))


def format_hits(
    answer: dict[str, Any], top: int = 20, width: int | None = None, sketch: Sequence[str] = ()
) -> str:
    """Return the hits of a spectrum as text.

    Parameters
    ----------
    answer : dict
        One of `team5.search.writers.by_spectrum`.
    top : int, default 20
        Rows shown.
    width : int, optional
        Columns that the table fits, by cutting SMILES short; by default nothing is cut.
    sketch : sequence of str
        Lines of a drawn spectrum, put before the table.
    """
    rows = answer["candidates"]
    is_alone = answer["n_candidates"] == 1
    measured, n_spectra = answer["precursor_mz"], answer["n_spectra"]
    lines = [
        f"{answer['identifier'] or 'Spectrum'}: {_told(answer)}"
        + ("" if is_alone else f"; {_first_place(rows[0]['confidence'])}"),
        f"  precursor m/z {'not given' if measured is None else f'{measured:.4f}'}, "
        f"{' or '.join(dict.fromkeys(row['adduct'] for row in rows))}, "
        f"collision energy {answer['collision_energy'] or 'not given'}"
        + (f", {n_spectra} spectra together" if n_spectra > 1 else ""),
    ]
    lines += _table(rows, top, width, sketch, is_alone=is_alone)
    notes = _shared([row["notes"].split("; ") if row["notes"] else [] for row in rows])
    version, version_hash = answer["version"], answer["version_hash"]
    return "\n".join(lines + _closing(version, version_hash, notes, rows[0]["abstained"]))


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
        lines.append(f"  compared with {counted(n, noun)} {rest}")
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
        lines += _not_shown(len(match.peaks), top, "explained peaks")
        lines += ["", f"  {_SHARE_WORDS}"]
    if match.impossible_mzs:
        lines.append("")
        mzs = ", ".join(f"{mz:.4f}" for mz in match.impossible_mzs[:top])
        more = ", ..." if len(match.impossible_mzs) > top else ""
        lines.append(f"  From no ion of this structure (above its precursor): {mzs}{more}")
    closing = _closing(match.version, match.version_hash, match.notes, match.abstained)
    return "\n".join(lines + closing)


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
    lines += _not_shown(len(simulation.mzs), top, "peaks")
    closing = _closing(simulation.version, simulation.version_hash, simulation.notes)
    return "\n".join(lines + closing)


def _table(
    rows: Sequence[dict[str, Any]],
    top: int,
    width: int | None,
    sketch: Sequence[str],
    *,
    is_alone: bool = False,
) -> list[str]:
    """Return candidates as a table below the drawn spectrum, without its empty columns."""
    shown = [_cells(row, is_alone=is_alone) for row in rows[:top]]
    empty = {name for name in ("name", "error ppm") if not any(cells[name] for cells in shown)}
    if len({row["adduct"] for row in rows}) == 1:
        empty.add("adduct")  # said above the table
    header = [name for name in shown[0] if name not in empty]
    cells = [[cells[name] for name in header] for cells in shown]
    return [
        "",
        *([*sketch, ""] if sketch else []),
        *to_columns(header, cells, left=_LEFT, width=width),
        *_not_shown(len(rows), top, "candidates"),
    ]


def _cells(row: dict[str, Any], *, is_alone: bool) -> dict[str, str]:
    """Return the cells of a candidate by their column; one that is alone is matched."""
    judgement = (
        {
            "probability": f"{row['probability']:.3f}",
            "match": "yes" if row["label"] else "no",
        }
        if is_alone
        else {"rank": str(row["rank"]), "confidence": confidence_text(row["confidence"])}
    )
    error_ppm = row.get("error_ppm")
    return {
        **judgement,
        "score": f"{row['score']:.2f}",
        "explained": f"{row['explained_intensity']:.0%}",
        "error ppm": "" if error_ppm is None else f"{error_ppm:+.1f}",
        "formula": row["formula"],
        "adduct": row["adduct"],
        "name": row["name"] or "",
        "SMILES": row["smiles"],
    }


def _conditions(answer: Answer) -> str:
    energy = answer.collision_energy or "not given"
    return (
        f"{answer.formula}, {answer.adduct}, precursor m/z {answer.precursor_mz:.4f}, "
        f"collision energy {energy}"
    )


def _candidates(count: int) -> str:
    return counted(count, "candidate")


def _told(answer: dict[str, Any]) -> str:
    n, n_scored, n_shown = answer["n_candidates"], answer["n_scored"], len(answer["candidates"])
    told = _candidates(n)
    if answer["n_unusable"]:
        told += f", {answer['n_unusable']:,} that cannot be used"
    if n_scored + answer["n_unusable"] < n:
        told += f", {n_scored:,} scored"
    return told + (f", the best {n_shown:,}" if n_shown < n_scored else "")


def _first_place(confidence: float | None) -> str:
    if confidence is None:
        return "first place: how sure is not known"
    return f"first place: {confidence_text(confidence)} sure"


def _shared(notes: Sequence[Sequence[str]]) -> list[str]:
    """Return the notes on all candidates; those on single ones stand in their rows of a file."""
    return [note for note in notes[0] if all(note in others for others in notes)]


def _not_shown(count: int, top: int, what: str) -> list[str]:
    if count <= top:
        return []
    shown = f"  ... {count - top:,} more of {count:,} {what}"
    return [f"{shown}; top={count} shows all, output=FILE holds all."]


def _closing(
    version: str, version_hash: str, notes: Sequence[str], abstained: str | None = None
) -> list[str]:
    withheld = [f"WITHHELD: {abstained}"] if abstained else []
    model = f"{version} ({version_hash})" if version_hash else version
    return ["", *(f"  Note: {note}" for note in [*withheld, *notes]), f"  Model: {model}"]
