"""Tokenizer: SMILES to the model's atoms, bonds and fragments, and back.

Atoms and bonds are categorical columns, each with a fixed vocabulary. Depth and limit of the
enumeration of fragments are part of the vocabulary: a model's probabilities depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from team5.chemistry.fragment_features import FRAGMENT_FEATURES, Countable, write_features
from team5.chemistry.fragments import (
    MAX_DEPTH,
    MAX_FRAGMENTS,
    Fragments,
    cut_graph,
    molecule_graph,
)
from team5.chemistry.molecule import Molecule, atoms_of, bonds_of, parse_smiles
from team5.errors import ConfigError, MoleculeError

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]

HYBRIDISATIONS = ("UNSPECIFIED", "S", "SP", "SP2", "SP3", "SP3D", "SP3D2")
BOND_TYPES = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", "DATIVE")
_HYBRIDISATION_COLUMNS = {
    getattr(Chem.HybridizationType, name): column for column, name in enumerate(HYBRIDISATIONS)
}
_BOND_COLUMNS = {getattr(Chem.BondType, name): column for column, name in enumerate(BOND_TYPES)}
_BOND_ORDER_COLUMNS = {
    order: BOND_TYPES.index(name)
    for order, name in {1.0: "SINGLE", 2.0: "DOUBLE", 3.0: "TRIPLE", 1.5: "AROMATIC"}.items()
}
_DATIVE = BOND_TYPES.index("DATIVE")
MAX_CHARGE = 4  # either sign
RING_SIZES = 8  # classes: none, 3, 4, 5, 6, 7, 8, larger

# Column → number of tokens; part of every version's config.
ATOM_VOCABULARY = {
    "element": 119,
    "charge": 2 * MAX_CHARGE + 1,
    "hydrogens": 6,
    "aromatic": 2,
    "degree": 8,
    "hybridisation": len(HYBRIDISATIONS),
    "ring_size": RING_SIZES,
    "n_rings": 4,
}
BOND_VOCABULARY = {
    "type": len(BOND_TYPES),
    "conjugated": 2,
    "ring_size": RING_SIZES,
    "n_rings": 4,
}
_SINGLE = BOND_TYPES.index("SINGLE")
# Kinds of bonds by type: between two carbons, carbon and nitrogen, oxygen, sulphur, and others.
_KINDS = ((5, 7, 8, 9, 10), (2, 3, 3, 3, 3), (4,) * 5, (0, 1, 1, 1, 1), (4,) * 5)
_KIND_IN_RING = 6  # of a single bond between carbons
_PARTNERS = {6: 0, 7: 1, 8: 2, 16: 3}


@dataclass(frozen=True)
class TokenizerConfig:
    """Limits of cutting; stored in ``config.json`` with the vocabularies."""

    max_depth: int = MAX_DEPTH
    max_fragments: int = MAX_FRAGMENTS


@dataclass(frozen=True)
class MoleculeTokens:
    """One molecule as tokens: A atoms, E bonds, F fragments.

    Attributes
    ----------
    atoms : array of shape (A, 8), int
        Columns of ``ATOM_VOCABULARY``.
    isotopes : array of shape (A,), int
        Isotope numbers where written, else 0; only needed to decode.
    bonds : array of shape (E, 4), int
        Columns of ``BOND_VOCABULARY``.
    bond_ends : array of shape (E, 2), int
    fragments : Fragments
    """

    molecule: Molecule
    atoms: Array
    isotopes: Array
    bonds: Array
    bond_ends: Array
    bond_kinds: Array
    bond_orders: Array
    fragments: Fragments

    def fragment_features(self) -> Array:
        """Return features of the fragments, shape (F, len(FRAGMENT_FEATURES)), float32."""
        n = len(self.fragments)
        features = np.zeros((n, len(FRAGMENT_FEATURES)), dtype=np.float32)
        write_features(features, self.countable, np.arange(n))
        return features

    @property
    def countable(self) -> Countable:
        """What features of the fragments are counted from."""
        fragments, graph = self.fragments, self.fragments.graph
        return Countable(
            elements=graph.elements,
            hydrogens=graph.hydrogens,
            aromatic=np.ascontiguousarray(self.atoms[:, 3]),
            charges=self.atoms[:, 1].astype(np.int64) - MAX_CHARGE,
            ends=graph.bonds,
            bond_kinds=self.bond_kinds,
            bond_orders=self.bond_orders,
            masks=fragments.masks,
            depths=fragments.depths,
            costs=fragments.costs,
            masses=fragments.masses,
        )


class MoleculeTokenizer:
    """Turns SMILES into tokens and tensors, and tokens back into SMILES.

    ``tokenizer(smiles)`` takes one SMILES or a list and returns padded tensors;
    ``encode`` and ``decode`` work on one molecule.
    """

    def __init__(self, config: TokenizerConfig | None = None) -> None:
        self.config = config or TokenizerConfig()

    def encode(self, smiles: str | Molecule) -> MoleculeTokens:
        """Return the tokens of one molecule.

        Raises
        ------
        MoleculeError
            If the SMILES cannot be parsed or the molecule is too large; names the position.
        """
        molecule = parse_smiles(smiles) if isinstance(smiles, str) else smiles
        mol, graph = molecule.mol, molecule_graph(molecule)
        atoms, bonds, elements = atoms_of(mol), bonds_of(mol), graph.elements.tolist()
        charges = [atom.GetFormalCharge() for atom in atoms]
        for charge in charges:
            if abs(charge) > MAX_CHARGE:
                raise MoleculeError(
                    f"SMILES {molecule.smiles!r}: an atom of charge {charge}; "
                    f"at most {MAX_CHARGE} either way. Leave it out."
                )
        atom_ring_sizes, atom_rings, bond_ring_sizes, bond_rings = _ring_classes(mol)
        # Column by column, several times as fast as atom by atom.
        atom_columns = {
            "element": elements,
            "charge": [charge + MAX_CHARGE for charge in charges],
            "hydrogens": graph.hydrogens.tolist(),
            "aromatic": [atom.GetIsAromatic() for atom in atoms],
            "degree": [atom.GetDegree() for atom in atoms],
            "hybridisation": [_HYBRIDISATION_COLUMNS.get(a.GetHybridization(), 0) for a in atoms],
            "ring_size": atom_ring_sizes,
            "n_rings": atom_rings,
        }
        # Order 1 means single and dative bonds, and the latter are few.
        is_dative = any(arrow in molecule.canonical_smiles for arrow in "<>")
        bond_columns = {
            "type": [
                _BOND_COLUMNS.get(bond.GetBondType(), _DATIVE)
                if is_dative
                else _BOND_ORDER_COLUMNS.get(bond.GetBondTypeAsDouble(), _DATIVE)
                for bond in bonds
            ],
            "conjugated": [bond.GetIsConjugated() for bond in bonds],
            "ring_size": bond_ring_sizes,
            "n_rings": bond_rings,
        }
        kekulized = Chem.Mol(mol, True)
        Chem.Kekulize(kekulized)
        orders = [bond.GetBondTypeAsDouble() for bond in bonds_of(kekulized)]
        bond_tokens = _as_tokens(bond_columns, BOND_VOCABULARY)
        return MoleculeTokens(
            molecule=molecule,
            atoms=_as_tokens(atom_columns, ATOM_VOCABULARY),
            isotopes=np.array([atom.GetIsotope() for atom in atoms], dtype=np.int16),
            bonds=bond_tokens,
            bond_ends=graph.bonds,
            bond_kinds=_bond_kinds(bond_columns, elements, graph.bonds.tolist()),
            bond_orders=np.array(orders, dtype=np.float32),
            fragments=cut_graph(graph, self.config.max_depth, self.config.max_fragments),
        )

    def decode(self, tokens: MoleculeTokens) -> str:
        """Return the canonical SMILES of the atom and bond tokens."""
        mol = Chem.RWMol()
        for row, isotope in zip(tokens.atoms, tokens.isotopes, strict=True):
            atom = Chem.Atom(int(row[0]))
            atom.SetFormalCharge(int(row[1]) - MAX_CHARGE)
            atom.SetNumExplicitHs(int(row[2]))
            atom.SetNoImplicit(True)
            atom.SetIsAromatic(bool(row[3]))
            atom.SetIsotope(int(isotope))
            mol.AddAtom(atom)
        for row, (begin, end) in zip(tokens.bonds, tokens.bond_ends, strict=True):
            kind = getattr(Chem.BondType, BOND_TYPES[int(row[0])])
            mol.AddBond(int(begin), int(end), kind)
        Chem.SanitizeMol(mol)
        return str(Chem.CanonSmiles(Chem.MolToSmiles(mol)))

    def __call__(self, smiles: str | Molecule | Sequence[str | Molecule]) -> MoleculeBatch:
        """Tokenize one molecule or many and pad them into one batch of tensors.

        Raises
        ------
        MoleculeError
            As `encode`; or if there are none.
        """
        many = [smiles] if isinstance(smiles, str | Molecule) else list(smiles)
        if not many:
            raise MoleculeError("no SMILES to tokenize. Give at least one.")
        return pad_molecules([self.encode(each) for each in many])

    def to_config(self) -> dict[str, Any]:
        """Return the settings stored in ``config.json``: cutting limits and vocabularies."""
        return {
            **asdict(self.config),
            "atom_vocabulary": dict(ATOM_VOCABULARY),
            "bond_vocabulary": dict(BOND_VOCABULARY),
            "fragment_features": list(FRAGMENT_FEATURES),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MoleculeTokenizer:
        """Rebuild a tokenizer from ``config.json``.

        Raises
        ------
        ConfigError
            If the limits are missing, or the vocabulary differs from this code's.
        """
        try:
            here = cls(TokenizerConfig(config["max_depth"], config["max_fragments"]))
        except KeyError as error:
            raise ConfigError(
                f"config.json does not describe a model: {error}. Choose another version."
            ) from error
        written = here.to_config()
        different = sorted(key for key in written if config.get(key) != written[key])
        if different:
            raise ConfigError(
                f"the version's tokenizer differs in {', '.join(different)} from this release of "
                "team5. Use the release that wrote it."
            )
        return here


class GraphTokens(Protocol):
    """Tokens of the atoms and bonds of one molecule; see `MoleculeTokens`."""

    @property
    def atoms(self) -> Array: ...
    @property
    def bonds(self) -> Array: ...
    @property
    def bond_ends(self) -> Array: ...


@dataclass(frozen=True)
class GraphBatch:
    """M molecules as padded tensors, before cutting: at most A atoms, E bonds.

    Attributes
    ----------
    atoms : (M, A, 8) long
        Token ids, one column per entry of ``ATOM_VOCABULARY``.
    atom_padding_mask : (M, A) bool
        True where padded.
    bonds : (M, E, 4) long
    bond_ends : (M, E, 2) long
        Padded bonds join atom 0 to itself and are masked.
    bond_padding_mask : (M, E) bool
    tokens : sequence of GraphTokens
        The unpadded tokens.
    """

    atoms: torch.Tensor
    atom_padding_mask: torch.Tensor
    bonds: torch.Tensor
    bond_ends: torch.Tensor
    bond_padding_mask: torch.Tensor
    tokens: Sequence[GraphTokens]

    def __len__(self) -> int:
        return len(self.atoms)

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch with its tensors on ``device``."""
        return self._with_tensors(lambda tensor: tensor.to(device))

    def rows(self, index: torch.Tensor) -> Self:
        """Return the molecules of the rows, (N,), which may repeat; without their tokens."""
        chosen = self._with_tensors(lambda tensor: tensor.index_select(0, index))
        return replace(chosen, tokens=())

    def _with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        tensors: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if name != "tokens"
        }
        return replace(self, **tensors)


