"""Conversion of SMILES, InChI or molblocks in files to SMILES."""

from __future__ import annotations

from rdkit import Chem

from team5.chemistry.molecule import quiet, shorten
from team5.constants import MAX_SMILES_LENGTH
from team5.errors import MoleculeError

_INCHI = "InChI="
_MOLBLOCK_END = "M  END"


def to_smiles(text: str) -> str:
    """Return the SMILES of a structure written as SMILES, InChI or molblock.

    A SMILES is only stripped: `parse_smiles` reports its faults.

    Raises
    ------
    MoleculeError
        If an InChI or molblock is not understood.
    """
    stripped = text.strip()
    if stripped.startswith(_INCHI):
        if len(stripped) > MAX_SMILES_LENGTH:
            raise MoleculeError(
                f"InChI {shorten(stripped)!r}: {len(stripped)} characters; at most "
                f"{MAX_SMILES_LENGTH}. Give a smaller structure.",
                code="structure_invalid",
            )
        with quiet():
            mol = Chem.MolFromInchi(stripped)
        what, code = f"InChI {shorten(stripped)!r}", "structure_invalid"
    elif "\n" in stripped and _MOLBLOCK_END in stripped:
        with quiet():
            mol = Chem.MolFromMolBlock(text, removeHs=False)
        what, code = f"molblock {text.splitlines()[0].strip()!r}", "molblock_not_understood"
    else:
        return stripped
    if mol is None or not mol.GetNumAtoms():
        raise MoleculeError(f"{what}: not understood. Correct the structure.", code=code)
    return str(Chem.MolToSmiles(mol))


def looks_like_structure(text: str) -> bool:
    """Tell whether a word is an InChI or follows the SMILES grammar; valences are not checked."""
    if text.startswith(_INCHI):
        return True
    params = Chem.SmilesParserParams()
    params.sanitize = False
    params.parseName = False
    if len(text) > MAX_SMILES_LENGTH or not text.isascii():
        return False
    with quiet():
        mol = Chem.MolFromSmiles(text, params)
    return mol is not None and mol.GetNumAtoms() > 0
