"""Records of spectral libraries: a spectrum with its molecule; and records left out."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from team5.chemistry.notation import to_smiles
from team5.constants import MAX_PEAKS
from team5.data.metadata import Fields, conditions_of, identity_of, ms_level
from team5.data.spectrum import Spectrum
from team5.errors import MoleculeError, SpectrumError

_FOLDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_INCHIKEY = re.compile(r"(?:InChIKey=)?([A-Z]{14})(?![A-Z])")
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
    "not_ms2": "{} spectrum, not MS2",
    "deprecated": "deprecated by its library",
    "n_columns_differ": "another number of columns than the header",
    "unknown_fold": "fold is none of train, val, test",
    "no_smiles": "no SMILES",
}


class LeftOut(NamedTuple):
    """A record that cannot be used: the reason, as code and text, and its place in the file."""

    code: str
    reason: str
    place: str = ""


class Skipped(Counter[str]):
    """Counts records left out by reason, and lists them with their places.

    Attributes
    ----------
    records : list of LeftOut
        In order; may be emptied between records of a long file.
    """

    def __init__(self) -> None:
        self.records: list[LeftOut] = []
        super().__init__()


def leave_out(skipped: Counter[str], code: str, place: str = "", detail: str = "") -> None:
    """Count a record as left out for the reason with this code, of which ``detail`` is a part."""
    reason = REASONS[code].format(detail)
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
        As the library writes it, or converted from its InChI if it has no SMILES; not parsed yet.
    inchikey14 : str or None
        First block of the library's InChIKey.
    formula : str or None
    license : str or None
        As the library writes it. ``None`` for files that state none, such as a user's.
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
    notes: tuple[str, ...] = (),
) -> Record | None:
    """Build a record from a file's fields and peaks, or count why there is none.

    Only invalid peaks, a level other than MS2 and an unknown fold make a record unusable. A
    precursor m/z of 0, which some libraries write for "not known", counts as missing; of an adduct
    that is not understood only the sign is kept, with a note.

    Parameters
    ----------
    skipped : Counter
    fields : dict of str to str
        By meaning, as `team5.data.metadata.fields_of` returns them.
    mzs, intensities : array of shape (P,)
    name : str
        Identifier of a record without one.
    place : str
        Its place in the file.
    minutes : bool, default False
        Whether retention times without a unit are minutes.
    notes : tuple of str
        Oddities found in the file.
    """
    get = fields.get
    level = ms_level(fields["ms_level"]) if "ms_level" in fields else None
    if level is None and get("correlated", "").upper() == "CORRELATED MS":
        level = "1"
    if level not in (None, "2"):
        leave_out(skipped, "not_ms2", place, f"MS{level}")
        return None
    fold = get("fold")
    if fold is not None and fold.casefold() not in _FOLDS:
        leave_out(skipped, "unknown_fold", place)
        return None
    identifier = get("identifier") or get("title") or name
    conditions = conditions_of(fields, identifier)
    notes += conditions.pop("notes")
    try:
        if len(mzs) > MAX_PEAKS and len(mzs) == len(intensities):  # type: ignore[arg-type]
            notes += (f"the highest {MAX_PEAKS} of {len(mzs)} peaks are kept",)  # type: ignore[arg-type]
            mzs, intensities = _highest(mzs, intensities)
        spectrum = Spectrum(
            mzs,  # type: ignore[arg-type]  # any array-like is checked and converted
            intensities,  # type: ignore[arg-type]
            identifier=identifier,
            notes=notes,
            **conditions,
            **identity_of(fields, minutes),
        )
    except SpectrumError as error:
        leave_out(skipped, error.code if error.code in REASONS else "peaks_not_understood", place)
        return None
    except (TypeError, ValueError):
        leave_out(skipped, "peaks_not_understood", place)
        return None
    smiles = get("smiles") or get("inchi")
    return Record(
        spectrum,
        smiles=_smiles_of(smiles) if smiles and smiles.startswith("InChI=") else smiles,
        inchikey14=_first_block(fields["inchikey"]) if "inchikey" in fields else None,
        formula=get("formula"),
        license=get("license"),
        contributor=get("contributor"),
        fold=_FOLDS[fold.casefold()] if fold else None,
    )


def _highest(mzs: ArrayLike, intensities: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    mz, height = np.asarray(mzs, dtype=float), np.asarray(intensities, dtype=float)
    # NaN sorts last and so is kept, to be refused later.
    highest = np.sort(np.argsort(height, kind="stable")[-MAX_PEAKS:])
    return mz[highest], height[highest]


@lru_cache(maxsize=65_536)
def _smiles_of(inchi: str) -> str:
    """Return the SMILES of an InChI; an invalid one is returned unchanged, to be counted later."""
    try:
        return to_smiles(inchi)
    except MoleculeError:
        return inchi


def _first_block(inchikey: str) -> str | None:
    match = _INCHIKEY.match(inchikey)
    return match[1] if match else None