@dataclass(frozen=True)
class MoleculeBatch(GraphBatch):
    """M molecules as padded tensors: at most F fragments.

    Attributes
    ----------
    inside : (M, F, A) float
        1 where a fragment keeps an atom.
    fragment_features : (M, F, len(FRAGMENT_FEATURES)) float
    fragment_parents : (M, F) long
    fragment_padding_mask : (M, F) bool
    fragment_masses : (M, F) double
        u; neutral.
    fragment_hydrogens : (M, F) long
    """

    tokens: Sequence[MoleculeTokens]
    inside: torch.Tensor
    fragment_features: torch.Tensor
    fragment_parents: torch.Tensor
    fragment_padding_mask: torch.Tensor
    fragment_masses: torch.Tensor
    fragment_hydrogens: torch.Tensor


def pad_graphs(tokens: Sequence[GraphTokens]) -> GraphBatch:
    """Pad the atoms and bonds of M molecules into tensors."""
    import torch

    n = len(tokens)
    n_atoms = max(len(t.atoms) for t in tokens)
    n_bonds = max(1, *(len(t.bonds) for t in tokens))
    atoms = np.zeros((n, n_atoms, len(ATOM_VOCABULARY)), dtype=np.int64)
    atom_padding = np.ones((n, n_atoms), dtype=bool)
    bonds = np.zeros((n, n_bonds, len(BOND_VOCABULARY)), dtype=np.int64)
    bond_ends = np.zeros((n, n_bonds, 2), dtype=np.int64)
    bond_padding = np.ones((n, n_bonds), dtype=bool)
    for i, t in enumerate(tokens):
        a, e = len(t.atoms), len(t.bonds)
        atoms[i, :a], atom_padding[i, :a] = t.atoms, False
        bonds[i, :e], bond_ends[i, :e], bond_padding[i, :e] = t.bonds, t.bond_ends, False
    return GraphBatch(
        atoms=torch.from_numpy(atoms),
        atom_padding_mask=torch.from_numpy(atom_padding),
        bonds=torch.from_numpy(bonds),
        bond_ends=torch.from_numpy(bond_ends),
        bond_padding_mask=torch.from_numpy(bond_padding),
        tokens=tuple(tokens),
    )


