"""Conditions of a measurement as numbers for the model.

The measured precursor m/z is not used: its error would reveal the formula.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from team5.chemistry.adducts import Adduct
from team5.data.collision_energy import parse_collision_energy, to_electronvolt

# Adducts with their own column; the order is part of every version.
ADDUCTS = (
    "[M+H]+",
    "[M-H]-",
    "[M]+",
    "[M+Na]+",
    "[M+NH4]+",
    "[M+K]+",
    "[M-H2O+H]+",
    "[M+HCOO]-",
    "[M+CH3COO]-",
    "[M+Cl]-",
    "[M]-",
)
INSTRUMENTS = ("qtof", "orbitrap_hcd", "ion_trap_orbitrap", "ion_trap", "triple_quadrupole")
_INSTRUMENT_CLASSES = (*INSTRUMENTS, "other", "missing")
CONTEXT_FEATURES = (
    *(f"adduct {name}" for name in (*ADDUCTS, "other")),
    "negative",
    *(f"instrument {name}" for name in _INSTRUMENT_CLASSES),
    "energy missing",
    "energy in NCE",
    "energy ramped",
    "electronvolt",
    "log electronvolt",
    "normalised energy",
    "log normalised energy",
    "precursor_mz",
    "log precursor_mz",
)
# Collision energies above this are not distinguished.
MAX_ELECTRONVOLT = 200.0


def context_features(
    adduct: Adduct,
    precursor_mz: float,
    collision_energy: str | None,
    instrument_type: str | None,
) -> NDArray[np.float32]:
    """Return the conditions of a measurement, shape (len(CONTEXT_FEATURES),).

    Parameters
    ----------
    adduct : Adduct
    precursor_mz : float
        Calculated from the structure, not measured.
    collision_energy, instrument_type : str, optional
        As the instrument writes them; text without a usable number counts as missing.
    """
    out = np.zeros(len(CONTEXT_FEATURES), dtype=np.float32)
    out[ADDUCTS.index(adduct.name) if adduct.name in ADDUCTS else len(ADDUCTS)] = 1
    at = len(ADDUCTS) + 1
    out[at] = adduct.charge < 0
    out[at + 1 + _INSTRUMENT_CLASSES.index(instrument_class(instrument_type))] = 1
    at += 1 + len(_INSTRUMENT_CLASSES)
    electronvolt, is_nce, is_ramp = _energy(collision_energy, precursor_mz, instrument_type)
    if electronvolt is None:
        out[at] = 1
    else:
        normalised = electronvolt * 500 / precursor_mz
        out[at + 1], out[at + 2] = is_nce, is_ramp
        out[at + 3], out[at + 4] = electronvolt / 50, math.log1p(electronvolt) / 4
        out[at + 5], out[at + 6] = normalised / 50, math.log1p(normalised) / 4
    out[at + 7], out[at + 8] = precursor_mz / 500, math.log(precursor_mz / 300)
    return out


@lru_cache(maxsize=4096)
def _energy(
    text: str | None, precursor_mz: float, instrument_type: str | None
) -> tuple[float | None, bool, bool]:
    energy = parse_collision_energy(text)
    value = to_electronvolt(energy, precursor_mz, instrument_type)
    if value is not None:
        value = min(max(value, 0.0), MAX_ELECTRONVOLT)
    return value, energy.unit == "NCE", energy.is_ramp


@lru_cache(maxsize=256)
def instrument_class(text: str | None) -> str:
    """Return an instrument's class in `INSTRUMENTS`, "other", or "missing" if none is stated."""
    if text is None:
        return "missing"
    upper = text.upper().replace("-", "").replace(" ", "")
    if "QTOF" in upper or upper.endswith("TOF"):
        return "qtof"
    if "ITFT" in upper:
        return "ion_trap_orbitrap"
    if "QFT" in upper or "ORBITRAP" in upper or "EXACTIVE" in upper or "HCD" in upper:
        return "orbitrap_hcd"
    if "QQQ" in upper or upper.endswith("QQ"):
        return "triple_quadrupole"
    return "ion_trap" if "IT" in upper or "TRAP" in upper else "other"
