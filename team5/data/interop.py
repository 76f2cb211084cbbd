"""Spectra from matchms and to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from team5.chemistry.adducts import parse_adduct
from team5.data.readers.peak_lists import conditions_of, identifier_of
from team5.data.records import first_number
from team5.data.spectrum import Spectrum

if TYPE_CHECKING:
    import matchms


def from_matchms(spectrum: matchms.Spectrum) -> Spectrum:
    """Return a spectrum of matchms; see `Spectrum.from_matchms`."""
    metadata = spectrum.metadata
    identifier = identifier_of(metadata) or ""
    conditions = conditions_of(metadata, identifier)
    # Libraries write a precursor of 0 where they do not know it.
    conditions["precursor_mz"] = first_number(conditions["precursor_mz"])
    return Spectrum(
        spectrum.peaks.mz, spectrum.peaks.intensities, identifier=identifier, **conditions
    )


def to_matchms(spectrum: Spectrum) -> matchms.Spectrum:
    """Return a spectrum as matchms has it; see `Spectrum.to_matchms`."""
    import matchms

    metadata: dict[str, Any] = {
        "spectrum_id": spectrum.identifier or None,
        "precursor_mz": spectrum.precursor_mz,
        "adduct": spectrum.adduct,
        "charge": None if spectrum.adduct is None else parse_adduct(spectrum.adduct).charge,
        "ionmode": spectrum.ion_mode,
        "collision_energy": spectrum.collision_energy,
        "instrument_type": spectrum.instrument_type,
    }
    # Copies, as matchms lets its users change peaks in place.
    return matchms.Spectrum(
        spectrum.mzs.copy(),
        spectrum.intensities.copy(),
        metadata={name: value for name, value in metadata.items() if value is not None},
    )