def pad_molecules(tokens: Sequence[MoleculeTokens]) -> MoleculeBatch:
    """Pad the tokens of M molecules into tensors."""
    import torch

    graphs = pad_graphs(tokens)
    n, n_atoms = graphs.atom_padding_mask.shape
    n_fragments = max(len(t.fragments) for t in tokens)
    inside = np.zeros((n, n_fragments, n_atoms), dtype=np.float32)
    features = np.zeros((n, n_fragments, len(FRAGMENT_FEATURES)), dtype=np.float32)
    parents = np.zeros((n, n_fragments), dtype=np.int64)
    padding = np.ones((n, n_fragments), dtype=bool)
    masses = np.zeros((n, n_fragments), dtype=np.float64)
    hydrogens = np.zeros((n, n_fragments), dtype=np.int64)
    for i, t in enumerate(tokens):
        a, f = len(t.atoms), len(t.fragments)
        inside[i, :f, :a] = t.fragments.inside
        features[i, :f] = t.fragment_features()
        parents[i, :f], padding[i, :f] = t.fragments.parents, False
        masses[i, :f], hydrogens[i, :f] = t.fragments.masses, t.fragments.hydrogens
    return MoleculeBatch(
        **vars(graphs),
        inside=torch.from_numpy(inside),
        fragment_features=torch.from_numpy(features),
        fragment_parents=torch.from_numpy(parents),
        fragment_padding_mask=torch.from_numpy(padding),
        fragment_masses=torch.from_numpy(masses),
        fragment_hydrogens=torch.from_numpy(hydrogens),
    )


