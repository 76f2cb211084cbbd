"""Queries from the files of MassSpecGym: its table and its lists of candidates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.assessment.queries import Query
from team5.chemistry.molecule import TOO_LARGE, parse_smiles
from team5.data.readers import tables
from team5.data.records import Record
from team5.errors import ConfigError, DataError, DataFileNotFoundError, MoleculeError
from team5.runtime.storage import sha256

FOLDS = ("train", "val", "test")
COLUMNS = ("mzs", "intensities", "smiles", "adduct", "precursor_mz", "fold")
_PROGRESS_EVERY = 50  # rows
_SHAPE = "needed is an object of lists, {SMILES: [candidate SMILES, ...]}."


@dataclass(frozen=True, eq=False)
class MassSpecGym:
    """A fold of the benchmark.

    Attributes
    ----------
    queries : list of Query
    n_rows : int
        Rows of the fold, including those left out.
    left_out : Counter
        Rows that became no query, by reason.
    candidates_left_out : Counter
        Candidates of the queries that are not ranked, by reason; a list that several rows share
        counts once.
    table_sha256, candidates_sha256 : str
        Of the two files: there are several releases of each, with different candidates.
    """

    queries: list[Query]
    n_rows: int
    left_out: Counter[str]
    candidates_left_out: Counter[str]
    table_sha256: str
    candidates_sha256: str


# InChIKey first block and formula, or the reason why there is no structure.
_Structure = tuple[str, str] | str
# InChIKey first block, candidates, index of the truth among them and a mask of its formula, or
# the reason why there are none.
_Candidates = tuple[str, tuple[str, ...], int, NDArray[np.bool_]] | str


def read_massspecgym(
    table: str | Path,
    candidates: str | Path,
    fold: str = "test",
    on_progress: Callable[[float], None] | None = None,
) -> MassSpecGym:
    """Read a fold of MassSpecGym with its retrieval candidates.

    Structures with the same first block of the InChIKey are the same, as in the benchmark;
    of several candidates of one structure only the first counts, or the one written as in the
    table.

    Parameters
    ----------
    table : path
        ``MassSpecGym.tsv``, or CSV or Parquet with its columns ``mzs``, ``intensities``
        (comma-separated numbers), ``smiles``, ``adduct``, ``precursor_mz`` and ``fold``;
        ``identifier``, ``collision_energy`` (eV) and ``instrument_type`` are read too.
    candidates : path
        ``MassSpecGym_retrieval_candidates_mass.json`` or ``..._formula.json``: for each SMILES of
        the table the candidates' SMILES, the true structure among them.
    fold : {"train", "val", "test"}
    on_progress : callable, optional
        Called from time to time with the share of the rows done, 0 to 1.

    Raises
    ------
    ConfigError
        If there is no such fold.
    DataError
        If a file is missing, damaged or in another format, or no row can be used.

    References
    ----------
    Bushuiev et al., MassSpecGym, NeurIPS 2024 (arXiv:2410.23326), the molecule retrieval task.
    """
    if fold not in FOLDS:
        raise ConfigError(f"fold {fold!r}: choose one of {', '.join(FOLDS)}.")
    table, candidates = Path(table), Path(candidates)
    _check_is_file(table, "MassSpecGym.tsv")
    _check_is_file(candidates, "MassSpecGym_retrieval_candidates_mass.json")
    left_out: Counter[str] = Counter()
    try:
        records = list(_records(table, fold, left_out))
        table_sha256 = sha256(table)
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error}).") from error
    n_rows = len(records) + left_out.total()
    if n_rows == 0:
        raise DataError(f"{table}: no row of fold {fold}. Choose another of {', '.join(FOLDS)}.")
    lists = _CandidateLists(candidates)
    queries = []
    for number, record in enumerate(records):
        ranked = lists.of(record.smiles)
        if isinstance(ranked, str):
            left_out[ranked] += 1
        else:
            queries.append(Query(record.spectrum, *ranked))
        if on_progress and number % _PROGRESS_EVERY == 0:
            on_progress(number / len(records))
    if not queries:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in left_out.most_common(4))
        raise DataError(
            f"{table}: none of the {n_rows:,} rows of fold {fold} can be used: {reasons}. "
            f"Does {candidates.name} belong to this table?"
        )
    return MassSpecGym(queries, n_rows, left_out, lists.left_out, table_sha256, lists.sha256)


def _check_is_file(path: Path, example: str) -> None:
    if not path.is_file():
        raise DataFileNotFoundError(f"{path}: no such file. Give {example} of the benchmark.")


def _records(table: Path, fold: str, left_out: Counter[str]) -> Iterator[Record]:
    with table.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    read = tables.iter_parquet if is_parquet else tables.iter_csv
    yield from read(table, left_out, required=COLUMNS, fold=fold)


class _CandidateLists:
    """Candidates of all SMILES; each SMILES is parsed once, each structure's key computed once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: Counter[str] = Counter()
        self._lists, self.sha256 = _read_lists(path)
        self._by_canonical: dict[str, _Structure] = {}
        # Candidates of a row's SMILES.
        self.of = cache(self._find)
        self._structure = cache(self._parse)

    def _find(self, smiles: str | None) -> _Candidates:
        if smiles is None:
            return "no SMILES"
        texts = self._lists.get(smiles)
        if texts is None:
            return "no candidates for the SMILES"
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{self.path}, key {smiles!r}: no list of SMILES; {_SHAPE}")
        true = self._structure(smiles)
        if isinstance(true, str):
            return true
        key, formula = true
        distinct: dict[str, tuple[str, str]] = {}
        left_out: Counter[str] = Counter()
        for text in texts:
            structure = self._structure(text)
            if isinstance(structure, str):
                left_out[structure] += 1
                continue
            if structure[0] in distinct:
                left_out["same structure as another candidate"] += 1
                if text != smiles:
                    continue
            distinct[structure[0]] = text, structure[1]
        if key not in distinct:
            return "structure not among its candidates"
        self.left_out += left_out
        candidates, formulas = zip(*distinct.values(), strict=True)
        same_formula = np.array([other == formula for other in formulas])
        return key, candidates, list(distinct).index(key), same_formula

    def _parse(self, smiles: str) -> _Structure:
        try:
            molecule = parse_smiles(smiles)
            canonical = molecule.canonical_smiles
            if canonical not in self._by_canonical:
                self._by_canonical[canonical] = molecule.inchikey14, molecule.formula
            return self._by_canonical[canonical]
        except MoleculeError as error:
            return "structure too large" if error.code in TOO_LARGE else "structure not readable"


def _read_lists(path: Path) -> tuple[dict[str, Any], str]:
    try:
        content = path.read_bytes()
        lists = json.loads(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}). Download it again.") from error
    if not isinstance(lists, dict):
        raise DataError(f"{path}: a JSON {type(lists).__name__}; {_SHAPE}")
    return lists, sha256(content)
