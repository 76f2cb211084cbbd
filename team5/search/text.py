"""The hits of a spectrum as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from team5.runtime.tables import to_columns

_HEADER: tuple[str, ...] = (
    *("rank", "score", "probability", "match", "explained", "error ppm", "formula", "name"),
    "SMILES",
)
_LEFT = {"match", "formula", "name", "SMILES"}


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
    rows: list[tuple[str, ...]] = [
        (
            str(row["rank"]),
            f"{row['score']:.2f}",
            f"{row['probability']:.3f}",
            "yes" if row["label"] else "no",
            f"{row['explained_intensity']:.0%}",
            "" if row["error_ppm"] is None else f"{row['error_ppm']:+.1f}",
            row["formula"],
            row["name"] or "",
            row["smiles"],
        )
        for row in candidates[:top]
    ]
    adducts = " or ".join(dict.fromkeys(row["adduct"] for row in candidates))
    measured = answer["precursor_mz"]
    lines = [
        f"{answer['identifier'] or 'Spectrum'}: {_counted(answer, len(candidates))}",
        (
            f"  precursor m/z {'not given' if measured is None else f'{measured:.4f}'}, {adducts}, "
            f"collision energy {answer['collision_energy'] or 'not given'}"
        ),
        "",
    ]
    if sketch:
        lines += [*sketch, ""]
    header = _HEADER
    for name in ("name", "error ppm"):
        at = header.index(name)
        if not any(row[at] for row in rows):
            header, rows = _without(at, header), [_without(at, row) for row in rows]
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


def _without(index: int, cells: tuple[str, ...]) -> tuple[str, ...]:
    return cells[:index] + cells[index + 1 :]


def _counted(answer: dict[str, Any], n_shown: int) -> str:
    n = answer["n_candidates"]
    counted = f"{n:,} candidate{'s' if n != 1 else ''}"
    if answer["n_unusable"]:
        counted += f", {answer['n_unusable']:,} that cannot be used"
    if answer["n_scored"] + answer["n_unusable"] < n:
        counted += f", {answer['n_scored']:,} scored"
    return counted + (f", the best {n_shown:,}" if n_shown < answer["n_scored"] else "")
