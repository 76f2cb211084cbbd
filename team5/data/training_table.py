"""What training set-up reads of a prepared table: all but the peaks, in little memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# Texts that many rows share.
_SHARED = (
    "smiles", "inchikey14", "formula", "adduct", "instrument_type", "collision_energy", "license",
    "contributor", "fold",
)  # fmt: skip
_ROWS_HASHED_AT_ONCE = 65_536


def read_training_table(path: str | Path) -> pl.DataFrame:
    """Read the rows of a prepared table without their peaks.

    Returns
    -------
    polars.DataFrame
        ``row`` (place in the file, where `team5.data.peaks` has the peaks), ``identifier``,
        ``exact_mass``, and the texts that rows share as categories. How categories are ordered
        and compared differs between releases of polars; take them as `text`.
    """
    import polars as pl

    return (
        pl.scan_parquet(path)
        .with_row_index("row")
        .select("row", "identifier", "exact_mass", pl.col(_SHARED).cast(pl.Categorical))
        .collect()
    )


def text(column: str) -> pl.Expr:
    """Return a column's values as text, whether they are kept as categories or not."""
    import polars as pl

    return pl.col(column).cast(pl.String)


def distinct(table: pl.DataFrame, column: str) -> list[str]:
    """Return the texts of a column, each once, in no order."""
    import polars as pl

    return table[column].drop_nulls().unique().cast(pl.String).to_list()


def table_hash(table: pl.DataFrame) -> str:
    """Return a hash of which spectra there are, of what, whatever their order."""
    import polars as pl

    names = ("identifier", "smiles", "adduct", "collision_energy")
    cells = [text(name).fill_null("None") for name in names]
    # Sorted by bytes, which for UTF-8 is the order of characters.
    rows = table.select(pl.concat_str(cells, separator="\t").alias("row"))["row"].sort()
    digest = hashlib.sha256()
    for start in range(0, len(rows), _ROWS_HASHED_AT_ONCE):
        lines = "\n".join(rows.slice(start, _ROWS_HASHED_AT_ONCE))
        digest.update((f"\n{lines}" if start else lines).encode())
    return digest.hexdigest()


def folds_hash(table: pl.DataFrame) -> str:
    """Return a hash of which structure is in which fold."""
    pairs = table.select("inchikey14", "fold").unique().select(text("inchikey14"), text("fold"))
    rows = pairs.sort("inchikey14", "fold").iter_rows()
    return hashlib.sha256("\n".join("\t".join(row) for row in rows).encode()).hexdigest()


def counts(table: pl.DataFrame, column: str) -> dict[str, int]:
    """Return how many rows have each text, the most frequent first."""
    found = table.select(text(column).fill_null("not stated"))[column].value_counts(sort=True)
    return dict(zip(found[column].to_list(), found["count"].to_list(), strict=True))
