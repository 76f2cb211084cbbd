"""Compounds: structures of a prepared table and their spectra, whose peaks stay on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.adducts import Adduct, parse_adduct
from team5.chemistry.tokenizer import MoleculeTokens
from team5.data.collate import Pair, make_pair
from team5.data.peaks import Peaks
from team5.data.preprocess import FIRST_RULE, ScoreRule
from team5.data.training_table import distinct, text

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Array = NDArray[Any]


@dataclass(frozen=True)
class Measurement:
    """One spectrum for training: its conditions, and the location of its peaks.

    Attributes
    ----------
    peaks, row : Peaks, int
        Location of the peaks, which are read on every access.
    rule : ScoreRule
        Weighting of the peaks.
    """

    identifier: str
    peaks: Peaks
    row: int
    adduct: Adduct
    collision_energy: str | None
    instrument_type: str | None
    rule: ScoreRule = FIRST_RULE

    @property
    def mzs(self) -> Array:
        """Of the peaks, of shape (P,)."""
        return self.peaks.mzs(self.row)

    @property
    def intensities(self) -> Array:
        """Of the peaks, of shape (P,)."""
        return self.peaks.intensities(self.row)

    def pair(
        self,
        tokens: MoleculeTokens,
        molecule_index: int,
        spectrum_index: int = 0,
        *,
        keep_impossible: bool = True,
    ) -> Pair:
        """Match the spectrum with a molecule."""
        pair = make_pair(
            tokens,
            molecule_index,
            mzs=self.mzs,
            intensities=self.intensities,
            adduct=self.adduct,
            collision_energy=self.collision_energy,
            instrument_type=self.instrument_type,
            keep_impossible=keep_impossible,
            rule=self.rule,
        )
        return replace(pair, spectrum_index=spectrum_index)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Columns of many measurements, with shared texts dictionary-encoded."""

    peaks: Peaks
    rows: Array
    identifiers: pa.Array
    adducts: pa.DictionaryArray
    collision_energies: pa.DictionaryArray
    instrument_types: pa.DictionaryArray
    rule: ScoreRule


class Measurements(Sequence[Measurement]):
    """The spectra of a compound, created on access: an object for each would fill the memory."""

    def __init__(self, columns: _Columns, indices: range) -> None:
        self._columns = columns
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Measurement: ...

    @overload
    def __getitem__(self, index: slice) -> Measurements: ...

    def __getitem__(self, index: int | slice) -> Measurement | Measurements:
        columns = self._columns
        if isinstance(index, slice):
            return Measurements(columns, self._indices[index])
        i = self._indices[index]
        return Measurement(
            columns.identifiers[i].as_py(),
            columns.peaks,
            int(columns.rows[i]),
            parse_adduct(columns.adducts[i].as_py()),
            columns.collision_energies[i].as_py(),
            columns.instrument_types[i].as_py(),
            columns.rule,
        )


@dataclass
class Compound:
    """One structure and all its spectra in a fold."""

    smiles: str
    inchikey14: str
    exact_mass: float
    formula: str
    measurements: Sequence[Measurement]


def read_compounds(
    table: pl.DataFrame, peaks: Peaks | None = None, rule: ScoreRule = FIRST_RULE
) -> list[Compound]:
    """Group the rows of a prepared table by structure, in order of InChIKey first block.

    Rows with adducts that the model does not support (several molecules or charges) must be
    removed before.

    Parameters
    ----------
    table : polars.DataFrame
        Rows of a prepared table.
    peaks : Peaks, optional
        Addressed by the column ``row``; by default the peaks in the table, in memory.
    rule : ScoreRule
        Weighting of the peaks.
    """
    if peaks is None:
        table = table.with_row_index("row")
        peaks = Peaks(table.select("mzs", "intensities").to_arrow().to_batches())
    order, starts = _by_structure(table)
    columns = _Columns(
        peaks,
        table["row"].to_numpy()[order],
        table["identifier"][order].to_arrow(),
        _encoded(table["adduct"][order]),
        _encoded(table["collision_energy"][order]),
        _encoded(table["instrument_type"][order]),
        rule,
    )
    bounds = pairwise([*starts.tolist(), table.height])
    structures = table.select("smiles", "inchikey14", "exact_mass", "formula")[order[starts]]
    return [
        Compound(smiles, inchikey14, exact_mass, formula, Measurements(columns, range(*bound)))
        for (smiles, inchikey14, exact_mass, formula), bound in zip(
            structures.iter_rows(), bounds, strict=True
        )
    ]


def _by_structure(table: pl.DataFrame) -> tuple[Array, Array]:
    """Return the order of the rows by structure and identifier, and where each structure starts.

    Sorting the table itself would copy it with its keys written out.
    """
    import polars as pl

    ranks = {key: rank for rank, key in enumerate(sorted(distinct(table, "inchikey14")))}
    rank = table.select(
        text("inchikey14").replace_strict(ranks, default=None, return_dtype=pl.Int32)
    )["inchikey14"].to_numpy()
    order = table.select(pl.arg_sort_by("identifier", maintain_order=True))["identifier"].to_numpy()
    order = order[np.argsort(rank[order], kind="stable")]
    return order, np.flatnonzero(np.diff(rank[order], prepend=-1))


def _encoded(column: pl.Series) -> pa.DictionaryArray:
    """Return a column of texts, dictionary-encoded."""
    import polars as pl

    return column.cast(pl.String).to_arrow().dictionary_encode()
