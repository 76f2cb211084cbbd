"""Checks of search settings, shared by commands, requests and the page."""

from __future__ import annotations

from collections.abc import Collection

from team5.errors import ConfigError

# Candidates reported for a spectrum.
KEEP = 100
_MAX_PPM = 1_000_000


def is_count(value: object, least: int = 1) -> bool:
    """Tell whether a value is a whole number of at least ``least``; True is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_window(ppm: object, keep: object) -> None:
    """Refuse an invalid window around the precursor, or number of candidates.

    Raises
    ------
    ConfigError
    """
    if not isinstance(ppm, int | float) or isinstance(ppm, bool) or not 0 <= ppm < _MAX_PPM:
        raise ConfigError(
            f"ppm={ppm}: give the half-width of the window, 10 or so.", argument="ppm"
        )
    if not is_count(keep):
        raise ConfigError(f"keep={keep}: give a number of candidates, 1 or more.", argument="keep")


def check_one_source(arguments: Collection[str]) -> None:
    """Refuse a library together with other structures, by the names of the arguments.

    Raises
    ------
    ConfigError
    """
    if "library" not in arguments:
        return
    for name in ("candidates", "smiles", "references"):
        if name in arguments:
            raise ConfigError(
                f"library= and {name}= both name structures; with library= candidates are "
                "compared with each other. Give one of the two.",
                argument=name,
            )
