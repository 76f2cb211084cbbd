"""Rows of answers: one for each of the best candidates of a spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from team5.data.spectrum import Spectrum
from team5.inference.tables import MATCH_COLUMNS, match_row
from team5.search.shortlist import Shortlist
from team5.search.structures import CandidateSet

SCHEMA_VERSION = 3

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
ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
# Columns that are equal in all rows of a spectrum.
_OF_SPECTRUM: dict[str, type] = {
    "spectrum": int,
    "identifier": str,
    "feature_id": str,
    "scan": str,
    "retention_time": float,
    "n_spectra": int,
    "n_candidates": int,
    "n_scored": int,
    "n_unusable": int,
    "precursor_mz": float,
    "collision_energy": str,
    "version": str,
    "version_hash": str,
}
_IDS = ("spectrum", "identifier", "feature_id", "scan", "retention_time")
_OF_CANDIDATE: dict[str, type] = {
    "inchikey14": str,
    "precursor_mz_calculated": float,
    "error_ppm": float,
}
_COLUMNS = {
    **{name: _OF_SPECTRUM[name] for name in _IDS},
    **MATCH_COLUMNS,
    **_OF_CANDIDATE,
    **_OF_SPECTRUM,
}
SCHEMA = pa.schema(
    [*((name, ARROW_TYPES[kind]) for name, kind in _COLUMNS.items()), ("peaks", pa.list_(_PEAK))]
)


def rows_of(
    number: int,
    spectrum: Spectrum,
    best: Shortlist,
    candidates: CandidateSet,
    *,
    n_spectra: int,
) -> list[dict[str, Any]]:
    """Return the rows of one spectrum, best first.

    Parameters
    ----------
    number : int
        Of the spectrum in its file.
    candidates : CandidateSet
        What the shortlist was made of.
    n_spectra : int
        Spectra that were judged together, of which this is the first.
    """
    measured = spectrum.precursor_mz
    of_spectrum = {
        "spectrum": number,
        **{name: getattr(spectrum, name, None) for name in _IDS[1:]},
        "n_spectra": n_spectra,
        "n_candidates": best.n_candidates,
        "n_scored": best.n_scored,
        "n_unusable": best.unusable.total(),
        "precursor_mz": measured,
    }
    rows = []
    for match, index, key in zip(best.matches, best.indices, best.inchikey14, strict=True):
        calculated = match.precursor_mz
        columns = candidates.columns[index] if candidates.columns else {}
        rows.append(
            {
                **{user_column(name): value for name, value in columns.items()},
                **match_row(match),
                **of_spectrum,
                "name": candidates.names[index],
                "inchikey14": key,
                "precursor_mz_calculated": calculated,
                "error_ppm": None if measured is None else (measured / calculated - 1) * 1e6,
                "peaks": [peak.to_dict() for peak in match.peaks],
            }
        )
    return rows


def to_answer(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of one spectrum as one value, its candidates best first."""
    return {
        **{name: rows[0][name] for name in _OF_SPECTRUM},
        "candidates": [
            {name: value for name, value in row.items() if name not in _OF_SPECTRUM} for row in rows
        ],
    }


def count_withheld(table: pa.Table) -> int:
    """Return how many spectra of a table have answers that are withheld, all those of a group."""
    withheld = table.filter(pc.is_valid(table["abstained"]))
    groups = withheld.group_by("spectrum").aggregate([("n_spectra", "max")])
    return sum(groups["n_spectra_max"].to_pylist())


def user_column(name: str) -> str:
    """Return the name of a user's column among the answers."""
    return f"{name}_of_list" if name in SCHEMA.names else name


def schema_with(columns: pa.Schema) -> pa.Schema:
    """Return the columns of answers, with those of the user's list before the peaks."""
    users = [field.with_name(user_column(field.name)) for field in columns]
    return pa.schema([*list(SCHEMA)[:-1], *users, SCHEMA.field("peaks")])


def to_table(rows: Sequence[dict[str, Any]], columns: pa.Schema) -> pa.Table:
    """Return rows as a table; values of a user's column that is text become text."""
    schema = schema_with(columns)
    texts = {user_column(field.name) for field in columns if pa.types.is_string(field.type)}
    return pa.Table.from_pylist(
        [
            row | {name: str(row[name]) for name in texts if row.get(name) is not None}
            for row in rows
        ],
        schema=schema,
    )
