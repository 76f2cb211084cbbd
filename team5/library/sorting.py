"""Sorting and deduplication of finished chunks into the parts of a library, on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from team5.errors import StorageError
from team5.library.manifest import Part
from team5.library.standardise import SCHEMA
from team5.runtime.storage import flush_file, sha256

# A lookup decodes one or two groups: at 8,192 rows a millisecond each. Smaller groups would make
# the files' footers, which have to be read too, as large as the groups themselves.
ROWS_PER_GROUP = 8_192
ROWS_PER_PART = 128 * ROWS_PER_GROUP
# Above this DuckDB spills to disk; the process takes about 200 MB more.
_MEMORY_LIMIT = "800MB"
# Rows with the same InChIKey block and the same 1e-4 u bin of mass are one structure. Bin edges lie
# halfway between numbers of five decimals, so that a mass and its rounding to five decimals, as in
# tables, never fall into two bins. Of several rows the lightest is kept, then the one with the
# shortest SMILES, then the first alphabetically, so that the order of the inputs does not matter;
# its name is the first that was seen.
_SORT = """
    SELECT smiles, inchikey14, formula, exact_mass, charge, n_heavy_atoms, first_name AS name
    FROM (
        SELECT
            *,
            row_number() OVER (
                PARTITION BY step, inchikey14 ORDER BY exact_mass, strlen(smiles), smiles
            ) AS place,
            first_value(name) OVER (
                PARTITION BY step, inchikey14 ORDER BY name_order
            ) AS first_name
        FROM (
            SELECT *, CAST(round_even(exact_mass * 1e5, 0) AS BIGINT) // 10 AS step
            FROM read_parquet($chunks)
        )
    )
    WHERE place = 1
    ORDER BY exact_mass, inchikey14
"""


@dataclass(frozen=True, slots=True)
class PartSizes:
    """Rows per row group and per part, which consists of whole groups."""

    per_group: int = ROWS_PER_GROUP
    per_part: int = ROWS_PER_PART


DEFAULT_SIZES = PartSizes()


def sort_chunks(
    chunks: Path,
    folder: Path,
    sizes: PartSizes,
    on_rows: Callable[[int], None],
) -> list[Part]:
    """Write the distinct structures of all finished chunks into parts, ordered by mass.

    The result depends only on the rows, not on their chunks. Memory does not
    grow with their number: what does not fit is sorted on disk, in `folder`.

    Parameters
    ----------
    chunks : Path
        The folder of the chunks.
    folder : Path
        A local folder for the parts.
    sizes : PartSizes
    on_rows : callable
        Called with the number of rows written so far.

    Returns
    -------
    list of Part
    """
    import duckdb  # here, so that lookups start without it

    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(folder / "sort"),
        "preserve_insertion_order": False,
    }
    try:
        with duckdb.connect(config=options) as connection:
            connection.execute("SET enable_progress_bar = false")
            rows = connection.sql(_SORT, params={"chunks": str(chunks / "chunk-*.parquet")})
            return _write_parts(rows.to_arrow_reader(sizes.per_group), folder, sizes, on_rows)
    except duckdb.Error as error:  # the disk is full, or a chunk was damaged
        raise StorageError(
            f"{folder}: the chunks cannot be sorted ({str(error).splitlines()[0]}). Free some "
            "space or delete the chunk it names, and run the same command again."
        ) from error


def _write_parts(
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    sizes: PartSizes,
    on_rows: Callable[[int], None],
) -> list[Part]:
    groups = _groups(batches, sizes.per_group)
    parts: list[Part] = []
    n_rows = 0
    while first := list(islice(groups, 1)):
        path = folder / f"part-{len(parts):05}.parquet"
        lightest, heaviest = [], []
        n_before = n_rows
        with pq.ParquetWriter(
            path,
            SCHEMA,
            compression="zstd",
            use_dictionary=["formula", "exact_mass", "charge", "n_heavy_atoms"],
            write_page_index=True,
        ) as writer:
            for group in chain(first, islice(groups, sizes.per_part // sizes.per_group - 1)):
                writer.write_table(group, row_group_size=sizes.per_group)
                lightest.append(group["exact_mass"][0].as_py())
                heaviest.append(group["exact_mass"][-1].as_py())
                n_rows += len(group)
                on_rows(n_rows)
        flush_file(path)  # whole once the manifest beside it is there
        parts.append(
            Part(
                file=path.name,
                n_rows=n_rows - n_before,
                size=path.stat().st_size,
                sha256=sha256(path),
                min_masses=tuple(lightest),
                max_masses=tuple(heaviest),
            )
        )
    return parts


def _groups(batches: Iterable[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of batches of any size as contiguous tables of one size."""
    pending = SCHEMA.empty_table()
    for batch in batches:
        pending = pa.concat_tables([pending, pa.Table.from_batches([batch]).cast(SCHEMA)])
        while len(pending) >= n_rows:
            yield pending.slice(0, n_rows).combine_chunks()
            pending = pending.slice(n_rows)
    if len(pending):
        yield pending.combine_chunks()
