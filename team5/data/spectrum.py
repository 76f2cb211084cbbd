"""Spectrum: one measured MS/MS spectrum, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.chemistry.adducts import parse_adduct
from team5.constants import MAX_PEAKS
from team5.data.sticks import MEASURED, draw_sticks
from team5.errors import SpectrumError
from team5.runtime.html import render

if TYPE_CHECKING:
    import matchms

# What libraries write where they have nothing to say.
_NOTHING = {"", "n/a", "na", "nan", "none", "null", "unknown", "-", "?", "not available"}
_ION_MODES = {
    "positive": "positive",
    "pos": "positive",
    "p": "positive",
    "+": "positive",
    "1+": "positive",
    "negative": "negative",
    "neg": "negative",
    "n": "negative",
    "-": "negative",
    "1-": "negative",
}


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """One MS/MS spectrum and the conditions it was measured under.

    Peaks may come in any order and unit; they are sorted by m/z, peaks without intensity are
    dropped, and the highest becomes 1.

    Parameters
    ----------
    mzs, intensities : array of shape (P,)
        Lists, arrays or tensors. m/z above 0; intensities from 0, at least one above it.
    precursor_mz : float, optional
    adduct : str, optional
        Any way of writing; becomes the normalised name, ``[M+H]+``.
    collision_energy : str or float, optional
        As the instrument writes it (``35 eV``, ``30 % (nominal)``); a number is in eV.
    instrument_type : str, optional
    ion_mode : {"positive", "negative"}, optional
        Taken from the adduct when that is given.
    identifier : str, optional

    Raises
    ------
    SpectrumError
        If the peaks are no spectrum. The text begins with the identifier, if there is one.
    AdductError
        If the adduct is not understood.
    """

    mzs: NDArray[np.float64]
    intensities: NDArray[np.float64]
    precursor_mz: float | None = None
    adduct: str | None = None
    collision_energy: str | None = None
    instrument_type: str | None = None
    ion_mode: str | None = None
    identifier: str = ""

    def __post_init__(self) -> None:
        identifier = str(self.identifier).strip()
        where = f"{identifier}: " if identifier else ""
        mzs, intensities = _checked_peaks(self.mzs, self.intensities, where)
        adduct = text_or_none(self.adduct)
        ion_mode = _checked_ion_mode(self.ion_mode, where)
        if adduct is not None:
            parsed = parse_adduct(adduct)
            adduct = parsed.name
            if ion_mode not in (None, parsed.ion_mode):
                raise SpectrumError(
                    f"{where}adduct {adduct} in {ion_mode} ion mode. Correct one of the two."
                )
            ion_mode = parsed.ion_mode
        checked = {
            "mzs": mzs,
            "intensities": intensities,
            "precursor_mz": _checked_precursor(self.precursor_mz, where),
            "adduct": adduct,
            "collision_energy": _energy_text(self.collision_energy),
            "instrument_type": text_or_none(self.instrument_type),
            "ion_mode": ion_mode,
            "identifier": identifier,
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_matchms(cls, spectrum: matchms.Spectrum) -> Spectrum:
        """Return a spectrum of matchms, its metadata read as those of the files it reads.

        Raises
        ------
        SpectrumError
            If the peaks are no spectrum.
        AdductError
            If the adduct is not understood.
        """
        from team5.data.interop import from_matchms

        return from_matchms(spectrum)

    def to_matchms(self) -> matchms.Spectrum:
        """Return the spectrum as matchms has it, its metadata under harmonised names."""
        from team5.data.interop import to_matchms

        return to_matchms(self)

    @property
    def n_peaks(self) -> int:
        """Number of peaks with an intensity above 0."""
        return len(self.mzs)

    def __str__(self) -> str:
        count = f"{self.n_peaks} peak{'s' if self.n_peaks != 1 else ''}"
        precursor = None if self.precursor_mz is None else f"precursor {self.precursor_mz:.4f}"
        said = [
            f"{count} from m/z {self.mzs[0]:.4f} to {self.mzs[-1]:.4f}",
            precursor,
            self.adduct or self.ion_mode,
            self.collision_energy,
            self.instrument_type,
        ]
        return f"{self.identifier or 'spectrum'}: {', '.join(text for text in said if text)}"

    def _repr_html_(self) -> str:
        precursor = None if self.precursor_mz is None else f"m/z {self.precursor_mz:.4f}"
        return render(
            "facts_card.html",
            title=self.identifier or "Spectrum",
            drawings=[
                draw_sticks(
                    self.mzs.tolist(),
                    self.intensities.tolist(),
                    [f"{mz:.4f}" for mz in self.mzs],
                    colour=MEASURED,
                )
            ],
            values={
                "precursor": precursor,
                "ion": self.adduct or self.ion_mode,
                "collision energy": self.collision_energy,
                "instrument": self.instrument_type,
                "peaks": f"{self.n_peaks:,}",
            },
            notes=(),
        )


def text_or_none(value: object) -> str | None:
    """Return a metadata value as text, or None for the many ways of writing that there is none."""
    if value is None:
        return None
    text = str(value).strip()
    return None if text.casefold() in _NOTHING else text


def _checked_peaks(
    mzs: ArrayLike, intensities: ArrayLike, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mz = _to_array(mzs, "mzs", where)
    height = _to_array(intensities, "intensities", where)
    if len(mz) != len(height):
        raise SpectrumError(
            f"{where}{len(mz)} m/z values but {len(height)} intensities. Give every peak both."
        )
    if len(mz) == 0:
        raise SpectrumError(f"{where}no peaks. Give at least one m/z with its intensity.")
    if len(mz) > MAX_PEAKS:
        raise SpectrumError(
            f"{where}{len(mz)} peaks; at most {MAX_PEAKS} are taken. "
            "Centroid the spectrum or keep its highest peaks."
        )
    _check_all(np.isfinite(mz), mz, "mzs", "is not a finite number", where)
    _check_all(np.isfinite(height), height, "intensities", "is not a finite number", where)
    _check_all(mz > 0, mz, "mzs", "is not above 0", where)
    _check_all(height >= 0, height, "intensities", "is negative", where)
    base_peak = height.max()
    if base_peak == 0:
        raise SpectrumError(f"{where}all intensities are 0. Give at least one above 0.")
    kept = height > 0
    mz, height = mz[kept], height[kept] / base_peak
    order = np.argsort(mz, kind="stable")
    return mz[order], height[order]


def _to_array(values: Any, name: str, where: str) -> NDArray[np.float64]:
    if hasattr(values, "detach"):  # a torch tensor, maybe on a device or with a gradient
        values = values.detach().cpu().double().numpy()
    if isinstance(values, (str, bytes)) or values is None:
        raise SpectrumError(f"{where}{name} must be numbers, not {values!r}. Give a list of them.")
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpectrumError(f"{where}{name} must be numbers in one flat list: {error}.") from error
    if array.ndim != 1:
        raise SpectrumError(
            f"{where}{name} must be one flat list, not of shape {tuple(array.shape)}. "
            "Give one spectrum at a time."
        )
    return array


def _check_all(
    valid: NDArray[np.bool_], values: NDArray[np.float64], name: str, problem: str, where: str
) -> None:
    if not valid.all():
        index = int(np.argmin(valid))
        raise SpectrumError(f"{where}{name}[{index}] = {values[index]:g} {problem}. Correct it.")


def _checked_precursor(value: object, where: str) -> float | None:
    if value is None:
        return None
    try:
        precursor_mz = float(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number of hundreds of digits
        precursor_mz = np.inf
    except (TypeError, ValueError) as error:
        raise SpectrumError(
            f"{where}precursor_mz must be a number, not {value!r}. Give it in m/z, or leave it out."
        ) from error
    if not (np.isfinite(precursor_mz) and precursor_mz > 0):
        raise SpectrumError(f"{where}precursor_mz = {precursor_mz:g} is not above 0. Correct it.")
    return precursor_mz


def _checked_ion_mode(value: object, where: str) -> str | None:
    text = "" if value is None else str(value).strip().casefold()
    if text in _ION_MODES:
        return _ION_MODES[text]
    if text in _NOTHING:
        return None
    raise SpectrumError(f"{where}ion mode {value!r} is unknown. Write positive or negative.")


def _energy_text(value: object) -> str | None:
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        try:
            energy = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            return None
        return f"{energy:g} eV" if np.isfinite(energy) else None
    return text_or_none(value)
