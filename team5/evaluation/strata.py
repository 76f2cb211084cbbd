"""Bands that figures are broken down by, and the order they are shown in."""

from collections.abc import Mapping, Sequence

from team5.errors import ConfigError

N_CANDIDATES = "number of candidates"
ADDUCT = "adduct"
ION_MODE = "ion mode"
COLLISION_ENERGY = "collision energy"
SIMILARITY = "similarity to the nearest training structure"

EXPLAINED = "intensity that the true structure explains"

UNKNOWN = "unknown"
_N_CANDIDATES_BANDS = ((2, "2 to 5"), (6, "6 to 20"), (21, "21 to 49"), (50, "50 and more"))
_ENERGY_BANDS = ((0, "low, below 25"), (25, "medium, 25 to 50"), (50, "high, from 50"))
_SIMILARITY_BANDS = (
    (0.0, "below 0.35"),
    (0.35, "0.35 to 0.45"),
    (0.45, "0.45 to 0.55"),
    (0.55, "0.55 to 0.85"),
    (0.85, "0.85 and more"),
)
_EXPLAINED_BANDS = (
    (0.0, "below 30 %"),
    (0.3, "30 to 60 %"),
    (0.6, "60 to 80 %"),
    (0.8, "80 to 95 %"),
    (0.95, "95 % and more"),
)
_BANDS: dict[str, Sequence[tuple[float, str]]] = {
    N_CANDIDATES: _N_CANDIDATES_BANDS,
    COLLISION_ENERGY: (*_ENERGY_BANDS, (float("inf"), UNKNOWN)),
    SIMILARITY: _SIMILARITY_BANDS,
    EXPLAINED: _EXPLAINED_BANDS,
}


def n_candidates_band(n_candidates: int) -> str:
    """Return the band of a list of at least two candidates."""
    return _band(n_candidates, _N_CANDIDATES_BANDS)


def collision_energy_band(normalised_energy: float | None) -> str:
    """Return the band of a collision energy: low, medium, high or unknown.

    Parameters
    ----------
    normalised_energy : float, optional
        eV at m/z 500 that break as much (``eV * 500 / precursor m/z``, which is NCE): the same
        eV are little for a heavy ion and much for a light one.
    """
    return UNKNOWN if normalised_energy is None else _band(normalised_energy, _ENERGY_BANDS)


def similarity_band(similarity: float) -> str:
    """Return the band of a Tanimoto similarity, 0 to 1."""
    return _band(similarity, _SIMILARITY_BANDS)


def explained_band(share: float) -> str:
    """Return the band of a share of intensity, 0 to 1."""
    return _band(share, _EXPLAINED_BANDS)


def band_order(condition: str, sizes: Mapping[str, int]) -> list[str]:
    """Return the bands of a condition in order: numbers ascending, names by how many there are."""
    if condition in _BANDS:
        return [name for _, name in _BANDS[condition] if name in sizes]
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _band(value: float, bands: Sequence[tuple[float, str]]) -> str:
    names = [name for start, name in bands if value >= start]
    if not names:
        raise ConfigError(f"{value} is below the first band, which begins at {bands[0][0]}.")
    return names[-1]
