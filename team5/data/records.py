"""Record: a spectrum with what its library says about the molecule."""

from dataclasses import dataclass

from team5.data.spectrum import Spectrum


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a spectral library.

    Attributes
    ----------
    spectrum : Spectrum
    smiles : str or None
        As the library writes it; not parsed yet.
    inchikey14 : str or None
        First block of the InChIKey the library gives.
    formula : str or None
    license : str or None
        As the library writes it. ``None`` for files that know no licences, such as one's own.
    contributor : str or None
    fold : {"train", "val", "test"} or None
    """

    spectrum: Spectrum
    smiles: str | None = None
    inchikey14: str | None = None
    formula: str | None = None
    license: str | None = None
    contributor: str | None = None
    fold: str | None = None
