"""Untrained controls, with which metrics are compared."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import SpectrumError

# Of MetFrag's fragmenter score: m/z, intensity and bond energy, as its authors fitted them.
_MZ_POWER, _INTENSITY_POWER, _COST_POWER = 1.84, 0.59, 0.47
# A moved hydrogen costs half as much as cutting a bond between carbon and a hetero atom.
HYDROGEN_COST = 0.5


def mass_error_scores(calculated_mzs: ArrayLike, measured_mz: float | None) -> NDArray[np.float64]:
    """Return the scores of candidates by precursor mass error alone: -|measured - calculated|.

    Parameters
    ----------
    calculated_mzs : array of shape (C,)
        Precursor m/z of each candidate.
    measured_mz : float, optional
        Without it, all candidates are equal.

    Returns
    -------
    array of shape (C,)
        In m/z, rounded to 4 decimals as libraries write precursors; equal ones are ties.
    """
    # Masses of one formula differ in their last bits: rounded first, they stay equal.
    calculated = np.round(np.asarray(calculated_mzs, dtype=np.float64), 6)
    if measured_mz is None:
        return np.zeros(calculated.shape)
    return -np.round(np.abs(calculated - measured_mz), 4)


def bond_breaking_score(
    mzs: ArrayLike, intensities: ArrayLike, match_peaks: ArrayLike, match_costs: ArrayLike
) -> float:
    """Return how cheaply cutting bonds explains a spectrum, 0 to 1, without training.

    ``sum over explained peaks of v / (1 + c)^0.47, divided by the sum over all peaks of v``, where
    ``v = m/z^1.84 * intensity^0.59`` and c is the cost of the cheapest ion at the peak.

    Parameters
    ----------
    mzs, intensities : array of shape (P,)
        Peaks, intensities in any unit.
    match_peaks, match_costs : array of shape (N,)
        Ions within the tolerance of a peak: index of the peak, and the ion's cost: that of the
        bonds cut plus `HYDROGEN_COST` for each hydrogen moved.

    Returns
    -------
    float
        Rounded to 9 digits, so that equal costs summed in different order are ties.

    References
    ----------
    MetFrag's fragmenter score: Ruttkies et al., J. Cheminform. 8:3 (2016).
    """
    mz_array = np.asarray(mzs, dtype=np.float64)
    heights = np.asarray(intensities, dtype=np.float64)
    if mz_array.shape != heights.shape or not mz_array.size:
        raise SpectrumError(
            f"m/z values of shape {mz_array.shape} and intensities of shape {heights.shape}. "
            "Give at least one peak, and every peak both."
        )
    worth = mz_array**_MZ_POWER * heights**_INTENSITY_POWER
    cheapest = np.full(mz_array.shape, np.inf)
    np.minimum.at(
        cheapest,
        np.asarray(match_peaks, dtype=np.int64),
        np.asarray(match_costs, dtype=np.float64),
    )
    # Nothing explains a peak of infinite cost: its share is 0.
    return round(float((worth / (1 + cheapest) ** _COST_POWER).sum() / worth.sum()), 9)
