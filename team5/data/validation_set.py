"""Validation pairs, references and rankings, fixed by seed; and decoys for training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import islice

import numpy as np

from team5.chemistry.adducts import can_form
from team5.chemistry.molecule import parse_smiles
from team5.data.compounds import Compound, Measurement
from team5.data.dataset import Query, draw
from team5.data.decoys import CandidatePool, choose_decoys

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
        (compound, measurement)
        for position, compound in enumerate(compounds)
        for measurement in draw(compound.measurements, max_spectra, (seed, position, 1))
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
        if decoy is not None and pool.is_usable(decoy) and _can_form_ion(decoy, measurement)
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
        near = pool.near(parse_smiles(target).exact_mass)
        order = np.random.default_rng((seed, position, 3)).permutation(len(near)).tolist()
        references[target] = _first_small(near, order, n, keys)
    return references


def draw_rankings(
    compounds: Sequence[Compound], pool: CandidatePool, n_candidates: int, seed: int
) -> list[Query]:
    """Return one spectrum of each compound with candidates of its mass, its formula first."""
    queries = []
    for position, compound in enumerate(compounds):
        (measurement,) = draw(compound.measurements, 1, (seed, position, 1))
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
    near = pool.near(compound.exact_mass)
    n_near = min(len(near), _MAX_NEAR)
    formulas = near.formulas.slice(0, n_near).to_pylist()
    order = np.random.default_rng(key).permutation(n_near).tolist()
    order.sort(key=lambda i: formulas[i] != compound.formula)
    return _first_small(near, order, n, held_out | {compound.inchikey14})


def _first_small(
    pool: CandidatePool, order: Iterable[int], n: int, unwanted: Set[str]
) -> list[str]:
    """Return up to n SMILES of a pool, in an order, without those too large to be cut."""
    smiles = (pool.smiles[i].as_py() for i in order if pool.inchikey14s[i].as_py() not in unwanted)
    return list(islice(filter(pool.is_usable, smiles), n))


def _can_form_ion(smiles: str, measurement: Measurement) -> bool:
    if not any(count < 0 for _, count in measurement.adduct.composition):
        return True
    return can_form(parse_smiles(smiles), measurement.adduct)
