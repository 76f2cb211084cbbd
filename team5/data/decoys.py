"""Pool of candidate structures, and decoys of the same mass drawn from it by seed."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.molecule import TOO_LARGE, is_small_enough, parse_smiles
from team5.chemistry.notation import to_smiles
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.data.readers.structures import UnusableRecord, iter_structures
from team5.data.readers.tables import is_parquet
from team5.errors import ConfigError, DataError, MoleculeError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_COLUMNS = ("smiles", "inchikey14", "formula", "exact_mass")


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePool:
    """Structures sorted by mass, so that those of one mass are a slice.

    Strings stay in Arrow, so that slicing is free: ``pool.near(mass).smiles.to_pylist()``.

    Attributes
    ----------
    exact_masses : array of shape (C,)
        Monoisotopic, in u, ascending.
    smiles, inchikey14s, formulas : Arrow arrays of shape (C,)
    unparsed : str, optional
        The Parquet file whose SMILES nobody has parsed yet; None if they are known to be valid.
    """

    exact_masses: NDArray[np.float64]
    smiles: pa.Array
    inchikey14s: pa.Array
    formulas: pa.Array
    unparsed: str | None = None

    def __len__(self) -> int:
        return len(self.exact_masses)

    @classmethod
    def read(cls, path: str | Path) -> CandidatePool:
        """Read a pool from a file; 1.2 million candidates in Parquet take half a second.

        Parameters
        ----------
        path : str or Path
            Parquet with the columns ``smiles, inchikey14, formula, exact_mass``, best sorted by
            ``exact_mass``; otherwise it is sorted here. Or any list of structures that
            `team5.data.readers.structures` reads: the columns are then computed, for about 500
            structures a second.

        Raises
        ------
        DataError
            If the file is not a list of structures, has no usable ones, or has rows without a
            value.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        if not is_parquet(path, "Pass a Parquet table or another list of structures."):
            return cls._from_list(path)
        try:
            with pq.ParquetFile(path) as file:
                if not set(_COLUMNS).issubset(file.schema_arrow.names):
                    return cls._from_list(path)
                table = file.read(columns=list(_COLUMNS)).select(_COLUMNS).cast(_schema())
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: not a readable Parquet file ({error}). Give one.") from error
        for name in _COLUMNS:
            if table[name].null_count:
                raise DataError(
                    f"{path}: {table[name].null_count} rows have no {name}. Leave them out."
                )
        return replace(cls._from_table(table, str(path)), unparsed=str(path))

    @classmethod
    def _from_list(cls, path: Path) -> CandidatePool:
        rows = []
        faults: Counter[str] = Counter()
        for record in iter_structures(path, ()):
            if isinstance(record, UnusableRecord):
                faults[record.code] += 1
                continue
            try:
                molecule = parse_smiles(to_smiles(record.text))
                rows.append((
                    molecule.canonical_smiles, molecule.inchikey14, molecule.formula,
                    molecule.exact_mass,
                ))  # fmt: skip
            except MoleculeError as error:
                faults[error.code] += 1
        left_out = ", ".join(f"{code} ({count:,})" for code, count in faults.most_common())
        if faults.total() >= len(rows):  # other text may have lines that look like SMILES
            share = f"only {len(rows):,}" if rows else "none"
            raise DataError(
                f"{path}: {share} of its {faults.total() + len(rows):,} structures can be used: "
                f"{left_out or 'it is empty'}. Give a list of structures.",
                code="no_usable_structure",
            )
        if faults:
            log.warning("%s: left out of the pool: %s.", path, left_out)
        return cls.from_structures(*zip(*rows, strict=True))

    @classmethod
    def from_structures(
        cls,
        smiles: Iterable[str],
        inchikey14s: Iterable[str],
        formulas: Iterable[str],
        exact_masses: Iterable[float],
    ) -> CandidatePool:
        """Build a pool from the distinct structures of a data set.

        Permanently charged structures (a sign at the end of the formula) are left out, as they do
        not form the adducts of neutral ones.

        Parameters
        ----------
        smiles, inchikey14s, formulas, exact_masses : iterables of equal length
            One entry per row; structures may repeat.
        """
        import pyarrow as pa

        rows: dict[str, tuple[str, str, str, float]] = {}
        for row in zip(smiles, inchikey14s, formulas, exact_masses, strict=True):
            text, inchikey14, formula, _ = row
            if formula.rstrip("0123456789").endswith(("+", "-")):
                continue
            # A structure may have several SMILES; which one is kept must not depend on order.
            if inchikey14 not in rows or text < rows[inchikey14][0]:
                rows[inchikey14] = row
        ordered = sorted(rows.values(), key=lambda row: (row[3], row[1]))
        columns = list(zip(*ordered, strict=True)) or [()] * len(_COLUMNS)
        return cls._from_table(pa.table(columns, schema=_schema()), "the data set")

    @classmethod
    def _from_table(cls, table: pa.Table, source: str) -> CandidatePool:
        exact_masses = table["exact_mass"].to_numpy()
        if not (np.isfinite(exact_masses) & (exact_masses > 0)).all():
            raise DataError(
                f"{source}: exact_mass must be above 0 and finite in every row. Correct it."
            )
        if (np.diff(exact_masses) < 0).any():
            order = np.argsort(exact_masses, kind="stable")
            exact_masses, table = exact_masses[order], table.take(order)
        # One chunk each, so that slicing need not search for the chunk.
        texts = (table[name].combine_chunks() for name in ("smiles", "inchikey14", "formula"))
        return cls(exact_masses, *texts)

    def with_structures(self, rows: Iterable[tuple[str, str, str, float]]) -> CandidatePool:
        """Return the pool with further structures, as (smiles, inchikey14, formula, exact mass)."""
        import pyarrow as pa

        known = set(self.inchikey14s.to_pylist())
        new = [row for row in rows if row[1] not in known]
        if not new:
            return self
        further = CandidatePool.from_structures(*zip(*new, strict=True))
        tables = [
            pa.table([p.smiles, p.inchikey14s, p.formulas, p.exact_masses], schema=_schema())
            for p in (self, further)
        ]
        order = [("exact_mass", "ascending"), ("inchikey14", "ascending")]
        merged = CandidatePool._from_table(pa.concat_tables(tables).sort_by(order), "pool")
        return replace(merged, unparsed=self.unparsed)

    def near(
        self, exact_mass: float, tolerance_ppm: float = CANDIDATE_TOLERANCE_PPM
    ) -> CandidatePool:
        """Return the candidates of one mass, as a view of this pool.

        Parameters
        ----------
        exact_mass : float
            Monoisotopic, in u.
        tolerance_ppm : float, default 10
            Half-width, relative to `exact_mass`, bounds included.
        """
        width = exact_mass * tolerance_ppm * 1e-6
        start = int(np.searchsorted(self.exact_masses, exact_mass - width, side="left"))
        stop = int(np.searchsorted(self.exact_masses, exact_mass + width, side="right"))
        length = stop - start
        return CandidatePool(
            self.exact_masses[start:stop],
            self.smiles.slice(start, length),
            self.inchikey14s.slice(start, length),
            self.formulas.slice(start, length),
            self.unparsed,
        )

    def without(self, inchikey14s: Iterable[str]) -> CandidatePool:
        """Return the candidates other than these structures."""
        import pyarrow as pa
        import pyarrow.compute as pc

        unwanted = pa.array(sorted(inchikey14s), type=self.inchikey14s.type)
        others = pc.invert(pc.is_in(self.inchikey14s, value_set=unwanted))
        return CandidatePool(
            self.exact_masses[others.to_numpy(zero_copy_only=False)],
            self.smiles.filter(others),
            self.inchikey14s.filter(others),
            self.formulas.filter(others),
            self.unparsed,
        )

    def is_usable(self, smiles: str) -> bool:
        """Tell whether a structure of the pool is small enough to be cut.

        Raises
        ------
        DataError
            If it is no structure; names the pool's file.
        """
        if self.unparsed is None:
            return is_small_enough(smiles)
        try:
            parse_smiles(smiles)
        except MoleculeError as error:
            if error.code in TOO_LARGE:
                return False
            raise DataError(f"{self.unparsed}: {error}", code=error.code) from error
        return True


