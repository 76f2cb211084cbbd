"""Measurement conditions of spectra that do not state them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from team5.data.hypotheses import parse_hypotheses
from team5.data.metadata import text_or_none
from team5.data.spectrum import Spectrum, checked_precursor


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a spectrum was, or is to be, measured.

    Raises
    ------
    AdductError
        If `adduct`, which is one, several or ``auto`` as for `Spectrum`, is not understood.
    SpectrumError
        If `precursor_mz` is no finite number above 0.
    """

    adduct: str | Sequence[str] | None = None
    precursor_mz: float | None = None
    collision_energy: str | float | None = None
    instrument_type: str | None = None

    def __post_init__(self) -> None:
        checked_precursor(self.precursor_mz)
        if isinstance(self.adduct, list | tuple):
            # As one string it survives a round trip through JSON.
            names = parse_hypotheses([str(name) for name in self.adduct])
            object.__setattr__(self, "adduct", ",".join(names))
        elif isinstance(self.adduct, str) and text_or_none(self.adduct) is not None:
            parse_hypotheses(self.adduct)

    def spectrum(self, mzs: Any, intensities: Any, identifier: str = "") -> Spectrum:
        """Return a validated spectrum of peaks under these conditions."""
        return Spectrum(mzs, intensities, identifier=identifier, **dataclasses.asdict(self))

    def fill(self, spectrum: Spectrum) -> Spectrum:
        """Return a spectrum with its missing conditions filled in."""
        lacking = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value is not None and getattr(spectrum, name) is None
        }
        return replace(spectrum, **lacking) if lacking else spectrum
