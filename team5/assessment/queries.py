"""Queries of an evaluation: spectra of known structure with candidates of their mass."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.molecule import parse_smiles
from team5.data.collision_energy import (
    NCE_REFERENCE_MZ,
    parse_collision_energy,
    to_electronvolt,
)
from team5.data.spectrum import Spectrum
from team5.errors import DataError, DataFileNotFoundError, Team5Error
from team5.evaluation.strata import (
    ADDUCT,
    COLLISION_ENERGY,
    ION_MODE,
    UNKNOWN,
    stratum_of,
)

if TYPE_CHECKING:
    from team5.data.dataset import Query as ValidationQuery

Array = NDArray[Any]

_SPECTRUM_COLUMNS = (
    *("identifier", "adduct", "precursor_mz", "instrument_type", "collision_energy"),
    *("mzs", "intensities"),
)
_COLUMNS = (
    *("inchikey14", "smiles", *_SPECTRUM_COLUMNS, "candidates", "candidate_inchikey14"),
    "same_formula",
)


@dataclass(frozen=True, eq=False)
class Query:
    """A spectrum with candidates of its mass, one of which is its structure.

    Attributes
    ----------
    inchikey14 : str
        Of the spectrum's structure.
    truth : int
        Index of the true structure among the candidates.
    same_formula : array of shape (C,), bool
        Candidates with the true structure's formula.
    """

    spectrum: Spectrum
    inchikey14: str
    candidates: tuple[str, ...]
    truth: int
    same_formula: Array


def read_queries(path: str | Path) -> list[Query]:
    """Read a table of queries.

    Parameters
    ----------
    path : path
        Parquet with the columns ``identifier, inchikey14, smiles, adduct, precursor_mz,
        instrument_type, collision_energy, mzs, intensities, candidates, candidate_inchikey14,
        same_formula``; the true structure is among the candidates exactly once.

    Raises
    ------
    DataError
        If a column is missing or a row is not a valid query; names the row.
    """
    import pyarrow as pa  # here to start quickly
    import pyarrow.parquet as pq

    path = Path(path)
    try:
        present = pq.read_schema(path).names
        missing = [name for name in _COLUMNS if name not in present]
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(missing)}; there are {', '.join(present)}. "
                "Give a table of queries (configs/data/queries.yaml)."
            )
        rows = pq.read_table(path, columns=list(_COLUMNS)).to_pylist()
    except FileNotFoundError as error:
        raise DataFileNotFoundError(f"{path}: no such file. Give data.queries=FILE.") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}). Give one.") from error
    if not rows:
        raise DataError(f"{path}: no queries in this file. Give another.")
    queries = []
    for number, row in enumerate(rows, start=1):
        try:
            queries.append(_to_query(row))
        except Team5Error as error:
            raise DataError(f"{path}, row {number}: {error}") from error
    return queries


def _to_query(row: dict[str, Any]) -> Query:
    keys = row["candidate_inchikey14"]
    if not len(keys) == len(row["candidates"]) == len(row["same_formula"]):
        raise DataError(
            "candidates, candidate_inchikey14 and same_formula differ in length. Mend the row."
        )
    truths = [i for i, key in enumerate(keys) if key == row["inchikey14"]]
    if len(truths) != 1:
        raise DataError(
            f"the true structure {row['inchikey14']} stands {len(truths)} times among the "
            "candidates. Give it once."
        )
    spectrum = Spectrum(**{name: row[name] for name in _SPECTRUM_COLUMNS})
    return Query(
        spectrum,
        row["inchikey14"],
        tuple(row["candidates"]),
        truths[0],
        np.array(row["same_formula"], dtype=bool),
    )


def draw_queries(rankings: Sequence[ValidationQuery], n: int, seed: int) -> list[Query]:
    """Return ``n`` validation rankings, drawn by seed, as queries.

    Parameters
    ----------
    rankings : sequence of team5.data.dataset.Query
    n : int
        All of them if there are fewer.
    """
    drawn = np.random.default_rng(seed).permutation(len(rankings))[:n]
    return [_from_validation(rankings[i]) for i in sorted(drawn.tolist())]


def _from_validation(ranking: ValidationQuery) -> Query:
    true, *others = [parse_smiles(smiles) for smiles in ranking.candidates]
    measured = ranking.measurement
    spectrum = Spectrum(
        measured.mzs,
        measured.intensities,
        precursor_mz=measured.adduct.precursor_mz(true.exact_mass),
        adduct=measured.adduct.name,
        collision_energy=measured.collision_energy,
        instrument_type=measured.instrument_type,
        identifier=measured.identifier,
    )
    same_formula = np.array([True, *(other.formula == true.formula for other in others)])
    return Query(spectrum, true.inchikey14, ranking.candidates, 0, same_formula)


def by_candidates(queries: Sequence[Query]) -> dict[tuple[str, ...], list[int]]:
    """Group indices of the queries by candidates, so that each list is scored once."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, query in enumerate(queries):
        groups[query.candidates].append(index)
    return groups


def shuffle_spectra(queries: Sequence[Query], seed: int) -> list[Spectrum]:
    """Give each query the peaks of a query with the same ion mode and a different structure.

    Adduct, energy and instrument are not shuffled. Fixed by seed; a query whose ion mode has
    no other structure keeps its peaks.
    """
    random = np.random.default_rng(seed)
    by_mode: dict[str | None, list[int]] = defaultdict(list)
    for index, query in enumerate(queries):
        by_mode[query.spectrum.ion_mode].append(index)
    shuffled = [query.spectrum for query in queries]
    for members in by_mode.values():
        for index in members:
            query = queries[index]
            others = [i for i in members if queries[i].inchikey14 != query.inchikey14]
            if others:
                other = queries[others[int(random.integers(len(others)))]].spectrum
                shuffled[index] = replace(
                    query.spectrum, mzs=other.mzs, intensities=other.intensities
                )
    return shuffled


def choose_decoy(query: Query, seed: int) -> int | None:
    """Return the index of a candidate that is not the truth, fixed by seed and identifier.

    None if there is no other candidate.
    """
    others = [i for i in range(len(query.candidates)) if i != query.truth]
    if not others:
        return None
    text = f"{seed}:{query.spectrum.identifier}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return others[int.from_bytes(digest) % len(others)]


def conditions_of(query: Query) -> dict[str, str]:
    """Return the strata of a query: adduct, ion mode and collision energy.

    Energies are compared at m/z 500 (``eV * 500 / precursor m/z``, which is NCE); of steps and
    ramps the middle counts, and a number without a unit is NCE on an Orbitrap, else eV.
    """
    spectrum = query.spectrum
    energy = parse_collision_energy(spectrum.collision_energy)
    normalised = None
    if spectrum.precursor_mz is not None:
        electronvolt = to_electronvolt(energy, spectrum.precursor_mz, spectrum.instrument_type)
        if electronvolt is not None:
            normalised = electronvolt * NCE_REFERENCE_MZ / spectrum.precursor_mz
    return {
        ADDUCT: spectrum.adduct or UNKNOWN,
        ION_MODE: spectrum.ion_mode or UNKNOWN,
        COLLISION_ENERGY: stratum_of(COLLISION_ENERGY, normalised),
    }
