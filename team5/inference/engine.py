"""Structures held against spectra: scores in batches bounded by work, the same for every caller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from team5.chemistry.adducts import Adduct, default_adduct, parse_adduct
from team5.chemistry.molecule import Molecule
from team5.chemistry.tokenizer import MoleculeTokens, pad_molecules
from team5.data.collate import Pair, collate_pairs, make_pair
from team5.data.preprocess import N_OUTCOMES
from team5.data.spectrum import Spectrum
from team5.models.model import Scores, Team5Model

Array = NDArray[Any]

# Fragments of one batch: bounds memory (about 20 kB each with one spectrum) whatever comes in.
_MAX_FRAGMENTS_PER_BATCH = 16_000
# Molecules that are tokenized ahead, so that those of like size share a batch.
_WINDOW = 128


@dataclass(frozen=True)
class Scored:
    """Scores of one structure against all its spectra.

    Attributes
    ----------
    index : int
        Which of the structures given.
    tokens : MoleculeTokens
    pairs : tuple of Pair
        One per spectrum.
    scores : Scores
        Of the batch the structure was in; ``rows`` are its own.
    rows : tuple of int
    """

    index: int
    tokens: MoleculeTokens
    pairs: tuple[Pair, ...]
    scores: Scores
    rows: tuple[int, ...]

    def log_p_outcomes(self, spectrum: int) -> Array:
        """Return log probabilities of the structure's ions, shape (F * K + 1,); last: none."""
        padded = self.scores.log_p_outcomes[self.rows[spectrum]].double().cpu().numpy()
        return np.append(padded[: len(self.tokens.fragments) * N_OUTCOMES], padded[-1])


def adduct_of(spectrum: Spectrum, molecule: Molecule) -> Adduct:
    """Return the adduct a spectrum is judged under: its own, or the usual one of the structure."""
    if spectrum.adduct is not None:
        return parse_adduct(spectrum.adduct)
    return parse_adduct(default_adduct(spectrum.ion_mode, molecule.charge))


def iter_scores(
    model: Team5Model, molecules: Sequence[Molecule], spectra: Sequence[Spectrum]
) -> Iterator[Scored]:
    """Score every structure against every spectrum; structures come in an order of size.

    Each structure is encoded once for all its spectra.
    """
    return iter_mixed(model, [(molecule, spectra) for molecule in molecules])


def iter_mixed(
    model: Team5Model, work: Sequence[tuple[Molecule, Sequence[Spectrum]]]
) -> Iterator[Scored]:
    """Score structures, each against spectra of its own, so that several questions share batches.

    What shares a batch is padded to the largest of it, which changes a score's last digits only.
    """
    for start in range(0, len(work), _WINDOW):
        window = [
            _Item(start + i, model.tokenizer.encode(molecule), spectra)
            for i, (molecule, spectra) in enumerate(work[start : start + _WINDOW])
        ]
        window.sort(key=lambda item: (len(item.tokens.fragments), len(item.tokens.atoms)))
        for batch in _batches(window):
            yield from _score(model, batch)


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    tokens: MoleculeTokens
    spectra: Sequence[Spectrum]


def _batches(window: list[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    n_spectra = 0
    for item in window:
        n_spectra = max(n_spectra, len(item.spectra))
        # Padded to the largest, which comes last.
        work = (len(batch) + 1) * len(item.tokens.fragments) * max(1, n_spectra / 8)
        if batch and work > _MAX_FRAGMENTS_PER_BATCH:
            yield batch
            batch, n_spectra = [], len(item.spectra)
        batch.append(item)
    if batch:
        yield batch


def _score(model: Team5Model, batch: list[_Item]) -> Iterator[Scored]:
    pairs = [
        make_pair(
            item.tokens,
            position,
            mzs=spectrum.mzs,
            intensities=spectrum.intensities,
            adduct=adduct_of(spectrum, item.tokens.molecule),
            collision_energy=spectrum.collision_energy,
            instrument_type=spectrum.instrument_type,
        )
        for position, item in enumerate(batch)
        for spectrum in item.spectra
    ]
    tensors = collate_pairs(pad_molecules([item.tokens for item in batch]), pairs)
    with torch.inference_mode():
        scores = model(tensors.to(model.device))
    first = 0
    for item in batch:
        rows = tuple(range(first, first + len(item.spectra)))
        first += len(item.spectra)
        yield Scored(item.index, item.tokens, tuple(pairs[r] for r in rows), scores, rows)