def choose_decoys(
    inchikey14s: Sequence[str],
    exact_masses: Sequence[float] | NDArray[np.float64],
    identifiers: Sequence[str],
    pool: CandidatePool,
    *,
    seed: int,
) -> list[str | None]:
    """Choose one decoy for each spectrum: another structure of the same mass.

    The decoy takes the adduct of the spectrum, so that it has the same precursor mass. The choice
    is uniform over the pool's other structures of that mass, and depends on `seed`, the spectrum's
    identifier and those structures alone.

    Parameters
    ----------
    inchikey14s, exact_masses, identifiers : sequences of shape (B,)
        One entry per spectrum: its structure's InChIKey first block and monoisotopic mass in u,
        and its name.
    pool : CandidatePool
    seed : int

    Returns
    -------
    list of str or None, of length B
        SMILES of each decoy; None where the pool has no other structure of that mass.
    """
    if not len(inchikey14s) == len(exact_masses) == len(identifiers):
        raise ConfigError(
            f"{len(inchikey14s)} structures, {len(exact_masses)} masses and {len(identifiers)} "
            "identifiers were given. Give one of each per spectrum."
        )

    # Spectra of one structure usually follow each other.
    @lru_cache(maxsize=1_024)
    def others(inchikey14: str, exact_mass: float) -> tuple[pa.Array, NDArray[np.intp]]:
        import pyarrow.compute as pc

        candidates = pool.near(exact_mass)
        is_other = pc.not_equal(candidates.inchikey14s, inchikey14)
        return candidates.smiles, np.flatnonzero(is_other.to_numpy(zero_copy_only=False))

    decoys: list[str | None] = []
    for inchikey14, exact_mass, identifier in zip(
        inchikey14s, exact_masses, identifiers, strict=True
    ):
        smiles, allowed = others(inchikey14, float(exact_mass))
        if len(allowed) == 0:
            decoys.append(None)
            continue
        digest = hashlib.blake2b(f"{seed}:{identifier}".encode(), digest_size=8).digest()
        # 64 bits: the bias of the remainder is negligible.
        decoys.append(smiles[int(allowed[int.from_bytes(digest) % len(allowed)])].as_py())
    return decoys


def _schema() -> pa.Schema:
    import pyarrow as pa

    # 64-bit offsets, as the text of a large pool can be beyond 2 GiB.
    text = pa.large_string()
    return pa.schema(
        [("smiles", text), ("inchikey14", text), ("formula", text), ("exact_mass", pa.float64())]
    )
