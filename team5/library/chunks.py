"""Chunk: some thousand records of one input, the piece of work of a build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

# Records of one input stay below this, so that input and record make one ordered number.
_MAX_RECORDS = 1 << 40


class Fault(NamedTuple):
    """Why a record is left out, with the text that stood there or says more."""

    reason: str
    text: str


class TrustedColumns(NamedTuple):
    """What an input itself says of a structure, as it stands there."""

    inchikey14: object
    formula: object
    exact_mass: object


class Record(NamedTuple):
    """One structure as it stands in an input.

    Attributes
    ----------
    number : int
        Its line, row or record, from 1.
    text : str
        SMILES or molblock.
    name : str or None
    trusted : TrustedColumns or None
        Taken instead of being computed.
    """

    number: int
    text: str
    name: str | None
    trusted: TrustedColumns | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some thousand records of one input.

    Attributes
    ----------
    number : int
        Counted over all inputs.
    source : str
        The input, as it was given.
    source_index : int
        Its place among the inputs.
    unit : {"line", "row", "record"}
        What the numbers of its records count.
    is_molblock : bool
        The texts are molblocks rather than SMILES.
    records : tuple of Record
    faults : tuple of (int, Fault)
        Records that cannot be used, by number; found before the structure was looked at.
    share_read : float
        Of all inputs' bytes, those up to its end, 0 to 1.
    """

    number: int
    source: str
    source_index: int
    unit: str
    is_molblock: bool
    records: Sequence[Record]
    faults: Sequence[tuple[int, Fault]] = field(default=())
    share_read: float = 0.0

    @property
    def n_records(self) -> int:
        return len(self.records) + len(self.faults)

    def place_of(self, number: int) -> str:
        return f"{self.source}, {self.unit} {number}"

    def order_of(self, number: int) -> int:
        """Return a number that says which of two records was seen first."""
        return self.source_index * _MAX_RECORDS + number

    def without(self, index: int, reason: str) -> Chunk:
        """Return the chunk with one record among the faults."""
        record = self.records[index]
        records = [*self.records[:index], *self.records[index + 1 :]]
        fault = (record.number, Fault(reason, record.text.strip()))
        return replace(self, records=records, faults=[*self.faults, fault])
