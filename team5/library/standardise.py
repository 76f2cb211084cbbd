"""From the records of a chunk to rows of a library: what the workers of a build do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
from rdkit import Chem, rdBase

from team5.chemistry.molecule import parse_smiles
from team5.constants import MAX_HEAVY_ATOMS
from team5.errors import MoleculeError
from team5.library.chunks import Chunk, Fault, Record, TrustedColumns
from team5.library.dropped import Dropped
from team5.library.rows import NO_NAME, RUN_SCHEMA, deduplicate

# Isomers have one mass only when rounded: the last bits of a sum depend on the order of the atoms.
_MASS_DIGITS = 6
_INCHIKEY14 = re.compile(r"[A-Z]{14}")
_FORMULA = re.compile(r"(?P<atoms>(?:[A-Z][a-z]?\d*)+)(?P<charge>[+-]\d{0,2})?")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*)")
_TOO_LARGE = f"more than {MAX_HEAVY_ATOMS} heavy atoms"


class _Structure(NamedTuple):
    smiles: str
    inchikey14: str
    formula: str
    exact_mass: float
    charge: int
    n_heavy_atoms: int


def standardise(
    chunk: Chunk, on_record: Callable[[int], None] = lambda index: None
) -> tuple[pa.Table, dict[str, Any]]:
    """Return the structures of a chunk as rows, and what was left out.

    Parameters
    ----------
    chunk : Chunk
    on_record : callable
        Called with the index of each record before it is looked at.

    Returns
    -------
    Table
        With ``RUN_SCHEMA``, each structure once, in the order of `deduplicate`.
    dict
        As `Dropped.to_dict` gives it.
    """
    faults = dict(chunk.faults)
    structures: list[_Structure] = []
    names: list[str | None] = []
    name_orders: list[int] = []
    for index, record in enumerate(chunk.records):
        on_record(index)
        found = _structure(record, chunk.is_molblock)
        if isinstance(found, Fault):
            faults[record.number] = found
            continue
        structures.append(found)
        names.append(record.name)
        name_orders.append(NO_NAME if record.name is None else chunk.order_of(record.number))
    dropped = Dropped()
    for number, fault in sorted(faults.items()):
        dropped.add(fault.reason, chunk.place_of(number), fault.text)
    columns = [[structure[i] for structure in structures] for i in range(len(_Structure._fields))]
    arrays = [
        pa.array(values, field.type)
        for values, field in zip([*columns, names, name_orders], RUN_SCHEMA, strict=True)
    ]
    return deduplicate(pa.Table.from_arrays(arrays, schema=RUN_SCHEMA)), dropped.to_dict()


def _structure(record: Record, is_molblock: bool) -> _Structure | Fault:
    text = record.text.strip()
    if not text:
        return Fault("no structure", record.name or "")
    if record.trusted is not None:
        return _trusted(text, record.trusted)
    try:
        smiles = _smiles_of_molblock(record.text) if is_molblock else text
        if smiles is None:
            return Fault("molblock not understood", text.splitlines()[0])
        molecule = parse_smiles(smiles)
    except MoleculeError as error:
        is_large = error.code == "too_many_heavy_atoms"
        return Fault(_TOO_LARGE if is_large else "structure not understood", str(error))
    # RDKit's own complaints of what passes its parser and breaks one of its later steps.
    except (RuntimeError, ValueError) as error:
        return Fault("RDKit failed", f"{text.splitlines()[0]}: {error}".splitlines()[0])
    try:
        inchikey14 = molecule.inchikey14
    except MoleculeError as error:
        return Fault("no InChIKey can be computed", str(error))
    return _Structure(
        molecule.canonical_smiles,
        inchikey14,
        molecule.formula,
        round(molecule.exact_mass, _MASS_DIGITS),
        molecule.charge,
        molecule.n_heavy_atoms,
    )


def _smiles_of_molblock(molblock: str) -> str | None:
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(molblock, removeHs=False)
    return None if mol is None else str(Chem.MolToSmiles(mol))


def _trusted(smiles: str, columns: TrustedColumns) -> _Structure | Fault:
    inchikey14, formula = str(columns.inchikey14 or ""), str(columns.formula or "")
    match = _FORMULA.fullmatch(formula)
    try:
        exact_mass = float(str(columns.exact_mass))
    except ValueError:
        exact_mass = math.nan
    if not (
        match
        and _INCHIKEY14.fullmatch(inchikey14)
        and math.isfinite(exact_mass)
        and 0 < exact_mass < 1e6
    ):
        return Fault(
            "inchikey14, formula or exact_mass missing or malformed",
            f"{smiles}: {inchikey14!r}, {formula!r}, {columns.exact_mass!r}",
        )
    n_heavy_atoms = sum(
        int(count or 1) for symbol, count in _FORMULA_PART.findall(match["atoms"]) if symbol != "H"
    )
    if n_heavy_atoms > MAX_HEAVY_ATOMS:
        return Fault(_TOO_LARGE, smiles)
    sign = match["charge"] or ""
    charge = int(f"{sign[0]}{sign[1:] or 1}") if sign else 0
    return _Structure(
        smiles, inchikey14, formula, round(exact_mass, _MASS_DIGITS), charge, n_heavy_atoms
    )
