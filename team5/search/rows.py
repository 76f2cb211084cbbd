"""The rows of a result: one for each of the best candidates of a spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from team5.data.spectrum import Spectrum
from team5.search.shortlist import Shortlist

SCHEMA_VERSION = 1

_PEAK = pa.struct(
    [
        ("mz", pa.float64()),
        ("intensity", pa.float64()),
        ("fragment_mz", pa.float64()),
        ("error_ppm", pa.float64()),
        ("formula", pa.string()),
        ("atoms", pa.list_(pa.int16())),
        ("broken_bonds", pa.list_(pa.list_(pa.int16()))),
        ("probability", pa.float64()),
    ]
)
# What is the same in all rows of a spectrum.
OF_SPECTRUM = {
    "spectrum": pa.int64(),
    "identifier": pa.string(),
    "n_candidates": pa.int64(),
    "n_scored": pa.int64(),
    "n_unusable": pa.int64(),
    "precursor_mz": pa.float64(),
    "collision_energy": pa.string(),
    "version": pa.string(),
    "version_hash": pa.string(),
}
SCHEMA = pa.schema(
    [
        ("spectrum", OF_SPECTRUM["spectrum"]),
        ("identifier", OF_SPECTRUM["identifier"]),
        ("rank", pa.int64()),
        ("smiles", pa.string()),
        ("inchikey14", pa.string()),
        ("name", pa.string()),
        ("formula", pa.string()),
        ("probability", pa.float64()),
        ("label", pa.bool_()),
        ("score", pa.float64()),
        ("explained_intensity", pa.float64()),
        ("references", pa.string()),
        ("n_references", pa.int64()),
        ("n_candidates", OF_SPECTRUM["n_candidates"]),
        ("n_scored", OF_SPECTRUM["n_scored"]),
        ("n_unusable", OF_SPECTRUM["n_unusable"]),
        ("adduct", pa.string()),
        ("precursor_mz", OF_SPECTRUM["precursor_mz"]),
        ("precursor_mz_calculated", pa.float64()),
        ("error_ppm", pa.float64()),
        ("collision_energy", OF_SPECTRUM["collision_energy"]),
        ("abstained", pa.string()),
        ("notes", pa.string()),
        ("version", OF_SPECTRUM["version"]),
        ("version_hash", OF_SPECTRUM["version_hash"]),
        ("peaks", pa.list_(_PEAK)),
    ]
)


def rows_of(
    number: int, spectrum: Spectrum, found: Shortlist, names: Sequence[str | None]
) -> list[dict[str, Any]]:
    """Return the rows of one spectrum, best first.

    Parameters
    ----------
    number : int
        Of the spectrum in its file.
    names : sequence of str or None
        Of the candidates, in the order they were given.
    """
    assert spectrum.precursor_mz is not None  # noqa: S101 - its candidates were found by it
    return [
        {
            "spectrum": number,
            "identifier": spectrum.identifier,
            "rank": match.rank,
            "smiles": match.smiles,
            "inchikey14": key,
            "name": names[place],
            "formula": match.formula,
            "probability": match.probability,
            "label": match.label,
            "score": match.score,
            "explained_intensity": match.explained_intensity,
            "references": match.references,
            "n_references": match.n_references,
            "n_candidates": found.n_candidates,
            "n_scored": found.n_scored,
            "n_unusable": found.unusable.total(),
            "adduct": match.adduct,
            "precursor_mz": spectrum.precursor_mz,
            "precursor_mz_calculated": match.precursor_mz,
            "error_ppm": (spectrum.precursor_mz / match.precursor_mz - 1) * 1e6,
            "collision_energy": match.collision_energy,
            "abstained": match.abstained,
            "notes": "; ".join(match.notes),
            "version": match.version,
            "version_hash": match.version_hash,
            "peaks": [peak.to_dict() for peak in match.peaks],
        }
        for match, place, key in zip(found.matches, found.places, found.inchikey14, strict=True)
    ]


def to_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)
