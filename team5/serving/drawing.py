"""Structures as SVG, with atoms and bonds that a page can point at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from team5.chemistry.molecule import parse_smiles
from team5.errors import ConfigError, MoleculeError
from team5.serving.items import check_atoms, kind_of, parse_json
from team5.serving.settings import Limits

_COLOUR = (0.55, 0.78, 0.98)
_KEYS = {"smiles", "atoms", "bonds", "width", "height"}


def draw(body: bytes, limits: Limits) -> bytes:
    """Return the answer to POST /draw."""
    request = parse_json(body)
    if not isinstance(request, dict) or request.keys() - _KEYS:
        raise ConfigError(f"a drawing takes an object with {', '.join(sorted(_KEYS))}.")
    smiles = request.get("smiles")
    if not isinstance(smiles, str):
        raise MoleculeError(f"a SMILES must be text, not {kind_of(smiles)}.")
    check_atoms(smiles, limits)
    atoms, bonds = request.get("atoms") or [], request.get("bonds") or []
    if not isinstance(atoms, list) or not all(map(_is_index, atoms)):
        raise ConfigError("atoms must be a list of atom numbers, from 0.")
    if not isinstance(bonds, list) or not all(
        isinstance(bond, list) and len(bond) == 2 and all(map(_is_index, bond)) for bond in bonds
    ):
        raise ConfigError("bonds must be a list of pairs of atom numbers, from 0.")
    size = request.get("width", 300), request.get("height", 220)
    if not all(_is_index(side) and 50 <= side <= 2000 for side in size):
        raise ConfigError("width and height must be whole numbers from 50 to 2000.")
    return _svg(smiles, atoms, bonds, size).encode()


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _svg(
    smiles: str, atoms: Sequence[int], bonds: Sequence[Sequence[int]], size: tuple[int, int]
) -> str:
    """Return a structure as SVG with a transparent background, of a size in pixels.

    Every atom has an element of class ``atom-i``, every bond one of class ``bond-i atom-j
    atom-k``; indices are those of the SMILES as typed, as in `ExplainedPeak`. The bonds between
    coloured atoms are coloured, too.
    """
    parse_smiles(smiles)
    params = Chem.SmilesParserParams()
    params.removeHs = False
    params.parseName = False
    mol = Chem.MolFromSmiles(smiles.strip(), params)
    n_atoms = mol.GetNumAtoms()
    for index in (*atoms, *(end for bond in bonds for end in bond)):
        if not 0 <= index < n_atoms:
            raise ConfigError(
                f"atoms: no atom {index}; this structure has 0 to {n_atoms - 1}. Give these."
            )
    coloured = set(atoms)
    bond_indices = [
        bond.GetIdx()
        for bond in mol.GetBonds()
        if bond.GetBeginAtomIdx() in coloured and bond.GetEndAtomIdx() in coloured
    ]
    for first, second in bonds:
        bond = mol.GetBondBetweenAtoms(first, second)
        if bond is None:
            raise ConfigError(
                f"bonds: atoms {first} and {second} are not bonded. Give pairs that are."
            )
        bond_indices.append(bond.GetIdx())
    rdDepictor.SetPreferCoordGen(False)
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    options = drawer.drawOptions()
    options.clearBackground = False
    options.setHighlightColour(_COLOUR)
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer, mol, highlightAtoms=sorted(coloured), highlightBonds=sorted(set(bond_indices))
    )
    drawer.TagAtoms(mol, 0.3)
    drawer.FinishDrawing()
    svg: str = drawer.GetDrawingText()
    # As part of a page there is no XML declaration.
    return svg[svg.index("<svg") :]
