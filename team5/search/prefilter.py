"""A prefilter that thins long lists of candidates before they are scored in full.

A hundred fragments of at most two cuts and what each cost, without the network, tell for most
spectra which candidates cannot be among the best; where they tell nothing, nearly all stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.fragments import cut_graph, molecule_graph
from team5.chemistry.molecule import Molecule
from team5.data.collate import prepare_spectrum
from team5.data.preprocess import HYDROGEN_SHIFTS, N_OUTCOMES, match_peaks
from team5.data.spectrum import Spectrum
from team5.evaluation.controls import HYDROGEN_COST
from team5.inference.engine import adduct_of

Array = NDArray[Any]

# Shorter lists are scored as fast as they are filtered.
MIN_CANDIDATES = 256
_MAX_DEPTH, _MAX_FRAGMENTS = 2, 100
# Candidates this far below the best tenth are dropped, in shares of the peaks' weight. Chosen on
# the val queries with candidates from a library: see benchmarks/prefilter.py.
_QUANTILE, _MARGIN = 0.9, 0.04
_HYDROGEN_COSTS = HYDROGEN_COST * np.abs(HYDROGEN_SHIFTS)


def promising(molecules: Sequence[Molecule], spectrum: Spectrum) -> Array:
    """Return which of C candidates are promising enough for a full score, shape (C,), bool.

    All of a list shorter than ``MIN_CANDIDATES``. Candidates must be able to form the ion.
    """
    if len(molecules) < MIN_CANDIDATES:
        return np.ones(len(molecules), dtype=bool)
    scores = np.array([_cheap_score(molecule, spectrum) for molecule in molecules])
    return scores >= np.quantile(scores, _QUANTILE) - _MARGIN


def _cheap_score(molecule: Molecule, spectrum: Spectrum) -> float:
    """Return the share of the peaks' weight that fragments explain, reduced by the cost of cuts."""
    prepared = prepare_spectrum(
        molecule.exact_mass,
        mzs=spectrum.mzs,
        intensities=spectrum.intensities,
        adduct=adduct_of(spectrum, molecule),
        collision_energy=spectrum.collision_energy,
        instrument_type=spectrum.instrument_type,
    )
    fragments = cut_graph(molecule_graph(molecule), _MAX_DEPTH, _MAX_FRAGMENTS)
    peaks, outcomes = match_peaks(
        prepared.peaks.mzs, fragments.masses, fragments.hydrogens, prepared.offsets
    )
    fragment, k = np.divmod(outcomes, N_OUTCOMES)
    least = np.full(len(prepared.peaks.mzs), np.inf)
    np.minimum.at(least, peaks, fragments.costs[fragment] + _HYDROGEN_COSTS[k])
    return float((prepared.peaks.weights / (1 + least)).sum())
