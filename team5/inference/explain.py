"""Explained peaks with their fragments, and predicted spectra."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from team5.chemistry.adducts import Adduct
from team5.chemistry.fragments import Fragments, hill_formulas
from team5.chemistry.tokenizer import MoleculeTokens
from team5.data.collate import Pair
from team5.data.preprocess import BARE_SHIFTS, HYDROGEN_SHIFTS, N_OUTCOMES
from team5.inference.results import ExplainedPeak

Array = NDArray[Any]

# Predicted ions closer than this are one peak: they have the same formula.
_SAME_ION = 1e-4  # m/z


def explain_peaks(
    tokens: MoleculeTokens, pair: Pair, log_p_outcomes: Array
) -> tuple[ExplainedPeak, ...]:
    """Return the explained peaks, each with its most probable ion.

    Parameters
    ----------
    log_p_outcomes : array of shape (F * K + 1,)
        Log probabilities of the structure's ions under the pair's conditions.
    """
    best: dict[int, int] = {}
    for peak, outcome in zip(pair.match_peaks.tolist(), pair.match_outcomes.tolist(), strict=True):
        known = best.get(peak)
        if known is None or log_p_outcomes[outcome] > log_p_outcomes[known]:
            best[peak] = outcome
    typed = tokens.molecule.atom_indices
    explained = []
    # Not an ion: the precursor lacks the hydrogens or the mass for it, however close in m/z.
    possible = [each for each in sorted(best.items()) if np.isfinite(log_p_outcomes[each[1]])]
    formulas = ion_formulas(tokens.fragments, [outcome for _, outcome in possible], pair.adduct)
    for (peak, outcome), formula in zip(possible, formulas, strict=True):
        fragment, k = divmod(outcome, N_OUTCOMES)
        mz = float(pair.peaks.mzs[peak])
        fragment_mz = float(tokens.fragments.masses[fragment] + pair.offsets[k])
        explained.append(
            ExplainedPeak(
                mz=mz,
                intensity=float(pair.peaks.intensities[peak]),
                fragment_mz=fragment_mz,
                error_ppm=(mz - fragment_mz) / fragment_mz * 1e6,
                formula=formula,
                atoms=tuple(sorted(typed[i] for i in tokens.fragments.atoms(fragment))),
                broken_bonds=tuple(
                    (typed[a], typed[b]) for a, b in tokens.fragments.cut_bonds(fragment)
                ),
                probability=float(np.exp(log_p_outcomes[outcome])),
            )
        )
    return tuple(explained)


def strongest(peaks: Iterable[ExplainedPeak]) -> tuple[ExplainedPeak, ...]:
    """Return each ion's strongest peak in several spectra, ascending in m/z."""
    of_ions: dict[tuple[str, tuple[int, ...]], ExplainedPeak] = {}
    for peak in peaks:
        ion = peak.formula, peak.atoms
        if ion not in of_ions or peak.intensity > of_ions[ion].intensity:
            of_ions[ion] = peak
    return tuple(sorted(of_ions.values(), key=lambda peak: peak.mz))


def ion_formulas(
    fragments: Fragments, outcomes: Sequence[int] | Array, adduct: Adduct
) -> tuple[str, ...]:
    """Return the formulas of ions, with the charge at the end: ``C6H7O+``.

    Parameters
    ----------
    outcomes : sequence of int
        ``fragment * K + k`` of each.
    """
    fragment, k = np.divmod(np.array(outcomes, dtype=np.int64), N_OUTCOMES)
    symbols, counts = fragments.counts_of(fragment)
    counts[:, 0] += np.array(HYDROGEN_SHIFTS)[k]
    for symbol, count in adduct.composition:
        if symbol not in symbols:
            symbols.append(symbol)
            counts = np.pad(counts, ((0, 0), (0, 1)))
        counts[k >= len(BARE_SHIFTS), symbols.index(symbol)] += count
    sign = "+" if adduct.charge > 0 else "-"
    return tuple(formula + sign for formula in hill_formulas(symbols, counts))


def _lacking_lost_atoms(fragments: Fragments, adduct: Adduct) -> Array:
    """Return the ions, as flat indices, that lack the atoms the adduct loses."""
    gained = dict(adduct.composition)
    if min(gained.values(), default=0) >= 0:
        return np.empty(0, dtype=np.int64)
    lacking = np.zeros((len(fragments), N_OUTCOMES), dtype=bool)
    with_group = lacking[:, len(BARE_SHIFTS) :]
    hydrogens = fragments.hydrogens + min(gained.pop("H", 0), 0)
    with_group |= hydrogens[:, None] + HYDROGEN_SHIFTS[len(BARE_SHIFTS) :] < 0
    for symbol, count in gained.items():
        number = Chem.GetPeriodicTable().GetAtomicNumber(symbol)
        n_kept = np.count_nonzero(fragments.inside[:, fragments.graph.elements == number], axis=1)
        with_group |= (n_kept + count < 0)[:, None]
    return np.flatnonzero(lacking.ravel())


@dataclass(frozen=True)
class PredictedSpectrum:
    """Predicted peaks, ascending in m/z; the highest has intensity 1."""

    mzs: Array
    intensities: Array
    formulas: tuple[str, ...]


def predict_spectrum(
    tokens: MoleculeTokens,
    pair: Pair,
    log_p_outcomes: Array,
    *,
    min_intensity: float = 0.01,
    max_peaks: int = 200,
    with_formulas: bool = True,
) -> PredictedSpectrum:
    """Return the spectrum of a distribution over ions.

    Parameters
    ----------
    pair : Pair
        Of any spectrum under the conditions; its peaks do not matter.
    log_p_outcomes : array of shape (F * K + 1,)
    min_intensity : float
        Weaker peaks, relative to the highest, are left out.
    """
    probability = np.exp(log_p_outcomes[:-1])
    probability[_lacking_lost_atoms(tokens.fragments, pair.adduct)] = 0.0
    mzs = (tokens.fragments.masses[:, None] + pair.offsets).ravel()
    possible = np.flatnonzero(probability > 1e-9)
    order = possible[np.argsort(mzs[possible])]
    new_peak = np.diff(mzs[order], prepend=-np.inf) > _SAME_ION
    total = np.bincount(np.cumsum(new_peak) - 1, weights=probability[order])
    # The network learns square roots of intensities; yet squaring what it is unsure of lowered the
    # cosine to measured spectra of the val fold.
    intensities = total / total.max() if len(total) else total
    high = np.flatnonzero(intensities >= min_intensity)
    chosen = np.sort(high[np.argsort(-intensities[high], kind="stable")[:max_peaks]])
    starts = np.flatnonzero(new_peak)
    formulas: tuple[str, ...] = ()
    if with_formulas and len(chosen):
        # The first of the most probable ions of each peak.
        highest = np.maximum.reduceat(probability[order], starts)
        is_highest = probability[order] == np.repeat(highest, np.diff(starts, append=len(order)))
        places = np.flatnonzero(is_highest)
        best = order[places[np.searchsorted(places, starts[chosen])]]
        formulas = ion_formulas(tokens.fragments, best, pair.adduct)
    return PredictedSpectrum(mzs[order[starts[chosen]]], intensities[chosen], formulas)
