"""Similarity of a predicted and a measured spectrum."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.errors import ConfigError, SpectrumError


def _peaks(mzs: ArrayLike, intensities: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    mz_array = np.asarray(mzs, dtype=np.float64)
    intensity_array = np.asarray(intensities, dtype=np.float64)
    if mz_array.ndim != 1 or mz_array.shape != intensity_array.shape:
        raise SpectrumError(
            f"m/z values of shape {mz_array.shape} but intensities of shape "
            f"{intensity_array.shape}. Give every peak both."
        )
    usable = np.isfinite(mz_array) & np.isfinite(intensity_array)
    if not (usable.all() and (mz_array >= 0).all() and (intensity_array >= 0).all()):
        raise SpectrumError("m/z values and intensities must be finite and not negative.")
    return mz_array, intensity_array


def cosine(
    mzs_a: ArrayLike,
    intensities_a: ArrayLike,
    mzs_b: ArrayLike,
    intensities_b: ArrayLike,
    bin_width: float = 0.01,
    *,
    precursor_mz: float | None = None,
    sqrt: bool = False,
) -> float:
    """Return the cosine, 0 to 1, between two spectra summed into bins.

    Parameters
    ----------
    mzs_a, intensities_a : array of shape (P,)
        One spectrum; order and unit of the intensities do not matter.
    mzs_b, intensities_b : array of shape (R,)
        The other.
    bin_width : float, default 0.01
        Width of the bins in m/z, the first from 0.
    precursor_mz : float, optional
        If given, its bin is left out: the precursor peak is easily predicted
        and can outweigh all others.
    sqrt : bool, default False
        Take the square root of each bin, which gives small peaks more weight.

    Returns
    -------
    float
        0 if either spectrum has no peaks.

    Raises
    ------
    SpectrumError
        If lengths differ or a value is negative, NaN or infinite.

    References
    ----------
    Bins of 0.01 with raw intensities, the precursor kept, are MassSpecGym's measure of simulated
    spectra: Bushuiev et al., NeurIPS Datasets and Benchmarks (2024).
    """
    if not bin_width > 0:
        raise ConfigError(f"bin_width={bin_width}; give a width in m/z above 0.")
    peaks = _peaks(mzs_a, intensities_a), _peaks(mzs_b, intensities_b)
    mzs, intensities = (np.concatenate(values) for values in zip(*peaks, strict=True))
    spectrum = np.repeat([0, 1], [each[0].size for each in peaks])
    bins = np.floor(mzs / bin_width).astype(np.int64)
    if precursor_mz is not None:
        in_other_bins = bins != int(precursor_mz // bin_width)
        bins, intensities, spectrum = (
            bins[in_other_bins],
            intensities[in_other_bins],
            spectrum[in_other_bins],
        )
    occupied, column = np.unique(bins, return_inverse=True)
    binned = np.zeros((2, occupied.size))
    np.add.at(binned, (spectrum, column), intensities)
    if sqrt:
        binned = np.sqrt(binned)
    # Scaled first, so that no unit of intensity under- or overflows in the squares.
    binned /= np.maximum(binned.max(axis=1, keepdims=True, initial=0.0), np.finfo(float).tiny)
    norm = np.linalg.norm(binned[0]) * np.linalg.norm(binned[1])
    return min(float(binned[0] @ binned[1] / norm), 1.0) if norm > 0 else 0.0


def spectral_entropy_similarity(
    mzs_a: ArrayLike,
    intensities_a: ArrayLike,
    mzs_b: ArrayLike,
    intensities_b: ArrayLike,
    tolerance: float = 0.02,
) -> float:
    """Return the spectral entropy similarity, 0 to 1, with its authors' weighting.

    It is 0 if either spectrum has no peaks.

    Parameters
    ----------
    mzs_a, intensities_a, mzs_b, intensities_b
        Two spectra; errors are those of `cosine`. Peaks closer to each other than twice
        the tolerance should have been merged before.
    tolerance : float, default 0.02
        Two peaks are the same within this distance in m/z.

    References
    ----------
    Li et al., Nature Methods 18:1524 (2021).
    """
    if not tolerance >= 0:
        raise ConfigError(f"tolerance={tolerance}; give a distance in m/z of at least 0.")
    mzs_a, weights_a = _entropy_weighted(*_peaks(mzs_a, intensities_a))
    mzs_b, weights_b = _entropy_weighted(*_peaks(mzs_b, intensities_b))
    if not mzs_a.size or not mzs_b.size:
        return 0.0
    merged = _merged_weights(mzs_a, weights_a, mzs_b, weights_b, tolerance)
    distance = 2 * _entropy(merged) - _entropy(weights_a) - _entropy(weights_b)
    return float(np.clip(1 - distance / np.log(4), 0.0, 1.0))


def without_precursor(
    mzs: ArrayLike, intensities: ArrayLike, precursor_mz: float, tolerance: float = 0.02
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the peaks further from the precursor than a tolerance in m/z, by default 0.02.

    The precursor peak is easily predicted and can outweigh all others.
    """
    mz_array, intensity_array = _peaks(mzs, intensities)
    is_far = np.abs(mz_array - precursor_mz) > tolerance
    return mz_array[is_far], intensity_array[is_far]


