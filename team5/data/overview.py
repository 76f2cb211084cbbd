"""Overview of a file of spectra: compounds and spectra per fold, ions, energies, masses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from team5.data.collision_energy import parse_collision_energy
from team5.data.preparation import structure_values
from team5.data.readers import iter_spectra, nothing_usable
from team5.errors import DataError

NO_FOLD = "no fold"
NOT_STATED = "not stated"
NO_UNIT = "no unit"
_FOLD_ORDER = ("train", "val", "test", NO_FOLD)


@dataclass(frozen=True, eq=False)
class Overview:
    """Counts and values of a file's usable spectra.

    Attributes
    ----------
    source : str
        Name of the file.
    n_spectra, n_compounds : dict of str to int
        By fold, in the order train, val, test, no fold; compounds are InChIKey first blocks.
    adducts : dict of str to int
        Spectra, the most frequent first.
    energies : dict of str to array
        Collision energies of spectra by unit: eV, NCE, or none stated.
    n_without_energy : int
        Spectra without an energy that can be parsed.
    masses : array
        Exact mass in u of each compound.
    precursor_mzs : array
        Of the spectra that have one.
    skipped : Counter of str
        Records left out, and structures not understood, by reason.
    """

    source: str
    n_spectra: dict[str, int]
    n_compounds: dict[str, int]
    adducts: dict[str, int]
    energies: dict[str, NDArray[np.float64]]
    n_without_energy: int
    masses: NDArray[np.float64]
    precursor_mzs: NDArray[np.float64]
    skipped: Counter[str]


def read_overview(path: str | Path) -> Overview:
    """Read a prepared table, or any file or folder of spectra, and summarise it.

    Memory holds two numbers per spectrum, and the structures; no peaks are kept.

    Raises
    ------
    DataFileNotFoundError
        If there is no such file.
    DataError
        If the format is unknown, or no record can be used.
    """
    skipped: Counter[str] = Counter()
    spectra: Counter[str] = Counter()
    adducts: Counter[str] = Counter()
    compounds: dict[str, set[str]] = {}
    by_unit: dict[str, list[float]] = {"eV": [], "NCE": [], NO_UNIT: []}
    masses: dict[str, float] = {}
    precursor_mzs: list[float] = []
    for record in iter_spectra(path, skipped):
        fold, spectrum = record.fold or NO_FOLD, record.spectrum
        spectra[fold] += 1
        adducts[spectrum.adduct or NOT_STATED] += 1
        energy = parse_collision_energy(spectrum.collision_energy)
        if energy.value is not None:
            by_unit[energy.unit or NO_UNIT].append(energy.value)
        if spectrum.precursor_mz is not None:
            precursor_mzs.append(spectrum.precursor_mz)
        if record.smiles is None:
            continue
        structure = structure_values(record.smiles)
        if isinstance(structure, str):
            skipped["structure not understood"] += 1
            continue
        compounds.setdefault(fold, set()).add(structure.inchikey14)
        masses[structure.inchikey14] = structure.exact_mass
    if not spectra:
        raise DataError(nothing_usable(path, skipped))
    return Overview(
        source=Path(path).name,
        n_spectra={fold: spectra[fold] for fold in _FOLD_ORDER if fold in spectra},
        n_compounds={fold: len(compounds.get(fold, ())) for fold in _FOLD_ORDER if fold in spectra},
        adducts=dict(adducts.most_common()),
        energies={unit: np.array(values) for unit, values in by_unit.items() if values},
        n_without_energy=spectra.total() - sum(map(len, by_unit.values())),
        masses=np.array(list(masses.values())),
        precursor_mzs=np.array(precursor_mzs),
        skipped=skipped,
    )
