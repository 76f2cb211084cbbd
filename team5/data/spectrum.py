"""Spectrum: one measured MS/MS spectrum, validated on creation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from team5.chemistry.adducts import parse_adduct
from team5.constants import MAX_PEAKS
from team5.data.hypotheses import parse_hypotheses
from team5.data.metadata import (
    conditions_of,
    fields_of,
    identity_of,
    parse_ion_mode,
    text_or_none,
)
from team5.data.sticks import MEASURED, draw_sticks
from team5.errors import MissingExtraError, SpectrumError
from team5.runtime.html import render

if TYPE_CHECKING:
    import matchms

# Characters of an adduct, a collision energy or an instrument.
_MAX_CONDITION = 1000


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
        Any notation; becomes the normalised name, ``[M+H]+``. If it is not known:
        several, in a list or separated by commas, or ``auto``. These become `hypotheses`.
    collision_energy : str or float, optional
        As the instrument writes it (``35 eV``, ``30 % (nominal)``); a number is in eV.
    instrument_type : str, optional
    ion_mode : {"positive", "negative"}, optional
        Taken from the adduct when that is given.
    identifier : str, optional
    feature_id, scan : str, optional
        Ids of its feature and scan in the program that wrote the file.
    retention_time : float, optional
        In seconds.
    group : str, optional
        Shared by spectra of one compound or feature, which can be judged together.
    notes : tuple of str
        Oddities of its file, and how they were resolved.
    hypotheses : tuple of str
        Possible adducts of its ion mode, if its adduct is not known; the precursor m/z
        selects one of them for each structure.

    Raises
    ------
    SpectrumError
        If the peaks are invalid. The text begins with the identifier, if there is one.
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
    feature_id: str | None = None
    scan: str | None = None
    retention_time: float | None = None
    group: str | None = None
    notes: tuple[str, ...] = ()
    hypotheses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        identifier = str(self.identifier).strip()
        where = f"{identifier}: " if identifier else ""
        mzs, intensities = _checked_peaks(self.mzs, self.intensities, where)
        precursor_mz = checked_precursor(self.precursor_mz, where)
        ion_mode = _checked_ion_mode(self.ion_mode, where)
        hypotheses = _checked_hypotheses(self.adduct, where)
        hypotheses = hypotheses or _checked_hypotheses(self.hypotheses or None, where)
        if hypotheses:
            hypotheses, ion_mode = _of_ion_mode(hypotheses, ion_mode, where)
        if len(hypotheses) > 1 and precursor_mz is None:
            raise SpectrumError(
                f"{where}no precursor m/z to tell which of {len(hypotheses)} adducts it is. Give "
                "precursor_mz=, or one adduct.",
                code="adduct_needs_precursor",
                argument="precursor_mz",
            )
        put = object.__setattr__
        put(self, "mzs", mzs)
        put(self, "intensities", intensities)
        put(self, "precursor_mz", precursor_mz)
        put(self, "adduct", hypotheses[0] if len(hypotheses) == 1 else None)
        put(self, "hypotheses", hypotheses if len(hypotheses) > 1 else ())
        put(self, "collision_energy", _checked_energy(self.collision_energy, where))
        put(self, "instrument_type", _checked_text(self.instrument_type, "instrument_type", where))
        put(self, "ion_mode", ion_mode)
        put(self, "identifier", identifier)

    @classmethod
    def from_matchms(cls, spectrum: matchms.Spectrum) -> Spectrum:
        """Return the spectrum of a matchms spectrum, its metadata parsed like those of files.

        Raises
        ------
        SpectrumError
            If the peaks are invalid, or an adduct contradicts the ion mode.
        AdductError
            If the adduct is not understood.
        """
        fields = fields_of(spectrum.metadata.items())
        identifier = fields.get("identifier") or fields.get("title") or ""
        conditions = conditions_of(fields, identifier)
        if conditions["adduct"] is None:
            conditions["adduct"] = fields.get("adduct")  # refused where it is not understood
        identity = identity_of(fields)
        identifier = identifier or identity["feature_id"] or ""
        peaks = spectrum.peaks
        return cls(peaks.mz, peaks.intensities, identifier=identifier, **conditions, **identity)

    def to_matchms(self) -> matchms.Spectrum:
        """Return a matchms spectrum, its metadata under harmonised names.

        Raises
        ------
        MissingExtraError
            If matchms is not installed.
        """
        try:
            import matchms  # from the extra
        except ImportError as error:
            raise MissingExtraError.of("to_matchms", "matchms") from error
        metadata: dict[str, Any] = {
            "spectrum_id": self.identifier or None,
            "precursor_mz": self.precursor_mz,
            "adduct": self.adduct,
            "charge": None if self.adduct is None else parse_adduct(self.adduct).charge,
            "ionmode": self.ion_mode,
            "collision_energy": self.collision_energy,
            "instrument_type": self.instrument_type,
            "feature_id": self.feature_id,
            "scans": self.scan,
            "retention_time": self.retention_time,
        }
        # Copies, as matchms lets its users change peaks in place.
        return matchms.Spectrum(
            self.mzs.copy(),
            self.intensities.copy(),
            metadata={name: value for name, value in metadata.items() if value is not None},
        )

    @property
    def n_peaks(self) -> int:
        """Number of peaks with an intensity above 0."""
        return len(self.mzs)

    def __str__(self) -> str:
        count = f"{self.n_peaks} peak{'s' if self.n_peaks != 1 else ''}"
        precursor = None if self.precursor_mz is None else f"precursor {self.precursor_mz:.4f}"
        parts = [
            f"{count} from m/z {self.mzs[0]:.4f} to {self.mzs[-1]:.4f}",
            precursor,
            self.adduct or self.ion_mode,
            self.collision_energy,
            self.instrument_type,
        ]
        return f"{self.identifier or 'spectrum'}: {', '.join(text for text in parts if text)}"

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


def _checked_peaks(
    mzs: ArrayLike, intensities: ArrayLike, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mz = _to_array(mzs, "mzs", where)
    height = _to_array(intensities, "intensities", where)
    n_peaks = len(mz)
    if n_peaks != len(height):
        raise SpectrumError(
            f"{where}{len(mz)} m/z values but {len(height)} intensities. Give every peak both.",
            code="lengths_differ",
            argument="intensities",
        )
    if n_peaks == 0:
        raise SpectrumError(
            f"{where}no peaks. Give at least one m/z with its intensity.",
            code="no_peaks",
            argument="mzs",
        )
    if n_peaks > MAX_PEAKS:
        raise SpectrumError(
            f"{where}{len(mz)} peaks; at most {MAX_PEAKS} are taken. "
            "Centroid the spectrum or keep its highest peaks.",
            code="too_many_peaks",
            argument="mzs",
        )
    # argmin and argmax find the first NaN, and are ten times as fast as min and max on few peaks.
    ascends = mz[1:] >= mz[:-1]
    if n_peaks > 1 and not ascends[ascends.argmin()]:
        order = np.argsort(mz, kind="stable")
        mz, height = mz[order], height[order]
    lowest, base_peak = height[height.argmin()], height[height.argmax()]
    # NaN sorts last and fails every comparison.
    if not (mz[0] > 0 and mz[-1] < np.inf and lowest >= 0 and 0 < base_peak < np.inf):
        unsorted = _to_array(mzs, "mzs", where), _to_array(intensities, "intensities", where)
        _refuse_peaks(*unsorted, where)
    if lowest == 0:
        mz, height = mz[height > 0], height[height > 0]
    return mz, height / base_peak


def _refuse_peaks(mz: NDArray[np.float64], height: NDArray[np.float64], where: str) -> None:
    for name, values, valid, problem, code in (
        ("mzs", mz, np.isfinite(mz), "is not a finite number", "not_finite"),
        ("intensities", height, np.isfinite(height), "is not a finite number", "not_finite"),
        ("mzs", mz, mz > 0, "is not above 0", "mz_not_positive"),
        ("intensities", height, height >= 0, "is negative", "negative_intensity"),
    ):
        if not valid.all():
            index = int(np.argmin(valid))
            raise SpectrumError(
                f"{where}{name}[{index}] = {values[index]:g} {problem}. Correct it.",
                code=code,
                argument=name,
            )
    raise SpectrumError(
        f"{where}all intensities are 0. Give at least one above 0.",
        code="all_intensities_zero",
        argument="intensities",
    )


def _to_array(values: Any, name: str, where: str) -> NDArray[np.float64]:
    if hasattr(values, "detach"):  # a torch tensor, maybe on a device or with a gradient
        values = values.detach().cpu().double().numpy()
    if isinstance(values, (str, bytes)) or values is None:
        raise SpectrumError(
            f"{where}{name} must be numbers, not {values!r}. Give a list of them.",
            code="not_numbers",
            argument=name,
        )
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpectrumError(
            f"{where}{name} must be numbers in one flat list: {error}.",
            code="not_numbers",
            argument=name,
        ) from error
    if array.ndim != 1:
        raise SpectrumError(
            f"{where}{name} must be one flat list, not of shape {tuple(array.shape)}. "
            "Give one spectrum at a time.",
            code="not_flat",
            argument=name,
        )
    return array


def checked_precursor(value: object, where: str = "") -> float | None:
    """Return a precursor m/z as a number.

    Raises
    ------
    SpectrumError
        If it is no finite number above 0.
    """
    if value is None:
        return None
    try:
        precursor_mz = float(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number of hundreds of digits
        precursor_mz = math.inf
    except (TypeError, ValueError) as error:
        raise SpectrumError(
            f"{where}precursor_mz must be a number, not {value!r}. "
            "Give it in m/z, or leave it out.",
            code="precursor_not_a_number",
            argument="precursor_mz",
        ) from error
    if not 0 < precursor_mz < math.inf:
        problem = "is not above 0" if math.isfinite(precursor_mz) else "is not a finite number"
        raise SpectrumError(
            f"{where}precursor_mz = {precursor_mz:g} {problem}. Correct it.",
            code="precursor_not_positive",
            argument="precursor_mz",
        )
    return precursor_mz


def _checked_hypotheses(value: object, where: str) -> tuple[str, ...]:
    """Return the stated adducts; none if nothing is stated."""
    if isinstance(value, list | tuple):
        return parse_hypotheses([_checked_text(each, "adduct", where) or "" for each in value])
    text = _checked_text(value, "adduct", where)
    return () if text is None else parse_hypotheses(text)


def _of_ion_mode(
    hypotheses: tuple[str, ...], ion_mode: str | None, where: str
) -> tuple[tuple[str, ...], str | None]:
    """Return the adducts of an ion mode, and the mode, which the adducts may imply."""
    modes = {name: parse_adduct(name).ion_mode for name in hypotheses}
    if ion_mode is None:
        return hypotheses, modes[hypotheses[0]] if len(set(modes.values())) == 1 else None
    fitting = tuple(name for name in hypotheses if modes[name] == ion_mode)
    if not fitting:
        raise SpectrumError(
            f"{where}adduct {' or '.join(hypotheses)} in {ion_mode} ion mode. Correct one of the "
            "two.",
            code="adduct_contradicts_ion_mode",
            argument="ion_mode",
        )
    return fitting, ion_mode


def _checked_ion_mode(value: object, where: str) -> str | None:
    if value is None or value in ("positive", "negative"):
        return None if value is None else str(value)
    text = _checked_text(value, "ion_mode", where)
    if text is None and str(value).strip() != "-":
        return None
    mode = parse_ion_mode(str(value))
    if mode is None:
        raise SpectrumError(
            f"{where}ion mode {value!r} is unknown. Write positive or negative.",
            code="ion_mode_unknown",
            argument="ion_mode",
        )
    return mode


def _checked_text(value: object, name: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return _short_text(value, name, where)
    if isinstance(value, float) and math.isnan(value):  # pandas' missing value
        return None
    if name == "adduct" and isinstance(value, int | float):
        parse_adduct(str(value))  # refuses it as a command line does, where it is text
    raise SpectrumError(
        f"{where}{name} must be text, not {value!r}. Write it in quotes, or leave it out.",
        code="not_text",
        argument=name,
    )


def _short_text(value: str | None, name: str, where: str) -> str | None:
    """Return a stated condition: one is a few words, and is kept with what was computed for it."""
    text = text_or_none(value)
    if text is not None and len(text) > _MAX_CONDITION:
        raise SpectrumError(
            f"{where}{name} is a text of {len(text):,} characters; at most {_MAX_CONDITION:,} are "
            "taken. Shorten it, or leave it out.",
            code="text_too_long",
            argument=name,
        )
    return text


def _checked_energy(value: object, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return _short_text(value, "collision_energy", where)
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        try:
            energy = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            energy = math.inf
        if math.isnan(energy):
            return None
        if math.isfinite(energy):
            return f"{energy:g} eV"
    raise SpectrumError(
        f"{where}collision_energy = {value!r} is neither a number nor text. "
        "Write it as the instrument does (35 eV), or leave it out.",
        code="collision_energy_unknown",
        argument="collision_energy",
    )
