"""Molecules from SMILES: the judged component with formula, exact mass and InChIKey."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors

from team5.constants import MAX_HEAVY_ATOMS, MAX_SMILES_LENGTH
from team5.errors import MoleculeError
from team5.runtime.tables import counted

# Codes of structures that are valid and too large for the model.
TOO_LARGE = ("too_many_heavy_atoms", "smiles_too_long")

# RDKit prints to stderr from C++; its complaints are turned into errors here instead.
_POSITION = re.compile(r"position (\d+)")
_VALENCE = re.compile(r"valence for atom # (\d+) (\w+)")
_KEKULE = re.compile(r"[Uu]nkekulized atoms: ([\d ]+)")
_RING_NUMBER = re.compile(r"\[[^\]]*\]|%(?P<two>\d\d)|%\((?P<any>\d+)\)|(?P<one>\d)")
_PERIODIC_TABLE = Chem.GetPeriodicTable()
# RDKit's logging is one setting of the whole process: a thread that blocks its logs
# would remove messages from which another thread makes an error's text.
_log_lock = threading.Lock()
_STRUCTURE_BONDS = {
    Chem.BondType.SINGLE,
    Chem.BondType.DOUBLE,
    Chem.BondType.TRIPLE,
    Chem.BondType.AROMATIC,
    Chem.BondType.DATIVE,
}


@dataclass(frozen=True)
class Molecule:
    """The judged component of a SMILES, without stereo.

    Attributes
    ----------
    smiles : str
        As typed.
    mol : rdkit.Chem.Mol
        The judged component; hydrogens are counts on the heavy atoms.
    atom_indices : tuple of int
        For each atom of ``mol``, its index in the SMILES as typed.
    notes : tuple of str
        What was left out or changed, as text for the user.
    canonical_smiles : str
        Of ``mol``.
    """

    smiles: str
    mol: Chem.Mol
    atom_indices: tuple[int, ...]
    notes: tuple[str, ...]
    canonical_smiles: str

    @property
    def n_heavy_atoms(self) -> int:
        return int(self.mol.GetNumAtoms())

    @property
    def n_bytes(self) -> int:
        """Memory that it takes, about; most of it RDKit's."""
        return 2_000 + 1_300 * self.n_heavy_atoms

    @cached_property
    def charge(self) -> int:
        """Net charge that protons cannot remove, in elementary charges."""
        return int(Chem.GetFormalCharge(self.mol))

    @cached_property
    def formula(self) -> str:
        """Hill formula, with a permanent charge at its end (``C5H14NO+``)."""
        return str(rdMolDescriptors.CalcMolFormula(self.mol))

    @cached_property
    def exact_mass(self) -> float:
        """Monoisotopic mass in u of the atoms; electrons of a charge are not subtracted."""
        return sum(self.atom_masses)

    @cached_property
    def atom_masses(self) -> list[float]:
        """Monoisotopic mass in u of each atom of ``mol``, its hydrogens included."""
        return atom_masses(self.mol)

    @cached_property
    def element_counts(self) -> dict[str, int]:
        """Atoms by symbol, hydrogens included."""
        counts = {"H": 0}
        for atom in atoms_of(self.mol):
            counts[atom.GetSymbol()] = counts.get(atom.GetSymbol(), 0) + 1
            counts["H"] += atom.GetTotalNumHs()
        return counts

    @cached_property
    def inchikey14(self) -> str:
        """First block of the InChIKey: the same for all stereo and charge forms of a skeleton."""
        with quiet():
            key = str(Chem.MolToInchiKey(self.mol))
        if not key:
            raise MoleculeError(
                f"SMILES {self.smiles!r}: no InChIKey can be computed for this structure."
            )
        return key[:14]


def atom_masses(mol: Chem.Mol) -> list[float]:
    """Return each atom's monoisotopic mass in u, its hydrogens included.

    An atom written with an isotope number has that isotope's mass.
    """
    hydrogen = _isotope_mass(1, 0)
    return [
        _isotope_mass(atom.GetAtomicNum(), atom.GetIsotope()) + hydrogen * atom.GetTotalNumHs()
        for atom in atoms_of(mol)
    ]