def merge_close_peaks(
    mzs: ArrayLike, intensities: ArrayLike, distance: float = 0.04
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge every peak with those within a distance in m/z, the highest peaks first.

    Spectral entropy similarity requires this, at twice its tolerance.

    Returns
    -------
    mzs, intensities : arrays of shape (R,)
        Ascending in m/z; intensities added up, m/z their weighted means.
    """
    mz_array, intensity_array = _peaks(mzs, intensities)
    is_unmerged = intensity_array > 0
    merged = []
    for peak in np.argsort(-intensity_array, kind="stable"):
        if not is_unmerged[peak]:
            continue
        members = is_unmerged & (np.abs(mz_array - mz_array[peak]) <= distance)
        is_unmerged &= ~members
        total = intensity_array[members].sum()
        merged.append(((mz_array[members] * intensity_array[members]).sum() / total, total))
    ordered = np.array(sorted(merged), dtype=np.float64).reshape(-1, 2)
    return ordered[:, 0], ordered[:, 1]


def _entropy(weights: NDArray[np.float64]) -> float:
    """Return the Shannon entropy, in nats, of weights that are positive and sum to 1."""
    return float(-(weights * np.log(weights)).sum())


def _entropy_weighted(
    mzs: NDArray[np.float64], intensities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the peaks in order of m/z with weights that sum to 1.

    Spectra of low entropy, below 3, are flattened: a few large peaks would decide alone.
    """
    order = np.argsort(mzs, kind="stable")
    order = order[intensities[order] > 0]
    if not order.size:
        return mzs[order], intensities[order]
    scaled = intensities[order] / intensities[order].max()
    weights = scaled / scaled.sum()
    entropy = _entropy(weights)
    if entropy < 3:
        weights = weights ** (0.25 + 0.25 * entropy)
        weights /= weights.sum()
    return mzs[order], weights


def _merged_weights(
    mzs_a: NDArray[np.float64],
    weights_a: NDArray[np.float64],
    mzs_b: NDArray[np.float64],
    weights_b: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Return the weights of the half-and-half mixture, merging peaks within the tolerance."""
    merged: list[float] = []
    i = j = 0
    while i < mzs_a.size and j < mzs_b.size:
        difference = mzs_a[i] - mzs_b[j]
        if difference < -tolerance:
            merged.append(weights_a[i])
            i += 1
        elif difference > tolerance:
            merged.append(weights_b[j])
            j += 1
        else:
            merged.append(weights_a[i] + weights_b[j])
            i += 1
            j += 1
    return np.concatenate([merged, weights_a[i:], weights_b[j:]]) / 2
