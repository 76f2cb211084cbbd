"""Strata by which metrics are broken down, and their order."""

from collections.abc import Mapping

from team5.errors import ConfigError

N_CANDIDATES = "number of candidates"
ADDUCT = "adduct"
ION_MODE = "ion mode"
COLLISION_ENERGY = "collision energy"
SIMILARITY = "similarity to the nearest training structure"
EXPLAINED = "intensity that the true structure explains"

UNKNOWN = "unknown"
# By condition: lower bound and name of each stratum; names are keys of the JSON report.
_STRATA: dict[str, tuple[tuple[float, str], ...]] = {
    N_CANDIDATES: ((2, "2 to 5"), (6, "6 to 20"), (21, "21 to 49"), (50, "50 or more")),
    COLLISION_ENERGY: (
        (0, "low, below 25"),
        (25, "medium, 25 to 50"),
        (50, "high, from 50"),
        (float("inf"), UNKNOWN),
    ),
    SIMILARITY: (
        (0.0, "below 0.35"),
        (0.35, "0.35 to 0.45"),
        (0.45, "0.45 to 0.55"),
        (0.55, "0.55 to 0.85"),
        (0.85, "0.85 or more"),
    ),
    EXPLAINED: (
        (0.0, "below 30 %"),
        (0.3, "30 to 60 %"),
        (0.6, "60 to 80 %"),
        (0.8, "80 to 95 %"),
        (0.95, "95 % or more"),
    ),
}


def stratum_of(condition: str, value: float | None) -> str:
    """Return the stratum that a value falls into.

    Parameters
    ----------
    condition : str
        `N_CANDIDATES` of a list, at least 2; `SIMILARITY`, a Tanimoto similarity, and `EXPLAINED`,
        a share of intensity, both 0 to 1; or `COLLISION_ENERGY` as eV at m/z 500
        (``eV * 500 / precursor m/z``, which is NCE): the same eV are little for a heavy ion and
        much for a light one.
    value : float or None
        None is unknown.
    """
    if value is None:
        return UNKNOWN
    names = [name for start, name in _STRATA[condition] if value >= start]
    if not names:
        first = _STRATA[condition][0][0]
        raise ConfigError(f"{value} is below the first stratum, which begins at {first}.")
    return names[-1]


def stratum_order(condition: str, sizes: Mapping[str, int]) -> list[str]:
    """Return the strata of a condition in order: numbers ascending, names by size."""
    if condition in _STRATA:
        return [name for _, name in _STRATA[condition] if name in sizes]
    return sorted(sizes, key=lambda name: (-sizes[name], name))
