"""Candidates: columns of structures with one mass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_CHARGE_OF_FORMULA = re.compile(r"(?P<sign>[+-])(?P<size>\d{0,2})$")
_CHARGED_ATOM = re.compile(r"\[[^\]]*?(?P<signs>[+-]+)(?P<size>\d*)(?::\d+)?\]")


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Structures in order of mass.

    Text columns stay in Arrow and become Python strings only on request
    (``candidates.smiles.to_pylist()``). Columns that a file does not have are all null.

    Attributes
    ----------
    smiles, inchikey14, formula, names : Arrow arrays of shape (C,)
        Of the largest organic component, without stereo.
    exact_masses : array of shape (C,)
        Monoisotopic, in u; electrons of a charge are not subtracted.
    charges : array of shape (C,)
        Permanent charges.
    """

    smiles: pa.Array
    inchikey14: pa.Array
    formula: pa.Array
    names: pa.Array
    exact_masses: NDArray[np.float64]
    charges: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.exact_masses)


TEXT_COLUMNS = ("smiles", "inchikey14", "formula", "name")


def to_candidates(tables: Sequence[pa.Table]) -> Candidates:
    """Join tables with `TEXT_COLUMNS`, ``exact_mass`` and ``charge`` into candidates."""
    if not tables:
        empty = pa.array([], pa.string())
        return Candidates(empty, empty, empty, empty, np.empty(0), np.empty(0, np.int8))
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
    smiles, inchikey14, formula, names = (table[name].combine_chunks() for name in TEXT_COLUMNS)
    masses, charges = (table[name].to_numpy() for name in ("exact_mass", "charge"))
    return Candidates(smiles, inchikey14, formula, names, masses, charges)


def complete(table: pa.Table) -> pa.Table:
    """Return a table with all columns of candidates; missing ones are null, charges derived.

    Without a column ``charge``, the charge is derived from the sign at the end of the formula, or,
    without formulas, from the charged atoms of the SMILES.
    """
    columns = {
        name: table[name].cast(pa.string())
        if name in table.column_names
        else pa.nulls(len(table), pa.string())
        for name in TEXT_COLUMNS
    }
    if "charge" in table.column_names:
        charge = table["charge"].cast(pa.int8())
    elif "formula" in table.column_names:
        charge = pa.array(_charges_of_formulas(columns["formula"]))
    else:
        charge = pa.array(_charges_of_smiles(columns["smiles"]))
    return pa.table({**columns, "exact_mass": table["exact_mass"], "charge": charge})


def _charges_of_formulas(formulas: pa.ChunkedArray) -> NDArray[np.int8]:
    charges = np.zeros(len(formulas), np.int8)
    # Most libraries hold few ions or none, and looking for a sign is far cheaper than a pattern.
    signed = pc.or_(*(pc.match_substring(formulas, sign) for sign in "+-"))
    for at in np.flatnonzero(signed.fill_null(False).to_numpy()):
        if match := _CHARGE_OF_FORMULA.search(formulas[int(at)].as_py()):
            charges[at] = int(match["sign"] + (match["size"] or "1"))
    return charges


def _charges_of_smiles(smiles: pa.ChunkedArray) -> NDArray[np.int8]:
    charges = np.zeros(len(smiles), np.int8)
    bracketed = pc.match_substring(smiles, "[").fill_null(False)
    for at in np.flatnonzero(bracketed.to_numpy()):
        charge = 0
        for atom in _CHARGED_ATOM.finditer(smiles[int(at)].as_py()):
            size = int(atom["size"] or len(atom["signs"]))
            charge += size if atom["signs"][0] == "+" else -size
        charges[at] = max(-128, min(charge, 127))
    return charges