def is_small_enough(smiles: str) -> bool:
    """Tell whether the structure of a valid SMILES is small enough to be cut.

    Every heavy atom takes at least one character, so only long SMILES are parsed.
    """
    if len(smiles) <= MAX_HEAVY_ATOMS:
        return True
    try:
        parse_smiles(smiles)
    except MoleculeError:
        return False
    return True


def atoms_of(mol: Chem.Mol) -> list[Chem.Atom]:
    """Return the atoms by index; several times as fast as iterating over ``mol.GetAtoms()``."""
    get = mol.GetAtomWithIdx
    return [get(i) for i in range(mol.GetNumAtoms())]


def bonds_of(mol: Chem.Mol) -> list[Chem.Bond]:
    """Return the bonds by index; several times as fast as iterating over ``mol.GetBonds()``."""
    get = mol.GetBondWithIdx
    return [get(i) for i in range(mol.GetNumBonds())]


@lru_cache(maxsize=1_024)
def _isotope_mass(number: int, isotope: int) -> float:
    """Return an isotope's mass in u; isotope 0 is the most common one."""
    if isotope:
        return float(_PERIODIC_TABLE.GetMassForIsotope(number, isotope))
    return float(_PERIODIC_TABLE.GetMostCommonIsotopeMass(number))


def parse_smiles(smiles: str) -> Molecule:
    """Parse a SMILES and select the judged component: the largest organic one, without stereo.

    Charges due to protons are removed (``[NH3+]``, ``C(=O)[O-]``), so that salts written
    as ions and as neutral parts are the same molecule; permanent charges are kept.

    Raises
    ------
    MoleculeError
        If the text is not a SMILES (with the position), has no atoms, contains query or dummy
        atoms, or its judged component has more than ``MAX_HEAVY_ATOMS`` heavy atoms.
    """
    if not isinstance(smiles, str):
        raise MoleculeError(
            f"a SMILES must be text such as CCO, not {type(smiles).__name__}: {smiles!r}."
        )
    text = smiles.strip()
    if not text:
        raise MoleculeError("the SMILES is empty. Give a structure such as CCO.")
    if len(text) > MAX_SMILES_LENGTH:
        raise MoleculeError(
            f"SMILES {shorten(text)!r}: {len(text)} characters; at most {MAX_SMILES_LENGTH}. "
            "Give a smaller structure.",
            code="smiles_too_long",
        )
    if blank := re.search(r"\s", text):
        raise MoleculeError(
            f"SMILES {shorten(text)!r}: a blank at position {blank.start() + 1}. "
            "Give the SMILES alone, without a name after it."
        )
    if not text.isascii():
        place = next(i for i, character in enumerate(text) if not character.isascii())
        raise MoleculeError(
            f"SMILES {shorten(text)!a}: character {text[place]!a} at position "
            f"{place + 1} is not ASCII. Type it anew; look-alikes come from word processors."
        )
    whole, typed = parse_typed(text)
    notes: list[str] = []
    if any(mark in text for mark in "@/\\") and (
        any(a.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED for a in atoms_of(whole))
        or any(b.GetStereo() != Chem.BondStereo.STEREONONE for b in bonds_of(whole))
    ):
        notes.append("stereo is kept in the text and ignored by the score")
        Chem.RemoveStereochemistry(whole)
    mol, atom_indices = _largest_organic_component(whole, typed, notes)
    mol = _neutralise(mol, notes)
    if mol.GetNumAtoms() > MAX_HEAVY_ATOMS:
        raise MoleculeError(
            f"SMILES {shorten(text)!r}: {mol.GetNumAtoms()} heavy atoms; "
            f"at most {MAX_HEAVY_ATOMS} can be fragmented. Leave it out.",
            code="too_many_heavy_atoms",
        )
    mol, order, canonical = _in_canonical_order(mol, text)
    indices = tuple(atom_indices[i] for i in order)
    return Molecule(smiles, mol, indices, tuple(notes), canonical)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep RDKit from printing within the context."""
    with _log_lock, rdBase.BlockLogs():
        yield


def parse_typed(text: str) -> tuple[Chem.Mol, list[int]]:
    """Return the complete molecule of a SMILES, with stereo and every component.

    Also each atom's index in the text, where hydrogens written as atoms count.

    Raises
    ------
    MoleculeError
        If it is not a SMILES of a complete structure.
    """
    params = Chem.SmilesParserParams()
    params.sanitize = False
    params.removeHs = False
    params.parseName = False
    with quiet():
        mol = Chem.MolFromSmiles(text, params)
    if mol is None:
        raise MoleculeError(_explain_syntax(text, _complaint(text, params)))
    try:
        with quiet():
            Chem.SanitizeMol(mol)
    except Chem.MolSanitizeException as error:
        raise MoleculeError(_explain_sanitization(text, mol, str(error))) from error
    if mol.GetNumAtoms() == 0:
        raise MoleculeError(f"SMILES {text!r}: no atoms. Give a structure such as CCO.")
    # Checking every atom and bond takes a third of the parsing time.
    has_hydrogens = False
    for atom in atoms_of(mol) if "[" in text or "*" in text else ():
        number, isotope = atom.GetAtomicNum(), atom.GetIsotope()
        has_hydrogens |= number == 1
        if number == 0:
            raise MoleculeError(
                f"SMILES {shorten(text)!r}: atom {atom.GetIdx() + 1} is a placeholder "
                f"({atom.GetSmarts()}). Give a complete structure."
            )
        if isotope and not _PERIODIC_TABLE.GetMassForIsotope(number, isotope):
            raise MoleculeError(
                f"SMILES {shorten(text)!r}: atom {atom.GetIdx() + 1} is {isotope}"
                f"{atom.GetSymbol()}, an isotope that is not known. Correct the number."
            )
        atom.SetIntProp("_typed_index", atom.GetIdx())
        atom.SetAtomMapNum(0)
    for bond in bonds_of(mol) if "~" in text or "$" in text else ():
        if bond.GetBondType() not in _STRUCTURE_BONDS:
            ends = bond.GetBeginAtomIdx() + 1, bond.GetEndAtomIdx() + 1
            raise MoleculeError(
                f"SMILES {shorten(text)!r}: the bond between atoms {ends[0]} and {ends[1]} is "
                "neither single, double, triple nor aromatic. Give a complete structure."
            )
    typed = list(range(mol.GetNumAtoms()))
    with quiet():
        if has_hydrogens:  # it sanitises once more
            mol = Chem.RemoveHs(mol)
            typed = [atom.GetIntProp("_typed_index") for atom in atoms_of(mol)]
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol, typed


def _complaint(text: str, params: Chem.SmilesParserParams) -> str:
    """Parse a bad SMILES again and return what RDKit logs about it."""
    logger = logging.getLogger("rdkit")
    stream = io.StringIO()
    with _log_lock:
        before = logger.handlers[:], logger.propagate, logger.level
        logger.handlers, logger.propagate = [logging.StreamHandler(stream)], False
        logger.setLevel(logging.DEBUG)
        rdBase.LogToPythonLogger()
        try:
            Chem.MolFromSmiles(text, params)
        finally:
            rdBase.LogToCppStreams()
            logger.handlers, logger.propagate = before[0], before[1]
            logger.setLevel(before[2])
    return stream.getvalue()


def _explain_syntax(text: str, complaint: str) -> str:
    match = _POSITION.search(complaint)
    position = int(match.group(1)) if match else _unclosed_ring(text)
    where = f" at position {position}" if position else ""
    lowered = complaint.lower()
    if "unclosed ring" in lowered:
        why = "a ring is opened and not closed"
    elif "extra close parentheses" in lowered:
        why = "a parenthesis is closed that was not opened"
    elif "extra open parentheses" in lowered:
        why = "a parenthesis is opened and not closed"
    elif "syntax error" in lowered:
        why = "not understood"
    else:
        lines = [line for line in complaint.splitlines() if line.strip()]
        why = lines[0].split("SMILES Parse Error: ")[-1].strip() if lines else "not understood"
    return f"SMILES {shorten(text)!r}: {why}{where}. Check the text around there."


def _unclosed_ring(text: str) -> int | None:
    """Return the position, from 1, of the first unclosed ring bond."""
    opened: dict[int, int] = {}
    for match in _RING_NUMBER.finditer(text):
        digits = match["two"] or match["any"] or match["one"]
        if digits is None:  # within brackets a number is a count, a charge or an isotope
            continue
        number = int(digits)
        if number in opened:
            del opened[number]
        else:
            opened[number] = match.start() + 1
    return min(opened.values(), default=None)


def _explain_sanitization(text: str, mol: Chem.Mol, message: str) -> str:
    valence, kekule = _VALENCE.search(message), _KEKULE.search(message)
    if valence:
        number = int(valence.group(1))
        what = f"atom {number + 1} ({valence.group(2)}) has more bonds than its valence allows"
    elif kekule:
        numbers = ", ".join(str(int(i) + 1) for i in kekule.group(1).split())
        what = f"atoms {numbers} cannot form an aromatic ring"
    else:
        what = message
    return f"SMILES {shorten(text)!r}: {what}. Correct the structure."


def _largest_organic_component(
    whole: Chem.Mol, typed: list[int], notes: list[str]
) -> tuple[Chem.Mol, list[int]]:
    groups: tuple[tuple[int, ...], ...] = Chem.GetMolFrags(whole)
    if len(groups) == 1:
        return whole, typed
    mapping: list[tuple[int, ...]] = []
    parts = Chem.GetMolFrags(whole, asMols=True, fragsMolAtomMapping=mapping)

    def size(index: int) -> tuple[bool, int, float, str]:
        part = parts[index]
        has_carbon = any(a.GetAtomicNum() == 6 for a in atoms_of(part))
        return has_carbon, part.GetNumAtoms(), sum(atom_masses(part)), Chem.MolToSmiles(part)

    best = max(range(len(parts)), key=size)
    smiles = Chem.MolToSmiles(parts[best])
    notes.append(f"judged by the largest organic component of {len(parts)}: {smiles}")
    return parts[best], [typed[i] for i in mapping[best]]


def _neutralise(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    """Move the net charge towards zero with protons that atoms can give or take."""
    charge = Chem.GetFormalCharge(mol)
    if charge == 0:
        return mol
    step = -1 if charge > 0 else 1
    neutral = Chem.RWMol(mol)
    moved = 0
    for atom in atoms_of(neutral):
        charge_of_atom = atom.GetFormalCharge()
        if charge == 0:
            break
        if charge_of_atom * charge <= 0 or (step < 0 and atom.GetTotalNumHs() == 0):
            continue
        # An N-oxide or nitro group: its charge is balanced within the bond, not by a proton.
        if any(n.GetFormalCharge() * charge_of_atom < 0 for n in atom.GetNeighbors()):
            continue
        hydrogens = atom.GetTotalNumHs() + step
        atom.SetFormalCharge(charge_of_atom + step)
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(hydrogens)
        charge += step
        moved += 1
    if not moved:
        return mol
    try:
        with quiet():
            Chem.SanitizeMol(neutral)
    except Chem.MolSanitizeException:
        # An ion that owes its aromaticity to the charge, such as a cyclopentadienyl anion.
        return mol
    notes.append(f"judged as {Chem.MolToSmiles(neutral)}, with {counted(moved, 'proton')} moved")
    return neutral.GetMol()


def _in_canonical_order(mol: Chem.Mol, text: str) -> tuple[Chem.Mol, Sequence[int], str]:
    """Return a molecule with atoms and bonds in canonical order, their old indices, its SMILES.

    At the limit of fragments their order decides which are kept: otherwise the same structure
    would score differently from another SMILES.
    """
    params = Chem.SmilesParserParams()
    params.removeHs = False
    canonical = Chem.MolToSmiles(mol)
    if canonical == text:  # as in a library; parsing it again would give the same
        return mol, range(mol.GetNumAtoms()), canonical
    order = list(mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    with quiet():
        rewritten = Chem.MolFromSmiles(canonical, params)
    if rewritten is None:
        raise MoleculeError(
            f"SMILES {shorten(canonical)!r}: the canonical form of this structure cannot be read "
            "again. Write its charges and aromatic rings in another way."
        )
    return rewritten, order, canonical


def shorten(text: str, length: int = 60) -> str:
    """Return a text cut to a length, with an ellipsis if it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
