"""Record: a spectrum with what its library says about the molecule; and records left out."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from team5.chemistry.notation import to_smiles
from team5.constants import MAX_PEAKS
from team5.data.metadata import (
    Fields,
    conditions_of,
    first_number,
    identity_of,
    ion_of,
    ms_level,
    text_or_none,
)
from team5.data.spectrum import Spectrum
from team5.errors import MoleculeError, SpectrumError

_FOLDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_ABOUT_THE_MOLECULE = (
    "smiles", "inchi", "inchikey", "formula", "license", "contributor", "fold",
)  # fmt: skip
# Why a record is left out, by code; equal faults are counted together.
REASONS = {
    "no_peaks": "no peaks",
    "all_intensities_zero": "all intensities are 0",
    "lengths_differ": "m/z values and intensities differ in number",
    "not_finite": "peaks with NaN or infinite values",
    "mz_not_positive": "peaks at m/z 0 or below",
    "negative_intensity": "peaks of negative intensity",
    "peaks_not_understood": "peak list not understood",
    "record_not_understood": "record not understood",
    "n_peaks_differ": "another number of peaks than announced",
    "no_end": "record without END IONS",
    "no_begin": "record without BEGIN IONS",
    "not_ms2": "not MS2",
    "deprecated": "deprecated by its library",
    "n_columns_differ": "another number of columns than the header",
    "unknown_fold": "fold is none of train, val, test",
    "no_smiles": "no SMILES",
}


class LeftOut(NamedTuple):
    """A record that cannot be used: why, as code and text, and its place in the file."""

    code: str
    reason: str
    place: str = ""


class Skipped(Counter[str]):
    """Counts records left out by reason, and lists them with their places.

    Attributes
    ----------
    records : list of LeftOut
        In order; whoever reads a long file may empty it between records.
    """

    def __init__(self) -> None:
        self.records: list[LeftOut] = []
        super().__init__()


def leave_out(skipped: Counter[str], code: str, place: str = "", detail: str = "") -> None:
    """Count a record as left out for the reason with this code."""
    reason = f"{REASONS[code]} ({detail})" if detail else REASONS[code]
    skipped[reason] += 1
    if isinstance(skipped, Skipped):
        skipped.records.append(LeftOut(code, reason, place))


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a spectral library.

    Attributes
    ----------
    spectrum : Spectrum
    smiles : str or None
        As the library writes it, or made of its InChI where it has no SMILES; not parsed yet.
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


def record_of(
    skipped: Counter[str],
    fields: Fields,
    mzs: ArrayLike,
    intensities: ArrayLike,
    *,
    name: str,
    place: str,
    minutes: bool = False,
) -> Record | None:
    """Return the record of fields by `team5.data.metadata`, or count why there is none.

    Parameters
    ----------
    skipped : Counter
    fields : dict of str to str
    mzs, intensities : array of shape (P,)
    name : str
        Identifier of a record that says none itself.
    place : str
        Where in the file it stands.
    minutes : bool, default False
        Whether retention times without a unit are minutes.
    """
    level = ms_level(fields["ms_level"]) if "ms_level" in fields else None
    if level is None and fields.get("correlated", "").upper() == "CORRELATED MS":
        level = "1"
    if level not in (None, "2"):
        leave_out(skipped, "not_ms2", place, fields.get("ms_level", "1"))
        return None
    identifier = fields.get("identifier") or fields.get("title") or name
    molecule: dict[str, Any] = {about: fields.get(about) for about in _ABOUT_THE_MOLECULE}
    return make_record(
        skipped,
        mzs,
        intensities,
        identifier=identifier,
        place=place,
        **conditions_of(fields, identifier),
        **identity_of(fields, minutes),
        **molecule,
    )


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
    inchi: object = None,
    inchikey: object = None,
    formula: object = None,
    license: object = None,  # noqa: A002  (the name of the column)
    contributor: object = None,
    fold: object = None,
    feature_id: str | None = None,
    scan: str | None = None,
    retention_time: float | None = None,
    group: str | None = None,
    notes: tuple[str, ...] = (),
    place: str = "",
) -> Record | None:
    """Return a record made from what a file says, or count why there is none.

    Only peaks that are none, and a fold nobody knows, cost a record. Texts that say nothing
    ("N/A", "unknown") count as missing, and so does a precursor m/z of 0, which some libraries
    write for "not known"; an adduct that is not understood leaves its sign and a note.
    """
    place = place or identifier
    known_fold = text_or_none(fold)
    if known_fold is not None and known_fold.casefold() not in _FOLDS:
        leave_out(skipped, "unknown_fold", place)
        return None
    ion, mode, more = ion_of(text_or_none(adduct) or "", "" if ion_mode is None else str(ion_mode))
    notes = (*notes, *more)
    mz = first_number(precursor_mz)
    if mz is None and re.search("[1-9a-z]", text_or_none(precursor_mz) or "", re.IGNORECASE):
        notes = (*notes, f"precursor {str(precursor_mz)[:60]!r} is not understood and left out")
    try:
        if len(mzs) > MAX_PEAKS and len(mzs) == len(intensities):  # type: ignore[arg-type]
            notes = (*notes, f"the highest {MAX_PEAKS} of {len(mzs)} peaks are kept")  # type: ignore[arg-type]
            mzs, intensities = _highest(mzs, intensities)
        spectrum = Spectrum(
            mzs,  # type: ignore[arg-type]  # any array-like is checked and converted
            intensities,  # type: ignore[arg-type]
            precursor_mz=mz,
            adduct=ion,
            collision_energy=_plain(collision_energy),  # type: ignore[arg-type]
            instrument_type=text_or_none(instrument_type),
            ion_mode=mode,
            identifier=identifier,
            feature_id=feature_id,
            scan=scan,
            retention_time=retention_time,
            group=group,
            notes=notes,
        )
    except SpectrumError as error:
        leave_out(skipped, error.code if error.code in REASONS else "peaks_not_understood", place)
        return None
    except (TypeError, ValueError):
        leave_out(skipped, "peaks_not_understood", place)
        return None
    structure = text_or_none(smiles) or text_or_none(inchi)
    return Record(
        spectrum,
        smiles=_smiles_of(structure) if structure and structure.startswith("InChI=") else structure,
        inchikey14=_first_block(inchikey),
        formula=text_or_none(formula),
        license=text_or_none(license),
        contributor=text_or_none(contributor),
        fold=_FOLDS[known_fold.casefold()] if known_fold else None,
    )


def _highest(mzs: ArrayLike, intensities: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    mz, height = np.asarray(mzs, dtype=float), np.asarray(intensities, dtype=float)
    # NaN sorts last and so stays, to be refused.
    highest = np.sort(np.argsort(height, kind="stable")[-MAX_PEAKS:])
    return mz[highest], height[highest]


def _plain(energy: object) -> str | float | None:
    """Return an energy as number or text; what is neither, or infinite, says nothing."""
    if isinstance(energy, (int, float, np.number)) and not isinstance(energy, bool):
        number = float(energy)
        return number if math.isfinite(number) else None
    return energy if isinstance(energy, str) else None


@lru_cache(maxsize=65_536)
def _smiles_of(inchi: str) -> str:
    """Return the SMILES of an InChI; one that is not understood as it is, to be counted later."""
    try:
        return to_smiles(inchi)
    except MoleculeError:
        return inchi


def _first_block(inchikey: object) -> str | None:
    match = re.match(r"(?:InChIKey=)?([A-Z]{14})(?![A-Z])", str(inchikey or "").strip())
    return match[1] if match else None
