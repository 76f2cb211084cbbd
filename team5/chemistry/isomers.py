"""Isomers of a structure by small random changes, its references if there are no others."""

from __future__ import annotations

import hashlib

import numpy as np
from rdkit import Chem

from team5.chemistry.molecule import Molecule, parse_smiles

N_ISOMERS = 8  # isomers that a structure is compared with
_MAX_CHANGES = 3  # successive changes per isomer
_ATTEMPTS_PER_ISOMER = 12


def make_isomers(molecule: Molecule, n: int = N_ISOMERS, *, seed: int = 0) -> list[str]:
    """Return other structures of the same formula, fixed by structure and seed.

    Each differs by one to three changes: a group on a single bond moves to another atom, or two
    atoms of different elements swap. The isomers are related, though not always stable.

    Parameters
    ----------
    molecule : Molecule
        Its judged component is changed.
    n : int
        At most; small or symmetric structures may have fewer.
    seed : int

    Returns
    -------
    list of str
        Distinct canonical SMILES without stereo, none of them the structure itself.
    """
    original = _canonical(molecule.mol)
    digest = hashlib.blake2b(f"{seed}:{molecule.inchikey14}".encode(), digest_size=8).digest()
    random = np.random.default_rng(int.from_bytes(digest))
    isomers: dict[str, None] = {}
    for _ in range(_ATTEMPTS_PER_ISOMER * n):
        if len(isomers) == n:
            break
        mol = _with_written_hydrogens(molecule.mol)
        for _ in range(int(random.integers(1, _MAX_CHANGES + 1))):
            change = _move_part if random.random() < 0.6 else _swap_atoms
            mol = change(mol, random) or mol
        smiles = _checked(mol)
        # A tautomer has a different SMILES but is the same structure.
        if smiles in (None, original) or smiles in isomers:
            continue
        if parse_smiles(smiles).inchikey14 != molecule.inchikey14:
            isomers[smiles] = None
    return list(isomers)


def _with_written_hydrogens(mol: Chem.Mol) -> Chem.RWMol:
    """Return a Kekulé copy with explicit hydrogen counts on all atoms."""
    copy = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(copy)
    Chem.Kekulize(copy, clearAromaticFlags=True)
    for atom in copy.GetAtoms():
        n = atom.GetTotalNumHs()
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(n)
    return copy


def _move_part(mol: Chem.RWMol, random: np.random.Generator) -> Chem.RWMol | None:
    bonds = [
        bond
        for bond in mol.GetBonds()
        if bond.GetBondType() == Chem.BondType.SINGLE
        and not bond.IsInRing()
        and _is_plain(bond.GetBeginAtom())
        and _is_plain(bond.GetEndAtom())
    ]
    if not bonds:
        return None
    bond = bonds[int(random.integers(len(bonds)))]
    ends = [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
    left, moved = ends if random.random() < 0.5 else ends[::-1]
    changed = Chem.RWMol(mol)
    changed.RemoveBond(left, moved)
    (stays,) = (part for part in Chem.GetMolFrags(changed) if left in part)
    places = [i for i in stays if i != left and changed.GetAtomWithIdx(i).GetNumExplicitHs() > 0]
    if not places:
        return None
    place = places[int(random.integers(len(places)))]
    changed.AddBond(place, moved, Chem.BondType.SINGLE)
    _add_hydrogens(changed, left, 1)
    _add_hydrogens(changed, place, -1)
    changed.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(changed)
    return changed


def _swap_atoms(mol: Chem.RWMol, random: np.random.Generator) -> Chem.RWMol | None:
    i, j = (int(index) for index in random.integers(mol.GetNumAtoms(), size=2))
    a, b = mol.GetAtomWithIdx(i), mol.GetAtomWithIdx(j)
    if a.GetAtomicNum() == b.GetAtomicNum() or not (_is_plain(a) and _is_plain(b)):
        return None
    bonded = [round(sum(bond.GetBondTypeAsDouble() for bond in x.GetBonds())) for x in (a, b)]
    hydrogens = [x.GetNumExplicitHs() for x in (a, b)]
    # Each keeps its valence: hydrogens replace bonds it lacks at its new position.
    wanted = [bonded[1] + hydrogens[1] - bonded[0], bonded[0] + hydrogens[0] - bonded[1]]
    if min(wanted) < 0:
        return None
    changed = Chem.RWMol(mol)
    numbers = b.GetAtomicNum(), a.GetAtomicNum()
    for index, number, n_hydrogens in zip((i, j), numbers, wanted, strict=True):
        atom = changed.GetAtomWithIdx(index)
        atom.SetAtomicNum(number)
        atom.SetNumExplicitHs(n_hydrogens)
    return changed


def _is_plain(atom: Chem.Atom) -> bool:
    return not (atom.GetFormalCharge() or atom.GetIsotope())


def _add_hydrogens(mol: Chem.RWMol, index: int, n: int) -> None:
    atom = mol.GetAtomWithIdx(index)
    atom.SetNumExplicitHs(atom.GetNumExplicitHs() + n)


def _checked(mol: Chem.RWMol) -> str | None:
    """Return canonical SMILES, or None if an atom exceeds its valence."""
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return _canonical(mol)


def _canonical(mol: Chem.Mol) -> str:
    """Return SMILES with isotopes and without stereo."""
    plain = Chem.Mol(mol)
    Chem.RemoveStereochemistry(plain)
    text: str = Chem.MolToSmiles(plain)
    return text
