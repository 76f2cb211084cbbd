"""Standardisation of a chunk's records into rows of a library, done by the workers of a build."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from team5.chemistry.molecule import parse_smiles
from team5.chemistry.notation import to_smiles
from team5.constants import MAX_HEAVY_ATOMS
from team5.data.readers.structures import StructureRecord
from team5.errors import MoleculeError
from team5.library.inputs import TRUSTED_COLUMNS, Chunk, Fault

SCHEMA = pa.schema(
    [
        ("smiles", pa.string()),
        ("inchikey14", pa.string()),
        ("formula", pa.string()),
        ("exact_mass", pa.float64()),
        ("charge", pa.int8()),
        ("n_heavy_atoms", pa.int16()),
        ("name", pa.string()),
    ]
)
# During a build: the record that gave the name, so that the first one's is kept.
CHUNK_SCHEMA = SCHEMA.append(pa.field("name_order", pa.int64()))
_NO_NAME = int(np.iinfo(np.int64).max)

MAX_EXAMPLES = 5  # for each reason
_MAX_TEXT = 200  # characters
# Isomers have equal masses only after rounding: the last bits of a sum depend on atom order.
_MASS_DIGITS = 6
_INCHIKEY14 = re.compile(r"[A-Z]{14}")
_FORMULA = re.compile(r"(?P<atoms>(?:[A-Z][a-z]?\d*)+)(?P<charge>[+-]\d{0,2})?")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*)")
_TOO_LARGE = f"more than {MAX_HEAVY_ATOMS} heavy atoms"

_REASONS = {
    "too_many_heavy_atoms": _TOO_LARGE,
    "molblock_not_understood": "molblock not understood",
}


class _Structure(NamedTuple):
    smiles: str
    inchikey14: str
    formula: str
    exact_mass: float
    charge: int
    n_heavy_atoms: int


@dataclass
class Dropped:
    """Records left out: counts and the first examples with their places, by reason."""

    faults: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, fault: Fault, place: str) -> None:
        """Count one."""
        text = fault.text
        text = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
        entry = {"code": fault.code, "count": 1, "examples": [{"place": place, "text": text}]}
        self.update({fault.reason: entry})

    def update(self, other: Mapping[str, Any]) -> None:
        """Add the counts and examples of another's `to_dict`."""
        for reason, fault in other.items():
            mine = self.faults.setdefault(reason, {**fault, "count": 0, "examples": []})
            mine["count"] += int(fault["count"])
            mine["examples"] += fault["examples"][: MAX_EXAMPLES - len(mine["examples"])]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return ``{reason: {code, count, examples: [{place, text}]}}``, by count."""
        order = sorted(self.faults, key=lambda reason: (-self.faults[reason]["count"], reason))
        return {reason: self.faults[reason] for reason in order}


def format_dropped(dropped: Mapping[str, Any], n_examples: int = 2) -> str:
    """Return records left out, from `Dropped.to_dict`, as lines for people."""
    lines = []
    for reason, fault in dropped.items():
        lines.append(f"  {fault['count']:>13,}  {reason}")
        lines += [
            f"                 {example['place']}: {example['text']}"
            for example in fault["examples"][:n_examples]
        ]
    return "\n".join(lines)


def standardise(
    chunk: Chunk, on_record: Callable[[int], None] = lambda index: None
) -> tuple[pa.Table, dict[str, Any]]:
    """Return the structures of a chunk as rows, and the records left out.

    Parameters
    ----------
    chunk : Chunk
    on_record : callable
        Called with the index of each record before it is looked at.

    Returns
    -------
    Table
        With ``CHUNK_SCHEMA``, in the order of the chunk.
    dict
        From `Dropped.to_dict`.
    """
    faults = dict(chunk.faults)
    rows: list[tuple[Any, ...]] = []
    for index, record in enumerate(chunk.records):
        on_record(index)
        structure = _structure(record)
        if isinstance(structure, Fault):
            faults[record.number] = structure
            continue
        order = _NO_NAME if record.name is None else chunk.order_of(record.number)
        rows.append((*structure, record.name, order))
    dropped = Dropped()
    for number, fault in sorted(faults.items()):
        dropped.add(fault, f"{chunk.source}, {chunk.unit} {number}")
    columns = list(zip(*rows, strict=True)) or [()] * len(CHUNK_SCHEMA)
    arrays = [
        pa.array(values, field.type) for values, field in zip(columns, CHUNK_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=CHUNK_SCHEMA), dropped.to_dict()


def _structure(record: StructureRecord) -> _Structure | Fault:
    text = record.text.strip()
    if all(column in record.columns for column in TRUSTED_COLUMNS):
        return _trusted(text, record.columns)
    try:
        molecule = parse_smiles(to_smiles(record.text))
    except MoleculeError as error:
        reason = _REASONS.get(error.code, "structure not understood")
        return Fault(error.code, reason, str(error))
    # RDKit's errors on structures that pass its parser and fail in a later step.
    except (RuntimeError, ValueError) as error:
        first_line = f"{text.splitlines()[0]}: {error}".splitlines()[0]
        return Fault("rdkit_failed", "RDKit failed", first_line)
    try:
        inchikey14 = molecule.inchikey14
    except MoleculeError as error:
        return Fault("no_inchikey", "no InChIKey can be computed", str(error))
    return _Structure(
        molecule.canonical_smiles,
        inchikey14,
        molecule.formula,
        round(molecule.exact_mass, _MASS_DIGITS),
        molecule.charge,
        molecule.n_heavy_atoms,
    )


def _trusted(smiles: str, columns: Mapping[str, Any]) -> _Structure | Fault:
    inchikey14, formula, mass = (columns[name] for name in TRUSTED_COLUMNS)
    inchikey14, formula = str(inchikey14 or ""), str(formula or "")
    atoms = _heavy_atoms_and_charge(formula)
    try:
        exact_mass = float(str(mass))
    except ValueError:
        exact_mass = math.nan
    # Written so that NaN fails as well.
    if atoms is None or not _INCHIKEY14.fullmatch(inchikey14) or not 0 < exact_mass < 1e6:
        return Fault(
            "columns_malformed",
            "inchikey14, formula or exact_mass missing or malformed",
            f"{smiles}: {inchikey14!r}, {formula!r}, {mass!r}",
        )
    n_heavy_atoms, charge = atoms
    if n_heavy_atoms > MAX_HEAVY_ATOMS:
        return Fault("too_many_heavy_atoms", _TOO_LARGE, smiles)
    return _Structure(
        smiles, inchikey14, formula, round(exact_mass, _MASS_DIGITS), charge, n_heavy_atoms
    )


@lru_cache(1 << 14)
def _heavy_atoms_and_charge(formula: str) -> tuple[int, int] | None:
    match = _FORMULA.fullmatch(formula)
    if match is None:
        return None
    n_heavy_atoms = sum(
        int(count or 1) for symbol, count in _FORMULA_PART.findall(match["atoms"]) if symbol != "H"
    )
    sign = match["charge"] or ""
    return n_heavy_atoms, int(f"{sign[0]}{sign[1:] or 1}") if sign else 0
