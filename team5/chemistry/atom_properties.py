"""Computed properties of a structure's atoms, which teach a network chemistry without spectra.

Partial charges: Gasteiger and Marsili, Tetrahedron 36, 3219 (1980). Contributions to logP and to
molar refractivity: Wildman and Crippen, J. Chem. Inf. Comput. Sci. 39, 868 (1999).
Electrotopological states: Hall, Mohney and Kier, J. Chem. Inf. Comput. Sci. 31, 76 (1991).
Functional groups: those that RDKit counts (``rdkit.Chem.Fragments``).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig
from rdkit.Chem import rdMolDescriptors, rdPartialCharges
from rdkit.Chem.EState import EStateIndices

Array = NDArray[Any]

_RANGES = (2, 3, 4)  # bonds
_FARTHEST = 7  # bonds; also where there is no such atom
# Property → divisor that brings it near 1.
_SCALES = {
    "partial charge": 0.2,
    "partial charge of the hydrogens": 0.2,
    "contribution to logP": 1.0,
    "contribution to molar refractivity": 3.3,
    "electrotopological state": 4.0,
    "distance to a basic atom": 3.0,
    "distance to an acidic atom": 3.0,
    "distance to another heteroatom": 3.0,
    **{f"atoms within {n} bonds": 5.0 * (n - 1) for n in _RANGES},
}
PROPERTIES = tuple(_SCALES)

# Amines, amidines and imines, pyridines, imidazoles: not amides, sulfonamides or anilines.
_BASIC = Chem.MolFromSmarts(
    "[$([NX3;!$(N-C=[O,S,N]);!$(N-S=O);!$(N-P=O);!$(N-a);!$(N-C=C);!$(N-[N,O])]),"
    "$([NX2]=C-[NX3]),$([nX2]1[c,n][c,n][c,n][c,n][c,n]1),$([nX2]1c[nX3]cc1),$([N-]),"
    "$([NX2;!$(N=[N,O])]=[#6])]"
)
# Carboxylic, sulfonic and phosphoric acids, phenols, sulfonamides, tetrazoles.
_ACIDIC = Chem.MolFromSmarts(
    "[$([OX2H]-[C,S,P]=O),$([OX2H]-c),$([O-]),$([NX3;H1,H2]S(=O)=O),$([nH]1nnnc1)]"
)
_HETERO = Chem.MolFromSmarts("[!#6;!#1]")


@lru_cache(maxsize=1)
def functional_groups() -> dict[str, Chem.Mol]:
    """Return RDKit's functional groups, by name."""
    text = (Path(RDConfig.RDDataDir) / "FragmentDescriptors.csv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line.startswith("fr_")]
    return {name: Chem.MolFromSmarts(smarts.strip('"')) for name, _, smarts, *_ in rows}


def atom_properties(mol: Chem.Mol) -> Array:
    """Return properties of the atoms, shape (A, len(PROPERTIES)), each of about unit size.

    NaN where a property is not defined, such as the partial charge of a metal.
    """
    charged = Chem.Mol(mol)
    rdPartialCharges.ComputeGasteigerCharges(charged)
    distances = Chem.GetDistanceMatrix(mol)
    others = distances.copy()
    np.fill_diagonal(others, _FARTHEST)
    columns = [
        [atom.GetDoubleProp("_GasteigerCharge") for atom in charged.GetAtoms()],
        [atom.GetDoubleProp("_GasteigerHCharge") for atom in charged.GetAtoms()],
        *zip(*rdMolDescriptors._CalcCrippenContribs(mol), strict=True),
        EStateIndices(mol),
        _nearest(mol, _BASIC, distances),
        _nearest(mol, _ACIDIC, distances),
        _nearest(mol, _HETERO, others),
        *((distances <= n).sum(axis=1) for n in _RANGES),
    ]
    properties = np.array(columns, dtype=np.float32).T / np.array([*_SCALES.values()], np.float32)
    return np.where(np.isfinite(properties), properties, np.float32(np.nan))


def group_members(mol: Chem.Mol) -> Array:
    """Return whether atoms are part of functional groups, shape (A, G), bool."""
    groups = functional_groups()
    members = np.zeros((mol.GetNumAtoms(), len(groups)), dtype=bool)
    for column, pattern in enumerate(groups.values()):
        for atoms in mol.GetSubstructMatches(pattern):
            members[list(atoms), column] = True
    return members


def _nearest(mol: Chem.Mol, pattern: Chem.Mol, distances: Array) -> Array:
    """Return the number of bonds to the nearest atom that matches, at most ``_FARTHEST``."""
    matched = [atoms[0] for atoms in mol.GetSubstructMatches(pattern)]
    if not matched:
        return np.full(mol.GetNumAtoms(), _FARTHEST)
    return np.minimum(distances[:, matched].min(axis=1), _FARTHEST)
