"""Simulated spectra as MGF, MSP and mzSpecLib text, which spectral library searches read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO

from team5.chemistry.adducts import parse_adduct
from team5.data.collision_energy import parse_collision_energy
from team5.inference.results import Simulation

Named = Iterable[tuple[Simulation, str]]


def write_mgf(named: Named, file: IO[str]) -> None:
    """Write spectra with their names, or "", as MGF, with all digits they have."""
    for simulation, name in named:
        file.write(_ion_block(simulation, name))


def write_msp(named: Named, file: IO[str]) -> None:
    """Write spectra with their names, or "", as MSP, peaks with the formulas of their ions."""
    for simulation, name in named:
        file.write(_msp_record(simulation, name))


def _ion_block(simulation: Simulation, name: str) -> str:
    adduct = parse_adduct(simulation.adduct)
    parameters = {
        "TITLE": name or _title(simulation),
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
    peaks = zip(simulation.mzs, simulation.intensities, strict=True)
    lines = [f"{key}={text}" for key, text in _filled(parameters).items()]
    lines += [f"{mz} {intensity}" for mz, intensity in peaks]
    return "\n".join(["BEGIN IONS", *lines, "END IONS"]) + "\n\n"


def _msp_record(simulation: Simulation, name: str) -> str:
    fields = {
        "NAME": name or _title(simulation),
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
    lines = [f"{key}: {text}" for key, text in _filled(fields).items()]
    lines += [f'{mz}\t{intensity}\t"{formula}"' for mz, intensity, formula in peaks]
    return "\n".join(lines) + "\n\n"


def write_mzspeclib(named: Named, file: IO[str]) -> None:
    """Write spectra with their names, or "", as an mzSpecLib text library.

    Klein et al., Anal. Chem. 96:18491 (2024); https://github.com/HUPO-PSI/mzSpecLib.
    """
    for number, (simulation, name) in enumerate(named, start=1):
        if number == 1:
            library = f"team5 {simulation.version}"
            file.write(
                f"<mzSpecLib>\nMS:1003186|library format version=1.0\n"
                f"MS:1003188|library name={library}\n"
            )
        adduct = parse_adduct(simulation.adduct)
        polarity = "positive scan" if adduct.charge > 0 else "negative scan"
        code = "MS:1000130" if adduct.charge > 0 else "MS:1000129"
        lines = [
            f"<Spectrum={number}>",
            f"MS:1003061|library spectrum name={_line(name or _title(simulation))}",
            "MS:1003072|spectrum origin type=MS:1003074|predicted spectrum",
            "MS:1000511|ms level=2",
            f"MS:1000465|scan polarity={code}|{polarity}",
            f"MS:1000744|selected ion m/z={simulation.precursor_mz}",
            f"MS:1000041|charge state={abs(adduct.charge)}",
        ]
        energy = parse_collision_energy(simulation.collision_energy)
        if energy.value is not None and energy.unit == "NCE":
            lines.append(f"MS:1000138|normalized collision energy={energy.value:g}")
        elif energy.value is not None:
            lines.append(f"[1]MS:1000045|collision energy={energy.value:g}")
            lines.append("[1]UO:0000000|unit=UO:0000266|electronvolt")
        lines += [
            f"MS:1003059|number of peaks={len(simulation.mzs)}",
            "<Analyte=1>",
            f"MS:1000866|molecular formula={simulation.formula}",
            f"MS:1000868|SMILES formula={_line(simulation.smiles)}",
            f"MS:1002813|adduct ion formula={simulation.adduct}",
            "<Peaks>",
        ]
        peaks = zip(simulation.mzs, simulation.intensities, simulation.formulas, strict=True)
        # mzPAF has formulas without the sign of the charge.
        lines += [
            f"{mz}\t{intensity}\tf{{{formula.rstrip('+-')}}}" for mz, intensity, formula in peaks
        ]
        file.write("\n".join(lines) + "\n\n")


def _line(text: str) -> str:
    return " ".join(text.split())


def _title(simulation: Simulation) -> str:
    return f"{simulation.smiles}, predicted by team5 {simulation.version}"


def _filled(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the fields that have a value, each on one line whatever was typed."""
    return {key: _line(str(value)) for key, value in fields.items() if value not in (None, "")}