def _ring_classes(mol: Chem.Mol) -> tuple[list[int], list[int], list[int], list[int]]:
    info = mol.GetRingInfo()
    atom_sizes, atom_counts = [0] * mol.GetNumAtoms(), [0] * mol.GetNumAtoms()
    bond_sizes, bond_counts = [0] * mol.GetNumBonds(), [0] * mol.GetNumBonds()
    for rings, sizes, counts in (
        (info.AtomRings(), atom_sizes, atom_counts),
        (info.BondRings(), bond_sizes, bond_counts),
    ):
        for ring in rings:
            size = min(len(ring) - 2, RING_SIZES - 1)
            for index in ring:
                sizes[index] = min(sizes[index], size) if sizes[index] else size
                counts[index] += 1
    return atom_sizes, atom_counts, bond_sizes, bond_counts


def _as_tokens(columns: dict[str, list[int]], vocabulary: dict[str, int]) -> Array:
    """Return columns as one array; what exceeds a vocabulary counts as its last token."""
    tokens = np.array([columns[name] for name in vocabulary], dtype=np.int16)
    last = np.array([size - 1 for size in vocabulary.values()], dtype=np.int16)
    return np.minimum(tokens.T, last, order="C")


def _bond_kinds(
    columns: dict[str, list[int]], elements: Sequence[int], ends: Sequence[Sequence[int]]
) -> Array:
    """Class each bond: type first, then for single bonds the elements and whether in a ring."""
    kinds = []
    for kind, ring_size, (a, b) in zip(columns["type"], columns["ring_size"], ends, strict=True):
        one, two = elements[a], elements[b]
        partner = _PARTNERS.get(two if one == 6 else one, 4) if 6 in (one, two) else 4
        is_chain = kind == _SINGLE and partner == 0
        kinds.append(_KIND_IN_RING if is_chain and ring_size > 0 else _KINDS[kind][partner])
    return np.array(kinds, dtype=np.int64)
