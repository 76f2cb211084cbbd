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
        One of `team5.search.outputs.by_spectrum`.
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
            f"{row['error_ppm']:+.1f}",
            row["formula"],
            row["name"] or "",
            row["smiles"],
        )
        for row in candidates[:top]
    ]
    adducts = " or ".join(dict.fromkeys(row["adduct"] for row in candidates))
    lines = [
        f"{answer['identifier'] or 'Spectrum'}: {_counted(answer, len(candidates))}",
        (
            f"  precursor m/z {answer['precursor_mz']:.4f}, {adducts}, collision energy "
            f"{answer['collision_energy'] or 'not given'}"
        ),
        "",
    ]
    if sketch:
        lines += [*sketch, ""]
    header = _HEADER
    at = header.index("name")
    if not any(row[at] for row in rows):
        header, rows = _without(at, header), [_without(at, row) for row in rows]
    lines += to_columns(header, rows, left=_LEFT, width=width)
    if len(candidates) > top:
        lines.append(f"  ... {len(candidates) - top:,} more; output=FILE holds all.")
    # What is said of all; what is said of one candidate stands in its own row of a file.
    parted = [row["notes"].split("; ") if row["notes"] else [] for row in candidates]
    notes = [note for note in parted[0] if all(note in others for others in parted)]
    if candidates[0]["abstained"]:
        notes.insert(0, f"ABSTAINED: {candidates[0]['abstained']}")
    lines += ["", *(f"  Note: {note}" for note in notes)]
    lines.append(f"  Model: {answer['version']} ({answer['version_hash']})")
    return "\n".join(lines)


def _without(place: int, cells: tuple[str, ...]) -> tuple[str, ...]:
    return cells[:place] + cells[place + 1 :]


def _counted(answer: dict[str, Any], n_shown: int) -> str:
    n = answer["n_candidates"]
    counted = f"{n:,} candidate{'s' if n != 1 else ''} in the library"
    if answer["n_unusable"]:
        counted += f", {answer['n_unusable']:,} that cannot be used"
    if answer["n_scored"] + answer["n_unusable"] < n:
        counted += f", {answer['n_scored']:,} scored"
    return counted + (f", the best {n_shown:,}" if n_shown < answer["n_scored"] else "")
