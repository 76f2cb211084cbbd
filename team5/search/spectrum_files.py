"""Simulated spectra as MGF and MSP, which programs that search spectral libraries read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from team5.chemistry.adducts import parse_adduct
from team5.inference.results import Simulation


def write_mgf(simulation: Simulation, file: IO[str]) -> None:
    """Write a spectrum as the next ion block of an MGF file, with all digits it has."""
    from pyteomics import mgf  # type: ignore[import-untyped]

    adduct = parse_adduct(simulation.adduct)
    parameters = {
        "TITLE": _title(simulation),
        "PEPMASS": simulation.precursor_mz,
        "CHARGE": f"{abs(adduct.charge)}{'+' if adduct.charge > 0 else '-'}",
        "IONMODE": adduct.ion_mode,
        "ADDUCT": simulation.adduct,
        "COLLISION_ENERGY": simulation.collision_energy,
        "SMILES": simulation.smiles,
        "FORMULA": simulation.formula,
        "VERSION": simulation.version,
        "VERSION_HASH": simulation.version_hash,
    }
    block = {
        "params": _said(parameters),
        "m/z array": simulation.mzs,
        "intensity array": simulation.intensities,
    }
    mgf.write([block], file, fragment_format="{} {}", use_numpy=False)


def write_msp(simulation: Simulation, file: IO[str]) -> None:
    """Write a spectrum as the next record of an MSP file, its peaks with the formulas of ions."""
    fields = {
        "NAME": _title(simulation),
        "PRECURSORMZ": simulation.precursor_mz,
        "PRECURSORTYPE": simulation.adduct,
        "IONMODE": parse_adduct(simulation.adduct).ion_mode,
        "COLLISION_ENERGY": simulation.collision_energy,
        "SMILES": simulation.smiles,
        "FORMULA": simulation.formula,
        "VERSION": simulation.version,
        "VERSION_HASH": simulation.version_hash,
        "NUM PEAKS": len(simulation.mzs),
    }
    peaks = zip(simulation.mzs, simulation.intensities, simulation.formulas, strict=True)
    lines = [f"{key}: {text}" for key, text in _said(fields).items()]
    lines += [f'{mz}\t{intensity}\t"{formula}"' for mz, intensity, formula in peaks]
    file.write("\n".join(lines) + "\n\n")


def _title(simulation: Simulation) -> str:
    return f"{simulation.smiles}, predicted by team5 {simulation.version}"


def _said(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the fields that say something, each on one line whatever was typed."""
    said = {key: value for key, value in fields.items() if value not in (None, "")}
    return {key: " ".join(str(value).split()) for key, value in said.items()}
