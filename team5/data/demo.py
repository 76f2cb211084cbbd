"""The built-in demo set: well-known molecules with spectra computed from their fragments.

The spectra are good enough to try training, export and prediction without a download. Outputs that
show them carry `COMPUTED_NOTICE`.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import Molecule, parse_smiles
from team5.constants import ELECTRON_MASS, HYDROGEN_MASS
from team5.data.peaks import peaks_path, write_peaks
from team5.errors import StorageError
from team5.runtime.storage import writing_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from team5.chemistry.fragments import Fragments

COMPUTED_NOTICE = (
    "The demo set's spectra are computed from bond-strength rules with noise, not measured."
)

_MOLECULES = "demo_molecules.csv"
_POSITIVE_ENERGIES: tuple[int, ...] = (10, 20, 40)  # eV
# The negative ion only where the molecule has an acidic hydrogen.
_NEGATIVE_ENERGIES: tuple[int, ...] = (20,)  # eV
_ACIDIC = (
    "[$([CX3]=O),c,$(C=C),$(P=O),$(S=O)][OX2H]",  # acids, phenols, enols
    "[$(C(=O)),$(S(=O)(=O))][NX3;H1,H2][$(C(=O)),$(S(=O)(=O)),c]",  # imides, ureides, anilides
    "S(=O)(=O)[NX3;H1,H2]",
    "[nH]",
)

# Energies are relative: 1 is the cost of a bond between carbon and a hetero atom. With these values
# spectra look like those of a quadrupole time-of-flight instrument: mostly precursor at 10 eV,
# hardly any at 40 eV.
_TEMPERATURE = 0.35  # at 0 eV
_TEMPERATURE_PER_EV = 0.018
_DECAY_PER_EV = 0.10  # of the whole molecule; a fragment's is less by its share of the mass
_SECOND_HYDROGEN_SHIFT = 0.12  # of the intensity; two hydrogens more and less than expected
_RADICAL = 0.03  # of the intensity; one hydrogen more and less
_MAX_HYDROGEN_SHIFT = 4
_INTENSITY_SIGMA = 0.4  # of the natural logarithm
_MZ_SIGMA_PPM = 2.0
_N_NOISE_PEAKS = 3.0  # on average
_NOISE_INTENSITY = (0.005, 0.02)
_DETECTION_FLOOR = 0.005  # of the base peak
_MIN_MZ = 40.0
_MAX_PEAKS = 60

# Share of the molecules in isomer groups that are held out.
_VAL_SHARE, _TEST_SHARE = 0.15, 0.10


@dataclass(frozen=True, slots=True)
class DemoMolecule:
    """A well-known molecule, without stereo.

    Attributes
    ----------
    name : str
    category : str
        drug, metabolite, natural product, pesticide or synthetic.
    smiles : str
    formula : str
        From another source; tests compare it with `smiles`.
    """

    name: str
    category: str
    smiles: str
    formula: str


@cache
def demo_molecules() -> tuple[DemoMolecule, ...]:
    """Return the molecules of the demo set, in order of name."""
    text = resources.files("team5.data").joinpath(_MOLECULES).read_text(encoding="utf-8")
    return tuple(
        DemoMolecule(row["name"], row["class"], row["smiles"], row["formula"])
        for row in csv.DictReader(text.splitlines())
    )


def demo_table(seed: int = 0) -> pa.Table:
    """Compute the demo set's spectra as a prepared table.

    Noise depends on `seed`, molecule, adduct and energy alone. Molecules of one formula are in one
    fold, so that every validation molecule has isomers there; those without isomers are in train.

    Returns
    -------
    pyarrow.Table
        One row per spectrum, in the columns of `team5.data.preparation`.
    """
    import pyarrow as pa

    # Here, as a server lists the molecules and compiles no fragments.
    from team5.chemistry.fragments import enumerate_fragments

    folds = _folds([molecule.formula for molecule in demo_molecules()])
    rows: list[dict[str, Any]] = []
    for entry in demo_molecules():
        molecule = parse_smiles(entry.smiles)
        fragments = enumerate_fragments(molecule)
        for adduct_name, energies in _conditions(molecule):
            adduct = parse_adduct(adduct_name)
            ions = _ions(fragments, adduct.charge)
            for energy in energies:
                key = f"{seed}:{molecule.inchikey14}:{adduct_name}:{energy}"
                rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
                mzs, intensities = _simulate(ions, energy, rng)
                rows.append(
                    {
                        "identifier": f"team5-demo-{len(rows) + 1:06d}",
                        "mzs": mzs.tolist(),
                        "intensities": intensities.tolist(),
                        "smiles": entry.smiles,
                        "inchikey14": molecule.inchikey14,
                        "formula": molecule.formula,
                        "exact_mass": molecule.exact_mass,
                        "adduct": adduct_name,
                        "precursor_mz": round(adduct.precursor_mz(molecule.exact_mass), 5),
                        "ion_mode": adduct.ion_mode,
                        "instrument_type": "computed",
                        "collision_energy": f"{energy} eV",
                        "license": "CC0",
                        "contributor": "team5 (computed)",
                        "fold": folds[entry.formula],
                    }
                )
    return pa.Table.from_pylist(rows)


def write_demo_table(path: str | Path, seed: int = 0) -> Path:
    """Write the demo set as a prepared table, whole or not at all.

    Raises
    ------
    StorageError
        If the folder cannot be written or the disk is full.
    """
    import pyarrow.parquet as pq

    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_whole(path) as temporary:
            pq.write_table(demo_table(seed), temporary, compression="zstd")
            write_peaks(temporary, peaks_path(path))
    except OSError as error:
        raise StorageError(f"{path}: the demo set cannot be written: {error}.") from error
    return path


def _conditions(molecule: Molecule) -> list[tuple[str, tuple[int, ...]]]:
    """Return the adducts of a molecule with their energies in eV."""
    conditions = [("[M+H]+", _POSITIVE_ENERGIES)]
    if any(molecule.mol.HasSubstructMatch(pattern) for pattern in _acidic_patterns()):
        conditions.append(("[M-H]-", _NEGATIVE_ENERGIES))
    return conditions


@cache
def _acidic_patterns() -> tuple[Chem.Mol, ...]:
    return tuple(Chem.MolFromSmarts(smarts) for smarts in _ACIDIC)


def _folds(formulas: list[str]) -> dict[str, str]:
    """Return the fold of each formula; only those of several molecules are held out."""
    counts = Counter(formulas)
    shared = [formula for formula, count in counts.items() if count > 1]
    n_shared = sum(counts[formula] for formula in shared)
    room = {"val": _VAL_SHARE * n_shared, "test": _TEST_SHARE * n_shared}
    folds = dict.fromkeys(counts, "train")
    # By hash, as a molecule more or less must not move the others.
    for formula in sorted(shared, key=lambda formula: hashlib.sha256(formula.encode()).digest()):
        fold = next((fold for fold in room if counts[formula] <= room[fold]), None)
        if fold is not None:
            folds[formula] = fold
            room[fold] -= counts[formula]
    return folds


@dataclass(frozen=True, slots=True)
class _Ions:
    """The ions of one molecule in one polarity, ascending in m/z; I of them.

    Attributes
    ----------
    mzs : array of shape (I,)
    costs, mass_shares : array of shape (I,)
        Of each ion's fragment: cost of its cuts, mass relative to the whole molecule.
    factors : array of shape (I,)
        Factor of an intensity that does not depend on the energy.
    starts : array of shape (distinct m/z,)
        First ion of each m/z; ions of one formula keep different atoms.
    """

    mzs: NDArray[np.float64]
    costs: NDArray[np.float64]
    mass_shares: NDArray[np.float64]
    factors: NDArray[np.float64]
    starts: NDArray[np.intp]


def _ions(fragments: Fragments, charge: int) -> _Ions:
    expected = _expected_hydrogen_shifts(fragments, charge)
    affinities = _charge_affinities(fragments, charge)
    mzs, factors, indices = [], [], []
    for offset, share in (
        (0, 1.0),
        (-2, _SECOND_HYDROGEN_SHIFT),
        (2, _SECOND_HYDROGEN_SHIFT),
        (-1, _RADICAL),
        (1, _RADICAL),
    ):
        shifts = expected + offset
        ions = fragments.masses + shifts * HYDROGEN_MASS - charge * ELECTRON_MASS
        possible = (np.abs(shifts) <= _MAX_HYDROGEN_SHIFT) & (fragments.hydrogens + shifts >= 0)
        possible &= ions >= _MIN_MZ
        # The whole molecule is the precursor and nothing else.
        possible[0] = offset == 0
        mzs.append(ions[possible])
        factors.append(share * affinities[possible])
        indices.append(np.flatnonzero(possible))
    all_mzs, index = np.concatenate(mzs), np.concatenate(indices)
    order = np.argsort(all_mzs, kind="stable")
    all_mzs, index = all_mzs[order], index[order]
    return _Ions(
        mzs=all_mzs,
        costs=fragments.costs[index].astype(np.float64),
        mass_shares=fragments.masses[index] / fragments.masses[0],
        factors=np.concatenate(factors)[order],
        starts=np.flatnonzero(np.diff(all_mzs, prepend=-np.inf) > 1e-6),
    )


def _simulate(
    ions: _Ions, energy: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return m/z, ascending, and intensities, base peak 1, of one computed spectrum."""
    # Cheap cuts first; and what carries much of the energy breaks on.
    temperature = _TEMPERATURE + _TEMPERATURE_PER_EV * energy
    exponents = -ions.costs / temperature - _DECAY_PER_EV * energy * ions.mass_shares
    weights = np.add.reduceat(ions.factors * np.exp(exponents), ions.starts)
    mzs = ions.mzs[ions.starts]

    weights = weights / weights.max() * rng.lognormal(0.0, _INTENSITY_SIGMA, len(weights))
    n_noise = rng.poisson(_N_NOISE_PEAKS)
    noise_mzs = rng.uniform(_MIN_MZ, mzs[-1], n_noise)
    noise = rng.uniform(*_NOISE_INTENSITY, n_noise) * weights.max()
    mzs, weights = np.concatenate([mzs, noise_mzs]), np.concatenate([weights, noise])
    mzs = np.round(mzs * (1 + rng.normal(0.0, _MZ_SIGMA_PPM * 1e-6, len(mzs))), 5)

    strongest = np.argsort(-weights, kind="stable")[:_MAX_PEAKS]
    indices = strongest[weights[strongest] >= _DETECTION_FLOOR * weights.max()]
    indices = indices[np.argsort(mzs[indices], kind="stable")]
    return mzs[indices], np.round(weights[indices] / weights.max(), 5)


