"""Scores become matches: what is said of one structure, its probability, its rank among others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from team5.chemistry.adducts import Adduct, parse_adduct
from team5.chemistry.molecule import Molecule
from team5.constants import PRECURSOR_TOLERANCE
from team5.data.collision_energy import parse_collision_energy
from team5.data.context import ADDUCTS
from team5.data.spectrum import Spectrum
from team5.inference.engine import Scored, adduct_of
from team5.inference.explain import explain_peaks
from team5.inference.references import Comparison, note_unused
from team5.inference.results import ExplainedPeak, Match

if TYPE_CHECKING:
    from team5.inference.inference import LoadedModel

# A precursor that the structure cannot have settles the question; in units of the match logit.
_WRONG_PRECURSOR_PENALTY = 12.0


def to_match(model: LoadedModel, scored: Scored, spectra: Sequence[Spectrum]) -> Match:
    """Return the match of a structure but for its probability and rank."""
    molecule = scored.tokens.molecule
    notes = list(molecule.notes)
    score, explained = 0.0, 0.0
    peaks: list[ExplainedPeak] = []
    impossible: list[float] = []
    for i, (pair, spectrum) in enumerate(zip(scored.pairs, spectra, strict=True)):
        adduct = adduct_of(spectrum, molecule)
        if spectrum.adduct is None:
            notes.append(f"adduct {adduct.name} assumed")
        notes += unusual(adduct, molecule) + energy_notes(spectrum)
        if complaint := wrong_precursor(spectrum, molecule, adduct, pair.precursor_mz):
            notes.append(complaint)
        score += float(scored.scores[i]) / len(spectra)
        peaks += explain_peaks(scored.tokens, pair, adduct, scored.log_p_outcomes(i))
        matched = scored.details[i].matched
        explained += float(
            (pair.peaks.intensities * matched).sum() / pair.peaks.intensities.sum()
        ) / len(spectra)
        impossible += pair.peaks.impossible_mzs.tolist()
    if impossible:
        notes.append(
            f"{len(impossible)} peak(s) above the precursor: no ion of this structure gives them"
        )
    return Match(
        smiles=molecule.smiles,
        probability=math.nan,
        label=False,
        threshold=model.threshold,
        rank=None,
        score=score,
        explained_intensity=explained,
        peaks=tuple(peaks),
        impossible_mzs=tuple(impossible),
        formula=molecule.formula,
        adduct=adduct_of(spectra[0], molecule).name,
        precursor_mz=scored.pairs[0].precursor_mz,
        precursor_fits=(
            None
            if all(spectrum.precursor_mz is None for spectrum in spectra)
            else count_wrong_precursors(scored, spectra) == 0
        ),
        collision_energy=spectra[0].collision_energy,
        version=model.version,
        version_hash=model.version_hash,
        notes=tuple(dict.fromkeys(notes)),
    )


def count_wrong_precursors(scored: Scored, spectra: Sequence[Spectrum]) -> int:
    """Return how many of the spectra have a precursor that the structure cannot have."""
    return sum(
        _is_wrong(spectrum, pair.precursor_mz)
        for pair, spectrum in zip(scored.pairs, spectra, strict=True)
    )


def with_probability(
    model: LoadedModel,
    match: Match,
    logits: Tensor,
    n_wrong: int,
    comparison: Comparison,
    *,
    n_given: int = 0,
    is_alone: bool = False,
) -> Match:
    """Return a match with its probability, and with what it was compared with for it.

    Parameters
    ----------
    logits : tensor of shape (S,)
        Of the structure beside what it is compared with, for each spectrum; their mean counts.
    n_wrong : int
        Spectra with a precursor that the structure cannot have.
    n_given, is_alone
        As for `note_unused`.
    """
    logit = float(logits.double().mean()) - _WRONG_PRECURSOR_PENALTY * n_wrong / len(logits)
    probability = float(torch.sigmoid(torch.tensor(logit, dtype=torch.float64)))
    unused = note_unused(comparison, n_given, is_alone=is_alone)
    return replace(
        match,
        probability=probability,
        label=probability >= model.threshold,
        notes=(*match.notes, *([unused] if unused else [])),
        references=comparison.kind,
        n_references=len(comparison.places),
    )


def best_first(n_wrong: ArrayLike, scores: ArrayLike) -> NDArray[np.intp]:
    """Return the places of structures in the order of their ranks.

    By score, after whether they can have the precursor at all; equal ones keep the order given.
    """
    return np.lexsort((-np.asarray(scores), np.asarray(n_wrong)))


def unusual(adduct: Adduct, molecule: Molecule) -> list[str]:
    """Return in words what is unusual about an ion."""
    if adduct.n_molecules > 1 or abs(adduct.charge) > 1:
        learned = "the model learned from singly charged ions of one molecule"
        return [f"{adduct.name}: {learned}; do not rely on it here"]
    gained = [symbol for symbol, count in adduct.composition if count > 0]
    if adduct.charge < 0 <= molecule.charge and gained == ["H"]:
        return [f"{adduct.name} is unusual; the deprotonated molecule is [M-H]-"]
    return []


def energy_notes(spectrum: Spectrum) -> list[str]:
    """Return in words that a collision energy is not understood."""
    if spectrum.collision_energy is None:
        return []
    if parse_collision_energy(spectrum.collision_energy).value is not None:
        return []
    said = f"collision energy {spectrum.collision_energy!r} is not understood"
    return [f"{said}: answered as if none were given"]


def wrong_precursor(
    spectrum: Spectrum, molecule: Molecule, adduct: Adduct, calculated: float
) -> str | None:
    """Return in words that a structure cannot have the measured precursor, None if it can."""
    measured: Any = spectrum.precursor_mz
    if not _is_wrong(spectrum, calculated):
        return None
    fitting = [
        name
        for name in ADDUCTS
        if abs(parse_adduct(name).precursor_mz(molecule.exact_mass) - measured)
        <= PRECURSOR_TOLERANCE
    ]
    hint = f"; it would be {' or '.join(fitting)}" if fitting else ""
    return (
        f"precursor m/z {measured:.4f} is not {adduct.name} of {molecule.formula} "
        f"({calculated:.4f}){hint}"
    )


def _is_wrong(spectrum: Spectrum, calculated: float) -> bool:
    measured = spectrum.precursor_mz
    return measured is not None and abs(measured - calculated) > PRECURSOR_TOLERANCE
