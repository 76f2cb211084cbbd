"""Splitting and filtering of a prepared table's rows, without their peaks."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.isomers import make_isomers
from team5.chemistry.molecule import is_small_enough, parse_smiles
from team5.data.context import instrument_class
from team5.data.decoys import CandidatePool
from team5.data.splits import N_CROSS_FOLDS, assign_folds, cross_folds, read_folds
from team5.errors import ConfigError, DataError

if TYPE_CHECKING:
    import polars as pl

# Texts that many rows share.
_SHARED = (
    "smiles", "inchikey14", "formula", "adduct", "instrument_type", "collision_energy", "license",
    "contributor", "fold",
)  # fmt: skip
_ROWS_HASHED_AT_ONCE = 65_536

_log = logging.getLogger(__name__)


def read_training_table(path: str | Path) -> pl.DataFrame:
    """Read the rows of a prepared table without their peaks.

    Returns
    -------
    polars.DataFrame
        ``row`` (index in the file, by which `team5.data.peaks` finds the peaks), ``identifier``,
        ``exact_mass``, and texts shared by rows as categories. How categories are ordered
        and compared differs between releases of polars; convert them by `text`.
    """
    import polars as pl

    return (
        pl.scan_parquet(path)
        .with_row_index("row")
        .select("row", "identifier", "exact_mass", pl.col(_SHARED).cast(pl.Categorical))
        .collect()
    )


def with_folds(
    table: pl.DataFrame, folds_path: str | None, *, seed: int, val_share: float = 0.05
) -> pl.DataFrame:
    """Return the rows that have a fold: of a file, of the table, or by structural cluster.

    Raises
    ------
    DataError
        If the file has none of the structures, or cannot be read.
    """
    import polars as pl

    if folds_path is None and table["fold"].null_count() == 0:
        return table
    if folds_path is not None:
        folds = read_folds(folds_path)
        structures = set(distinct(table, "inchikey14"))
        unknown = structures - set(folds)
        if len(unknown) == len(structures):
            raise DataError(
                f"{folds_path}: none of the data set's structures has a fold. Give its own."
            )
        if unknown:
            _log.info("%d structures have no fold in %s: left out", len(unknown), folds_path)
    else:
        folds = assign_folds(_structures(table), val_share=val_share, seed=seed)
    fold = text("inchikey14").replace_strict(folds, default=None, return_dtype=pl.String)
    return table.with_columns(fold.cast(pl.Categorical).alias("fold")).filter(
        pl.col("fold").is_not_null()
    )


def with_part_held_out(table: pl.DataFrame, part: int) -> pl.DataFrame:
    """Return the rows of train and val, those of one part by structural cluster as test.

    Raises
    ------
    ConfigError
        If there is no such part.
    """
    import polars as pl

    if not 0 <= part < N_CROSS_FOLDS:
        raise ConfigError(
            f"data.cross_fold={part}: there are {N_CROSS_FOLDS} parts; give 0 to "
            f"{N_CROSS_FOLDS - 1}."
        )
    table = table.filter(text("fold") != "test")
    parts = cross_folds(_structures(table))
    held_out = [key for key, its_part in parts.items() if its_part == part]
    fold = pl.when(text("inchikey14").is_in(held_out)).then(pl.lit("test")).otherwise(text("fold"))
    return table.with_columns(fold.cast(pl.Categorical).alias("fold"))


def _structures(table: pl.DataFrame) -> dict[str, str]:
    """Return SMILES by InChIKey first block."""
    # A structure may have several SMILES; which one is used must not depend on order.
    rows = table.select("inchikey14", "smiles").unique()
    texts = rows.group_by(text("inchikey14")).agg(text("smiles").min())
    return dict(zip(texts["inchikey14"], texts["smiles"], strict=True))


def trainable(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Remove ions without model fragments and molecules too large, counted by reason."""
    adducts = {name: parse_adduct(name) for name in distinct(table, "adduct")}
    single = [name for name, a in adducts.items() if a.n_molecules == 1 and abs(a.charge) == 1]
    ions = table.filter(text("adduct").is_in(single))
    too_large = [smiles for smiles in distinct(ions, "smiles") if not is_small_enough(smiles)]
    usable = ions.filter(~text("smiles").is_in(too_large))
    return usable, {
        "several molecules or charges": table.height - ions.height,
        "too large": ions.height - usable.height,
    }


