"""Structures as SVG, with atoms and bonds that a page can point at."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from team5.chemistry.molecule import parse_smiles
from team5.errors import ConfigError

_COLOUR = (0.55, 0.78, 0.98)


def draw_structure(
    smiles: str,
    atoms: Sequence[int] = (),
    bonds: Sequence[tuple[int, int]] = (),
    size: tuple[int, int] = (300, 220),
) -> str:
    """Return a structure as SVG with a transparent background.

    Every atom has an element of class ``atom-i``, every bond one of class ``bond-i atom-j
    atom-k``; indices are those of the SMILES as typed, as in `ExplainedPeak`.

    Parameters
    ----------
    smiles : str
    atoms : sequence of int
        Atoms to colour, and the bonds between them.
    bonds : sequence of pairs of int
        Further bonds to colour, by their atoms.
    size : pair of int
        Width and height, in pixels.

    Raises
    ------
    MoleculeError
        If the model could not take the structure either.
    ConfigError
        If an atom or a bond is not there.
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
