"""Parsing of collision energies as instruments write them, to eV or NCE.

Libraries have over 30 notations for the same two quantities: a laboratory-frame energy in eV (a
voltage is the same number for the singly charged ions considered here) and the normalised
collision energy of Orbitraps and ion traps (NCE, also written ``%`` or ``(nominal)``).
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

# NCE is defined at m/z 500 and charge 1, where NCE and eV are the same number (Thermo Fisher,
# Product Support Bulletin 104: Normalized Collision Energy Technology).
NCE_REFERENCE_MZ = 500.0
# A larger number is not a collision energy but a source voltage or a typing error.
_MAX_VALUE = 500.0

# Instruments whose bare numbers are NCE; QFT and ITFT are MassBank's types for Orbitraps.
_ORBITRAP = re.compile(r"QFT|ITFT|ORBITRAP|HCD|EXACTIVE", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CollisionEnergy:
    """A collision energy read from text.

    Attributes
    ----------
    value : float or None
        The energy; of several steps their mean, of a ramp its middle. ``None`` when the text
        holds no usable number ("low", "3 kV", "scaled by m/z").
    unit : {"eV", "NCE"} or None
        ``None`` when the text does not say: "40" is eV on one instrument and NCE on another.
    is_ramp : bool
        Whether several energies were applied or merged: a ramp, steps, a list.
    low, high : float or None
        The lowest and highest of them; equal to `value` for a single energy.
    """

    value: float | None
    unit: Literal["eV", "NCE"] | None = None
    is_ramp: bool = False
    low: float | None = None
    high: float | None = None


UNKNOWN = CollisionEnergy(None)

_NUMBER = r"\d+(?:\.\d+)?"
# Texts whose numbers are not collision energies, although they have digits.
_NOT_AN_ENERGY = re.compile(r"\bkv\b|\dkv\b|scaled|m/?z|\bhz\b")
_STEPS = re.compile(r"step|ramp|spread|sweep|merged|\bor\b")
# In "35 +- 15" and "35 eV, CES 15" the second number is a width, not an energy.
_SPREAD = re.compile(
    rf"(?:±|\+\s*/?\s*-|\bplus[ /]?minus\b|\b(?:ces|spread)\b\s*[:=]?)\s*{_NUMBER}\s*%?(?:e?v\b)?"
)
# Parts with digits of another meaning: "MS2", the share of a collision gas in "by Ar 50 %", the
# voltages of the ion's path into the collision cell.
_DISTRACTIONS = re.compile(
    r"\bms\d\b|\bms/ms\b|\bby [a-z]+\d? .*$|\bct\s*=.*$"
    rf"|\b(?:dp|ep|cxp|cep|fp|declustering potential|entrance potential|cone(?: voltage)?"
    rf"|fragmentor|source)\b\s*[:=]?\s*-?{_NUMBER}\s*(?:e?v\b)?"
)
_NCE_AND_EV = re.compile(rf"(?:nce\s*=?\s*{_NUMBER}\s*%?|{_NUMBER}\s*%)\s*(?P<ev>{_NUMBER}\s*ev)\b")
# In "42 % with stepped collision energies 30 % and 55 %" the first number is the middle.
_MAIN_WITH_STEPS = re.compile(rf"^(?P<main>{_NUMBER})\s*%?.*\bwith step\w*(?P<steps>.*)$")


@lru_cache(maxsize=8192)
def parse_collision_energy(text: str | float | None) -> CollisionEnergy:
    """Parse a collision energy as instruments and libraries write it.

    Parameters
    ----------
    text : str, float or None
        For example ``35 eV``, ``45V``, ``30 % (nominal)``, ``HCD (NCE 20-30-40%)``,
        ``Ramp 21.1-31.6 eV`` or ``15, 30, 45``. A number has no unit.

    Returns
    -------
    CollisionEnergy
        With ``value`` None if there is no usable number. Never raises: the energy is optional
        context, and a text without a value counts as none.
    """
    if text is None:
        return UNKNOWN
    lowered = str(text).strip().casefold()
    if not re.search(r"\d", lowered) or _NOT_AN_ENERGY.search(lowered):
        return UNKNOWN
    both = _NCE_AND_EV.search(lowered)
    if both:
        lowered = both["ev"]
    cleaned = _DISTRACTIONS.sub(" ", lowered)
    unit = _unit(cleaned)
    cleaned, n_spreads = _SPREAD.subn(" ", cleaned)
    cleaned = _decimal_points(cleaned)
    main = _MAIN_WITH_STEPS.match(cleaned)
    numbers = [float(number) for number in re.findall(_NUMBER, cleaned)]
    if not numbers or max(numbers) > _MAX_VALUE:
        return UNKNOWN
    value = float(main["main"]) if main else sum(numbers) / len(numbers)
    if value <= 0:
        return UNKNOWN
    is_ramp = len(numbers) > 1 or n_spreads > 0 or bool(_STEPS.search(cleaned))
    return CollisionEnergy(value, unit, is_ramp, min(numbers), max(numbers))


def to_electronvolt(
    energy: CollisionEnergy, precursor_mz: float, instrument_type: str | None = None
) -> float | None:
    """Return a collision energy in eV, laboratory frame, for a singly charged precursor.

    ``eV = NCE * precursor_mz / 500``. An energy without a unit is taken as NCE when the
    instrument is an Orbitrap, else as eV.

    Parameters
    ----------
    energy : CollisionEnergy
    precursor_mz : float
    instrument_type : str, optional
        As MassBank writes it, e.g. ``LC-ESI-QFT``; only looked at when the unit is missing.

    Returns
    -------
    float or None
        ``None`` when the energy is not known.
    """
    if energy.value is None or not math.isfinite(precursor_mz):
        return None
    unit = energy.unit
    if unit is None and instrument_type and _ORBITRAP.search(instrument_type):
        unit = "NCE"
    if unit == "NCE":
        return energy.value * precursor_mz / NCE_REFERENCE_MZ
    return energy.value


def _unit(text: str) -> Literal["eV", "NCE"] | None:
    if re.search(r"nce|nominal|%|normali[sz]ed", text):
        return "NCE"
    if re.search(r"(?<![a-z])e?v\b|electron ?volt|volt", text):
        return "eV"
    # HCD is the collision cell of Orbitraps, which are set in NCE.
    if re.search(r"hcd", text):
        return "NCE"
    return None


def _decimal_points(text: str) -> str:
    """Write decimal commas as points; commas that separate energies stay.

    "22,9-34.3" is a range with a decimal comma, "25,60,100" a list.
    """
    if re.search(r"\d,\d+\s*[-–]|[-–]\s*\d+,\d", text) or re.search(
        r"^\D*\d+,\d(?!\d|,)\D*$", text
    ):
        return re.sub(r"(\d),(\d)", r"\1.\2", text)
    return text
