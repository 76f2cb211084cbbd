"""Preprocessing of peaks by pure functions, the same for training and inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from team5.chemistry.adducts import Adduct
from team5.constants import (
    ELECTRON_MASS,
    HYDROGEN_MASS,
    PEAK_TOLERANCE_FLOOR,
    PEAK_TOLERANCE_PPM,
    PRECURSOR_MARGIN,
)
from team5.runtime.compilation import compiled

Array = NDArray[Any]

# Hydrogens that a fragment may have gained or lost, for ions without and with the adduct's group.
BARE_SHIFTS = tuple(range(-4, 5))
GROUP_SHIFTS = tuple(range(-2, 3))
HYDROGEN_SHIFTS = BARE_SHIFTS + GROUP_SHIFTS
N_OUTCOMES = len(HYDROGEN_SHIFTS)  # K, per fragment
_SHIFTS = np.array(HYDROGEN_SHIFTS, dtype=np.int64)

MIN_RELATIVE_INTENSITY = 0.003  # of the base peak
MAX_MODEL_PEAKS = 64
# Distance in m/z of isotope peaks from the monoisotopic precursor: 13C, then 34S/37Cl/81Br.
_ISOTOPE_SHIFTS = (1.00335, 1.9960, 1.9970, 1.9980, 2.0067)


@dataclass(frozen=True)
class ScoreRule:
    """Weighting of a spectrum's peaks in its score; stored in ``config.json``.

    The defaults are the rule of versions that store none.

    Attributes
    ----------
    intensity_power, mz_power : float
        A peak weighs ``intensity ** intensity_power * mz ** mz_power``.
    log_p_floor : float or None
        Lower bound of a peak's log probability, so that no single peak decides.
    """

    intensity_power: float = 0.5
    mz_power: float = 0.0
    log_p_floor: float | None = None

    def weights(self, mzs: Array, relative_intensities: Array) -> Array:
        """Return weights (P,) that add up to 1."""
        weights = relative_intensities**self.intensity_power
        if self.mz_power:
            weights = weights * mzs**self.mz_power
        return weights / max(weights.sum(), 1e-12)


FIRST_RULE = ScoreRule()


@dataclass(frozen=True)
class ModelPeaks:
    """The peaks of one spectrum that the model scores for a precursor.

    Attributes
    ----------
    mzs, intensities : array of shape (P,)
        Ascending in m/z; intensities relative to the spectrum's base peak.
    weights : array of shape (P,)
        How much each counts, by a :class:`ScoreRule`; they add up to 1.
    impossible_mzs : array
        Peaks above the precursor that no ion of the structure gives.
    """

    mzs: Array
    intensities: Array
    weights: Array
    impossible_mzs: Array


def select_peaks(
    mzs: Array,
    intensities: Array,
    precursor_mz: float,
    *,
    keep_impossible: bool = True,
    rule: ScoreRule = FIRST_RULE,
) -> ModelPeaks:
    """Select the peaks to score: the highest, without the precursor's isotopes.

    Peaks above the precursor are kept and listed, as nothing explains them; at least one peak
    is kept. For training, where the structure is known, such peaks are noise: with
    ``keep_impossible=False`` they are removed, and no peak may remain.
    """
    base_peak = intensities.max()
    relative = intensities / base_peak
    keep = relative >= MIN_RELATIVE_INTENSITY
    above = mzs > precursor_mz + PRECURSOR_MARGIN
    isotope = np.zeros(len(mzs), dtype=bool)
    for shift in _ISOTOPE_SHIFTS:
        isotope |= np.abs(mzs - precursor_mz - shift) <= 0.01
    if (keep & ~isotope).any():
        keep &= ~isotope
    if not keep_impossible:
        keep &= ~above
    indices = np.flatnonzero(keep)
    if len(indices) > MAX_MODEL_PEAKS:
        strongest = np.argsort(-relative[indices], kind="stable")[:MAX_MODEL_PEAKS]
        indices = np.sort(indices[strongest])
    return ModelPeaks(
        mzs[indices],
        relative[indices],
        rule.weights(mzs[indices], relative[indices]),
        mzs[keep & above],
    )


def ion_offsets(adduct: Adduct) -> tuple[float, float | None]:
    """Return the offsets from a fragment's mass to m/z: bare ions, and ions that keep the group.

    The m/z of fragment f with k hydrogens is ``mass + k * HYDROGEN_MASS + offset``. A metal,
    halide, ammonium or other group of the adduct may stay on the fragment; protonated,
    deprotonated and charged molecules have none (None), nor have multiply charged ions.
    """
    bare = -ELECTRON_MASS if adduct.charge > 0 else ELECTRON_MASS
    shift = adduct.mass_shift - bare
    only_hydrogen = abs(shift - round(shift / HYDROGEN_MASS) * HYDROGEN_MASS) < 1e-5
    if adduct.n_molecules != 1 or abs(adduct.charge) != 1 or (only_hydrogen and abs(shift) < 2.5):
        return bare, None
    return bare, adduct.mass_shift


def outcome_offsets(bare: float, group: float | None) -> Array:
    """Return the K differences between an ion's m/z and its fragment's mass; NaN where none."""
    shifts = np.array(HYDROGEN_SHIFTS, dtype=np.float64) * HYDROGEN_MASS
    shifts[: len(BARE_SHIFTS)] += bare
    shifts[len(BARE_SHIFTS) :] += np.nan if group is None else group
    return shifts


def match_peaks(
    mzs: Array,
    fragment_masses: Array,
    fragment_hydrogens: Array,
    offsets: Array,
    tolerance_ppm: float = PEAK_TOLERANCE_PPM,
    tolerance_floor: float = PEAK_TOLERANCE_FLOOR,
    order: Array | None = None,
) -> tuple[Array, Array]:
    """Find every ion within the tolerance of every peak.

    Parameters
    ----------
    mzs : array of shape (P,)
    fragment_masses, fragment_hydrogens : array of shape (F,)
        In any order.
    offsets : array of shape (K,)
        From :func:`outcome_offsets`.
    order : array of shape (F,), optional
        Argsort of the fragments by mass, if known already.

    Returns
    -------
    peaks, outcomes : arrays of shape (N,)
        Index of the peak; ``fragment * K + k`` of the ion. By peak, then k, then mass.
    """
    if order is None:
        order = np.argsort(fragment_masses, kind="stable")
    return _match(
        mzs,
        fragment_masses[order],
        order,
        fragment_hydrogens,
        offsets,
        _SHIFTS,
        tolerance_ppm * 1e-6,
        tolerance_floor,
    )


@njit
def _widened(values):  # type: ignore[no-untyped-def]
    """Return values in an array of twice the length."""
    wider = np.empty(2 * len(values), dtype=np.int64)
    for i in range(len(values)):  # a slice would take two seconds to compile
        wider[i] = values[i]
    return wider


@compiled(nogil=True)
def _match(mzs, masses, order, hydrogens, offsets, shifts, relative, floor):  # type: ignore[no-untyped-def]
    n_outcomes = len(offsets)
    peaks = np.empty(256, dtype=np.int64)
    outcomes = np.empty(256, dtype=np.int64)
    count = 0
    for p in range(len(mzs)):
        tolerance = max(mzs[p] * relative, floor)
        for k in range(n_outcomes):
            target = mzs[p] - offsets[k]
            if not target > 0:  # also where the adduct has no group
                continue
            i, stop = 0, len(masses)
            while i < stop:
                middle = (i + stop) // 2
                if masses[middle] < target - tolerance:
                    i = middle + 1
                else:
                    stop = middle
            while i < len(masses) and masses[i] <= target + tolerance:
                fragment = order[i]
                i += 1
                if hydrogens[fragment] + shifts[k] < 0:
                    continue
                if count == len(peaks):
                    peaks, outcomes = _widened(peaks), _widened(outcomes)
                peaks[count] = p
                outcomes[count] = fragment * n_outcomes + k
                count += 1
    return peaks[:count], outcomes[:count]