def _charge_affinities(fragments: Fragments, charge: int) -> NDArray[np.float64]:
    """Return how well each fragment keeps the charge, by the elements that hold it."""
    inside, elements = fragments.inside, fragments.graph.elements
    has_nitrogen = inside[:, elements == 7].any(axis=1)
    has_oxygen = inside[:, np.isin(elements, (8, 15, 16))].any(axis=1)
    if charge > 0:
        return np.where(has_nitrogen, 1.0, np.where(has_oxygen, 0.4, 0.2))
    return np.where(has_oxygen, 1.0, np.where(has_nitrogen, 0.4, 0.05))


def _expected_hydrogen_shifts(fragments: Fragments, charge: int) -> NDArray[np.int64]:
    """Return for each fragment the hydrogens gained (or lost) in its most likely ion.

    At a cut, a hetero atom leaves with a hydrogen, which the carbon across gives: R-OR' breaks to
    HOR' and an alkene, or to the cation R+. A methyl group has no neighbour to take one from and
    leaves as methane. The nearest shift that pairs all electrons is taken.
    """
    graph = fragments.graph
    hetero = graph.elements != 6
    first, second = graph.bonds[:, 0], graph.bonds[:, 1]
    methyl = ~hetero & (np.bincount(graph.bonds.ravel(), minlength=len(hetero)) == 1)
    inside = fragments.inside.astype(bool)
    shifts = np.full(len(fragments), charge, dtype=np.int64)
    for kept, lost in ((first, second), (second, first)):
        is_cut = inside[:, kept] & ~inside[:, lost]
        gains = hetero[kept] & ~methyl[lost]
        shifts += is_cut @ np.where(gains, 1, np.where(hetero[lost] | methyl[lost], -1, 0))
    # All electrons of an ion with one charge are paired if its atoms of odd valence (H, N, P,
    # halogens) are odd in number.
    odd_valence = np.isin(graph.elements, (7, 9, 15, 17, 35, 53))
    n_odd = inside[:, odd_valence].sum(axis=1) + fragments.hydrogens + shifts
    return shifts + np.where(n_odd % 2 == 0, np.where(shifts > 0, -1, 1), 0)
