"""The hits of a spectrum as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from team5.inference.results import confidence_text, sure_text
from team5.runtime.tables import to_columns

# What the words of a ranking mean; said once below what is printed.
RANKING_WORDS = (
    "confidence: the probability that it is the right one, if the right one is in the list",
    "score: the weighted log-likelihood of the peaks, which ranks go by",
    "explained: the share of the intensity that fragments of the structure explain",
)
_LEFT = {"match", "formula", "adduct", "name", "SMILES"}


def format_hits(
    answer: dict[str, Any], top: int, width: int | None = None, sketch: Sequence[str] = ()
) -> str:
    """Return the hits of a spectrum as text.

    Parameters
    ----------
    answer : dict
        One of `team5.search.writers.by_spectrum`.
    top : int
        Rows shown.
    width : int, optional
        Columns that the table fits, by cutting SMILES short; by default nothing is cut.
    sketch : sequence of str
        Lines of a drawn spectrum, put before the table.
    """
    candidates = answer["candidates"]
    columns = [_cells(row, is_alone=answer["n_candidates"] == 1) for row in candidates[:top]]
    adducts = list(dict.fromkeys(row["adduct"] for row in candidates))
    empty = {name for name in ("name", "error ppm") if not any(row[name] for row in columns)}
    if len(adducts) == 1:
        empty.add("adduct")  # said above the table
    header = [name for name in columns[0] if name not in empty]
    rows = [[row[name] for name in header] for row in columns]
    measured = answer["precursor_mz"]
    n_spectra = answer["n_spectra"]
    together = f", {n_spectra} spectra together" if n_spectra > 1 else ""
    lines = [
        f"{answer['identifier'] or 'Spectrum'}: {_counted(answer, len(candidates))}{_sure(answer)}",
        (
            f"  precursor m/z {'not given' if measured is None else f'{measured:.4f}'}, "
            f"{' or '.join(adducts)}, collision energy {answer['collision_energy'] or 'not given'}"
            f"{together}"
        ),
        "",
    ]
    if sketch:
        lines += [*sketch, ""]
    lines += to_columns(header, rows, left=_LEFT, width=width)
    if len(candidates) > top:
        lines.append(f"  ... {len(candidates) - top:,} more; output=FILE holds all.")
    # Notes on all; those on one candidate stand in its own row of a file.
    notes_of = [row["notes"].split("; ") if row["notes"] else [] for row in candidates]
    notes = [note for note in notes_of[0] if all(note in each for each in notes_of)]
    if candidates[0]["abstained"]:
        notes.insert(0, f"WITHHELD: {candidates[0]['abstained']}")
    lines += ["", *(f"  Note: {note}" for note in notes)]
    lines.append(f"  Model: {answer['version']} ({answer['version_hash']})")
    return "\n".join(lines)


def _cells(row: dict[str, Any], *, is_alone: bool) -> dict[str, str]:
    """Return the cells of a candidate by their column; one that is alone is matched."""
    judgement = (
        {
            "probability": f"{row['probability']:.3f}",
            "match": "yes" if row["label"] else "no",
        }
        if is_alone
        else {"confidence": confidence_text(row["confidence"])}
    )
    return {
        **({} if is_alone else {"rank": str(row["rank"])}),
        **judgement,
        "score": f"{row['score']:.2f}",
        "explained": f"{row['explained_intensity']:.0%}",
        "error ppm": "" if row["error_ppm"] is None else f"{row['error_ppm']:+.1f}",
        "formula": row["formula"],
        "adduct": row["adduct"],
        "name": row["name"] or "",
        "SMILES": row["smiles"],
    }


def _sure(answer: dict[str, Any]) -> str:
    if answer["n_candidates"] == 1:
        return ""
    return f"; first place: {sure_text(answer['candidates'][0]['confidence'])}"


def _counted(answer: dict[str, Any], n_shown: int) -> str:
    n = answer["n_candidates"]
    counted = f"{n:,} candidate{'s' if n != 1 else ''}"
    if answer["n_unusable"]:
        counted += f", {answer['n_unusable']:,} that cannot be used"
    if answer["n_scored"] + answer["n_unusable"] < n:
        counted += f", {answer['n_scored']:,} scored"
    return counted + (f", the best {n_shown:,}" if n_shown < answer["n_scored"] else "")
