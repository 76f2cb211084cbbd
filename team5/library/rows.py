"""Rows of a library: columns, order by mass, each structure once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
# While a library is built: which record gave the name, so that the first one's stays.
RUN_SCHEMA = SCHEMA.append(pa.field("name_order", pa.int64()))
NO_NAME = int(np.iinfo(np.int64).max)


def mass_keys(exact_masses: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return masses in steps of 1e-4 u; what shares a step and an InChIKey block is one structure.

    The borders of the steps lie halfway between numbers of five decimals: a mass and the same
    mass rounded to five decimals, as tables have it, never fall into two.
    """
    hundred_thousandths = np.rint(exact_masses * 1e5).astype(np.int64)
    return hundred_thousandths // 10


def masses_of(table: pa.Table) -> NDArray[np.float64]:
    """Return the masses of a table of rows."""
    return table["exact_mass"].to_numpy()


def deduplicate(table: pa.Table) -> pa.Table:
    """Keep one row for each InChIKey first block and step of mass.

    Of several it is the lightest, then the one with the shortest SMILES, then the first by its
    text, so that the order of the inputs plays no part; its name is the first that was seen.

    Parameters
    ----------
    table : Table
        With ``RUN_SCHEMA``, in any order.

    Returns
    -------
    Table
        Ordered by step of mass, then by InChIKey block.
    """
    if not len(table):
        return table
    keys = pa.array(mass_keys(masses_of(table)))
    order = pc.sort_indices(
        pa.table(
            {
                "key": keys,
                "inchikey14": table["inchikey14"],
                "exact_mass": table["exact_mass"],
                "length": pc.binary_length(table["smiles"]),
                "smiles": table["smiles"],
            }
        ),
        sort_keys=[
            (name, "ascending") for name in ("key", "inchikey14", "exact_mass", "length", "smiles")
        ],
    )
    table = table.take(order)
    blocks = table["inchikey14"].combine_chunks()
    is_other_block = pc.not_equal(blocks[1:], blocks[:-1]).to_numpy(zero_copy_only=False)
    is_first = np.r_[True, (np.diff(keys.take(order).to_numpy()) > 0) | is_other_block]
    if is_first.all():
        return table
    first_named = np.lexsort((table["name_order"].to_numpy(), np.cumsum(is_first)))[is_first]
    kept = table.filter(pa.array(is_first))
    named = table.select(["name", "name_order"]).take(pa.array(first_named))
    for column in named.column_names:
        at = kept.schema.get_field_index(column)
        kept = kept.set_column(at, RUN_SCHEMA.field(column), named[column])
    return kept


def by_mass(table: pa.Table) -> pa.Table:
    """Return rows as a library has them: by mass, then by InChIKey block."""
    order = pc.sort_indices(
        table, sort_keys=[("exact_mass", "ascending"), ("inchikey14", "ascending")]
    )
    return table.select(SCHEMA.names).take(order)
