"""Validation pairs, references and rankings, fixed by seed; and decoys for training."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from team5.chemistry.adducts import check_adduct
from team5.chemistry.molecule import is_small_enough, parse_smiles
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.data.compounds import Compound, Measurement
from team5.data.dataset import Query
from team5.data.decoys import CandidatePool, choose_decoys
from team5.errors import AdductError

# How many of the pool's structures of one mass are considered.
_MAX_NEAR = 2_000
_DECOYS_PER_DRAWN = 3


@dataclass(frozen=True)
class ValidationSet:
    """Validation spectra with their candidates and references.

    Attributes
    ----------
    pairs : list of Query
        Each spectrum with its true structure and one decoy of the same mass.
    references : dict of str to list of str
        By true structure, other molecules of its mass.
    rankings : list of Query
        One spectrum per compound with several candidates.
    n_without_decoy : int
        Spectra left out of the pairs.
    """

    pairs: list[Query]
    references: dict[str, list[str]]
    rankings: list[Query]
    n_without_decoy: int


def draw_validation_set(
    compounds: Sequence[Compound],
    pool: CandidatePool,
    *,
    max_spectra: int,
    n_candidates: int,
    n_references: int,
    seed: int,
) -> ValidationSet:
    """Draw the validation set of compounds.

    Parameters
    ----------
    compounds : sequence of Compound
        Of the validation fold.
    pool : CandidatePool
    max_spectra : int
        Per compound, at most.
    n_candidates : int
        Per ranking, including the true structure.
    n_references : int
        Per structure, at most.
    seed : int
    """
    pairs, n_without_decoy = _pairs(compounds, pool, max_spectra, seed)
    references = _references(pairs, pool, n_references, seed)
    rankings = draw_rankings(compounds, pool, n_candidates, seed)
    return ValidationSet(pairs, references, rankings, n_without_decoy)


def training_decoys(
    compounds: Sequence[Compound], pool: CandidatePool, held_out: Set[str], *, n: int, seed: int
) -> list[list[str]]:
    """Return decoys of each compound: three times the ``n`` of an epoch, so that epochs differ.

    Parameters
    ----------
    held_out : set of str
        InChIKey first blocks that must not be decoys.
    """
    return [
        _same_mass(compound, pool, _DECOYS_PER_DRAWN * n, (seed, position, 2), held_out)
        for position, compound in enumerate(compounds)
    ]


def _pairs(
    compounds: Sequence[Compound], pool: CandidatePool, max_spectra: int, seed: int
) -> tuple[list[Query], int]:
    rows = [
        (compound, compound.measurements[i])
        for position, compound in enumerate(compounds)
        for i in _draw(len(compound.measurements), max_spectra, seed, position)
    ]
    decoys = choose_decoys(
        [compound.inchikey14 for compound, _ in rows],
        [compound.exact_mass for compound, _ in rows],
        [measurement.identifier for _, measurement in rows],
        pool,
        seed=seed,
    )
    queries = [
        Query(measurement, (compound.smiles, decoy))
        for (compound, measurement), decoy in zip(rows, decoys, strict=True)
        if decoy is not None and _can_form_ion(decoy, measurement)
    ]
    return queries, len(rows) - len(queries)


def _references(
    pairs: Sequence[Query], pool: CandidatePool, n: int, seed: int
) -> dict[str, list[str]]:
    judged: dict[str, set[str]] = {}
    for query in pairs:
        target, decoy = query.candidates
        judged.setdefault(target, {target}).add(decoy)
    references: dict[str, list[str]] = {}
    for position, (target, structures) in enumerate(judged.items()):
        keys = {parse_smiles(smiles).inchikey14 for smiles in structures}
        near = pool.near(parse_smiles(target).exact_mass, CANDIDATE_TOLERANCE_PPM)
        random = np.random.default_rng((seed, position, 3))
        drawn = references[target] = []
        for i in random.permutation(len(near)).tolist():
            if len(drawn) == n:
                break
            smiles = near.smiles[i].as_py()
            if near.inchikey14s[i].as_py() not in keys and is_small_enough(smiles):
                drawn.append(smiles)
    return references


def draw_rankings(
    compounds: Sequence[Compound], pool: CandidatePool, n_candidates: int, seed: int
) -> list[Query]:
    """Return one spectrum of each compound with candidates of its mass, its formula first."""
    queries = []
    for position, compound in enumerate(compounds):
        (chosen,) = _draw(len(compound.measurements), 1, seed, position)
        measurement = compound.measurements[chosen]
        others = _same_mass(compound, pool, n_candidates - 1, (seed, position))
        others = [smiles for smiles in others if _can_form_ion(smiles, measurement)]
        if others:
            queries.append(Query(measurement, (compound.smiles, *others)))
    return queries


def _same_mass(
    compound: Compound,
    pool: CandidatePool,
    n: int,
    key: tuple[int, ...],
    held_out: Set[str] = frozenset(),
) -> list[str]:
    """Return other structures of the mass, drawn by key: those of the same formula first.

    Structures of other formulas can be distinguished by mass alone.
    """
    near = pool.near(compound.exact_mass, CANDIDATE_TOLERANCE_PPM)
    n_near = min(len(near), _MAX_NEAR)
    keys = near.inchikey14s.slice(0, n_near).to_pylist()
    formulas = near.formulas.slice(0, n_near).to_pylist()
    order = np.random.default_rng(key).permutation(n_near).tolist()
    order.sort(key=lambda i: formulas[i] != compound.formula)
    others: list[str] = []
    for i in order:
        if len(others) == n:
            break
        if keys[i] != compound.inchikey14 and keys[i] not in held_out:
            smiles = near.smiles[i].as_py()
            if is_small_enough(smiles):
                others.append(smiles)
    return others


def _draw(n: int, at_most: int, seed: int, position: int) -> list[int]:
    if n <= at_most:
        return list(range(n))
    random = np.random.default_rng((seed, position, 1))
    return sorted(random.choice(n, at_most, replace=False).tolist())


def _can_form_ion(smiles: str, measurement: Measurement) -> bool:
    if not is_small_enough(smiles):
        return False
    if not any(count < 0 for _, count in measurement.adduct.composition):
        return True
    try:
        check_adduct(parse_smiles(smiles), measurement.adduct)
    except AdductError:
        return False
    return True