def structure_pool(
    table: pl.DataFrame, n_isomers: int = 0, pool: CandidatePool | None = None
) -> CandidatePool:
    """Return candidates for the structures of a table.

    Parameters
    ----------
    n_isomers : int
        Isomers generated for each structure with fewer others of its mass.
    pool : CandidatePool, optional
        In place of the structures of the table.
    """
    columns = ["smiles", "inchikey14", "formula", "exact_mass"]
    structures = table.select(columns).unique(maintain_order=True)
    if pool is None:
        pool = CandidatePool.from_structures(*structures.iter_columns())
    if n_isomers == 0:
        return pool
    rows = []
    for smiles, _, _, exact_mass in structures.unique("inchikey14", maintain_order=True).rows():
        if len(pool.near(exact_mass)) <= n_isomers:
            isomers = map(parse_smiles, make_isomers(parse_smiles(smiles), n_isomers))
            rows += [(m.smiles, m.inchikey14, m.formula, m.exact_mass) for m in isomers]
    return pool.with_structures(rows) if rows else pool


def text(column: str) -> pl.Expr:
    """Return a column as text, even if it is categorical."""
    import polars as pl

    return pl.col(column).cast(pl.String)


def distinct(table: pl.DataFrame, column: str) -> list[str]:
    """Return the texts of a column, each once, in no order."""
    import polars as pl

    return table[column].drop_nulls().unique().cast(pl.String).to_list()


def seen(table: pl.DataFrame) -> dict[str, Any]:
    """Return the coverage of adducts, instruments, elements and masses in the rows of a table.

    Spectra by adduct and by class of instrument, compounds by element, and the exact masses in u
    between which 99 % of the compounds lie.
    """
    instruments: Counter[str] = Counter()
    for text_of, n in counts(table, "instrument_type").items():
        instruments[instrument_class(None if text_of == "not stated" else text_of)] += n
    compounds = table.unique("inchikey14", keep="first", maintain_order=True)
    compounds = compounds.select(text("formula"), "exact_mass")
    elements = Counter(
        symbol
        for formula in compounds["formula"]
        for symbol in set(re.findall("[A-Z][a-z]?", formula))
    )
    lightest, heaviest = (compounds["exact_mass"].quantile(q) for q in (0.005, 0.995))
    return {
        "adducts": counts(table, "adduct"),
        "instruments": _frequent_first(instruments),
        "elements": _frequent_first(elements),
        "lightest": lightest,
        "heaviest": heaviest,
    }


def table_hash(table: pl.DataFrame) -> str:
    """Return a hash of the spectra and their structures, whatever their order."""
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
    """Return a hash of the folds of the structures."""
    pairs = table.select("inchikey14", "fold").unique().select(text("inchikey14"), text("fold"))
    rows = pairs.sort("inchikey14", "fold").iter_rows()
    return hashlib.sha256("\n".join("\t".join(row) for row in rows).encode()).hexdigest()


def counts(table: pl.DataFrame, column: str) -> dict[str, int]:
    """Return how many rows have each text, the most frequent first."""
    rows = table.select(text(column).fill_null("not stated"))[column].value_counts()
    return _frequent_first(dict(zip(rows[column].to_list(), rows["count"].to_list(), strict=True)))


def _frequent_first(numbers: Mapping[str, int]) -> dict[str, int]:
    """Return counts in an order that is the same for all trainings on the same spectra."""
    return dict(sorted(numbers.items(), key=lambda item: (-item[1], item[0])))
