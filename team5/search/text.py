"""The hits of a spectrum as text for people."""

from __future__ import annotations

from typing import Any

_HEADER = ("rank", "score", "probability", "match", "explained", "error ppm", "formula", "name",
           "SMILES")  # fmt: skip
_LEFT = {"match", "formula", "name", "SMILES"}


def format_hits(answer: dict[str, Any], top: int) -> str:
    """Return the hits of a spectrum as text.

    Parameters
    ----------
    answer : dict
        One of `team5.search.outputs.by_spectrum`.
    top : int
        Rows shown.
    """
    candidates = answer["candidates"]
    rows = [
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
    has_names = any(row[_HEADER.index("name")] for row in rows)
    columns = [
        column for column in zip(_HEADER, *rows, strict=True) if column[0] != "name" or has_names
    ]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        padded = (
            cell.ljust(width) if column[0] in _LEFT else cell.rjust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        )
        lines.append("  " + "  ".join(padded).rstrip())
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


def _counted(answer: dict[str, Any], n_shown: int) -> str:
    n = answer["n_candidates"]
    counted = f"{n:,} candidate{'s' if n != 1 else ''} in the library"
    if answer["n_unusable"]:
        counted += f", {answer['n_unusable']:,} that cannot be used"
    if answer["n_scored"] + answer["n_unusable"] < n:
        counted += f", {answer['n_scored']:,} scored"
    return counted + (f", the best {n_shown:,}" if n_shown < answer["n_scored"] else "")
