"""Conditions: how spectra were measured, for those that do not say so themselves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

from team5.data.spectrum import Spectrum


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a spectrum was, or is to be, measured."""

    adduct: str | None = None
    precursor_mz: float | None = None
    collision_energy: str | float | None = None
    instrument_type: str | None = None

    def spectrum(self, mzs: Any, intensities: Any, identifier: str = "") -> Spectrum:
        """Return peaks under these conditions, checked."""
        return Spectrum(mzs, intensities, identifier=identifier, **dataclasses.asdict(self))

    def fill(self, spectrum: Spectrum) -> Spectrum:
        """Return a spectrum with what it lacks."""
        lacking = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value is not None and getattr(spectrum, name) is None
        }
        return replace(spectrum, **lacking) if lacking else spectrum
