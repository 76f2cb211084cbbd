"""Record: a spectrum with what its library says about the molecule."""

import re
from collections import Counter
from dataclasses import dataclass

from numpy.typing import ArrayLike

from team5.data.spectrum import Spectrum, text_or_none
from team5.errors import AdductError, SpectrumError

_FOLDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


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


def make_record(
    skipped: Counter[str],
    mzs: ArrayLike,
    intensities: ArrayLike,
    *,
    identifier: str = "",
    precursor_mz: object = None,
    adduct: object = None,
    collision_energy: object = None,
    instrument_type: object = None,
    ion_mode: object = None,
    smiles: object = None,
    inchikey: object = None,
    formula: object = None,
    license: object = None,  # noqa: A002  (the name of the column)
    contributor: object = None,
    fold: object = None,
) -> Record | None:
    """Return a record made from what a file says, or count why there is none.

    Texts that say nothing ("N/A", "unknown") count as missing, and so does a precursor m/z of 0,
    which some libraries write for "not known".
    """
    known_fold = text_or_none(fold)
    if known_fold is not None and known_fold.casefold() not in _FOLDS:
        skipped["fold is none of train, val, test"] += 1
        return None
    try:
        spectrum = Spectrum(
            mzs,  # type: ignore[arg-type]  # any array-like is checked and converted
            intensities,  # type: ignore[arg-type]
            precursor_mz=first_number(precursor_mz),
            adduct=text_or_none(adduct),
            collision_energy=collision_energy,  # type: ignore[arg-type]
            instrument_type=text_or_none(instrument_type),
            ion_mode=ion_mode,  # type: ignore[arg-type]  # here "-" says something
            identifier=identifier,
        )
    except AdductError:
        skipped["adduct not understood"] += 1
        return None
    except SpectrumError as error:
        skipped[_reason(str(error).removeprefix(f"{identifier}: "))] += 1
        return None
    return Record(
        spectrum,
        smiles=text_or_none(smiles),
        inchikey14=_first_block(inchikey),
        formula=text_or_none(formula),
        license=text_or_none(license),
        contributor=text_or_none(contributor),
        fold=_FOLDS[known_fold.casefold()] if known_fold else None,
    )


def first_number(value: object) -> float | None:
    """Return the first positive number in "195.0877 1200" (m/z and intensity), if there is one."""
    text = text_or_none(value)
    if text is None:
        return None
    match = re.search(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", text)
    number = float(match[0]) if match else 0.0
    return number if number > 0 else None


def _first_block(inchikey: object) -> str | None:
    match = re.match(r"(?:InChIKey=)?([A-Z]{14})(?![A-Z])", str(inchikey or "").strip())
    return match[1] if match else None


# A spectrum's error names record and values; equal faults are counted together under one name.
_REASONS = (
    ("no peaks", "no peaks"),
    ("peaks; at most", "too many peaks"),
    ("all intensities are 0", "all intensities are 0"),
    ("m/z values but", "m/z values and intensities differ in number"),
    ("is not a finite number", "peaks with NaN or infinite values"),
    ("is not above 0", "peaks at m/z 0 or below"),
    ("is negative", "peaks of negative intensity"),
    ("ion mode.", "adduct contradicts the ion mode"),
    ("ion mode ", "ion mode not understood"),
)


def _reason(error_text: str) -> str:
    for part, reason in _REASONS:
        if part in error_text:
            return reason
    return "peak list not understood"
