"""Fragments of a molecule by cutting bonds: atoms, formula, mass, path.

A fragment is a connected set of heavy atoms with their hydrogens, stored as a bit mask of two
64-bit words. Cutting is breadth first: in each fragment, every bond outside cycles is cut
alone, and every pair of bonds of an intact ring together; each split gives both sides.

References
----------
Systematic bond disconnection: Hill and Mortimer-Jones, Rapid Commun. Mass Spectrom. 19:3111 (2005);
MetFrag: Wolf et al., BMC Bioinformatics 11:148 (2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from team5.chemistry.atom_masks import unpack
from team5.chemistry.cutting import cut
from team5.chemistry.molecule import Molecule, atoms_of, bonds_of

# Incremented whenever a molecule gives different fragments, or the same ones in another order.
ALGORITHM = 1
MAX_DEPTH = 3  # cuts, one after another; a ring's pair of bonds is one cut
MAX_FRAGMENTS = 1_000  # kept per molecule, including the whole molecule
MIN_FRAGMENT_MASS = 36.0  # u; lighter pieces are below what instruments scan
MAX_RING_SIZE = 24  # atoms; larger rings are not opened

# Relative costs of cutting, in the spirit of MetFrag's bond dissociation energies: a bond between
# carbon and a hetero atom is 1.
COST_SINGLE_CARBON = 1.5
COST_SINGLE_HETERO = 1.0
COST_RING_SINGLE_FACTOR = 0.8
COST_AROMATIC = 2.0
COST_DOUBLE = 2.5
COST_TRIPLE = 4.0
_COSTS = {1.5: COST_AROMATIC, 2.0: COST_DOUBLE, 3.0: COST_TRIPLE}  # by bond order

Array = NDArray[Any]


@dataclass(frozen=True)
class Graph:
    """Molecular graph for cutting: A atoms, E bonds, R rings.

    Attributes
    ----------
    masses : array of shape (A,)
        Monoisotopic, in u, hydrogens included.
    hydrogens, elements : array of shape (A,)
        Hydrogens on each atom; atomic number.
    bonds : array of shape (E, 2)
        Atom indices of each bond's ends.
    bond_costs : array of shape (E,)
    rings : tuple of tuple of int
        Bond indices of each ring that may be opened, in their order around it.
    """

    masses: Array
    hydrogens: Array
    elements: Array
    bonds: Array
    bond_costs: Array
    rings: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Fragments:
    """F fragments of one molecule; index 0 is the whole molecule.

    Attributes
    ----------
    masks : array of shape (F, 2), uint64
        Atoms kept; atom i is bit ``i % 64`` of word ``i // 64``.
    depths : array of shape (F,)
        Cuts on the shortest path.
    costs : array of shape (F,)
        Sum of the costs of the bonds cut on the cheapest path of that depth.
    parents : array of shape (F,)
        Fragment it was cut from on that path; 0 for the whole molecule.
    masses : array of shape (F,)
        Monoisotopic, in u, neutral, hydrogens of the kept atoms included.
    hydrogens : array of shape (F,)
        Hydrogens of the kept atoms.
    """

    graph: Graph
    masks: Array
    depths: Array
    costs: Array
    parents: Array
    masses: Array
    hydrogens: Array

    def __len__(self) -> int:
        return len(self.masks)

    @cached_property
    def inside(self) -> Array:
        """Atoms kept, shape (F, A), uint8."""
        return unpack(self.masks, len(self.graph.masses))

    @cached_property
    def by_mass(self) -> Array:
        """Indices of the fragments by mass, in a stable order, shape (F,)."""
        return np.argsort(self.masses, kind="stable")

    def atoms(self, index: int) -> tuple[int, ...]:
        """Return the atoms of a fragment, as indices into the judged component."""
        return tuple(int(i) for i in np.flatnonzero(self.inside[index]))

    def counts_of(self, indices: Sequence[int] | Array) -> tuple[list[str], Array]:
        """Return element symbols, hydrogen first, and the atom counts of N fragments, (N, S)."""
        numbers, column = np.unique(np.append(self.graph.elements, 1), return_inverse=True)
        table = Chem.GetPeriodicTable()
        is_of = column[:-1, None] == np.arange(len(numbers))
        counts = unpack(self.masks[indices], len(is_of)) @ is_of.astype(np.int64)
        counts[:, 0] += self.hydrogens[indices]
        return [table.GetElementSymbol(number) for number in numbers.tolist()], counts

    def cut_bonds(self, index: int) -> tuple[tuple[int, int], ...]:
        """Return the bonds with one end in the fragment, kept end first."""
        inside = self.inside[index]
        ends = ((int(a), int(b)) for a, b in self.graph.bonds)
        return tuple((a, b) if inside[a] else (b, a) for a, b in ends if inside[a] != inside[b])


def hill_formulas(symbols: Sequence[str], counts: Array) -> list[str]:
    """Return the formula of each row of element counts, shape (N, S), in Hill order.

    C, H, others by letter; without C all by letter.
    """
    by_letter = sorted(range(len(symbols)), key=lambda i: symbols[i])
    carbon_first = sorted(by_letter, key=lambda i: {"C": 0, "H": 1}.get(symbols[i], 2))
    carbon = symbols.index("C") if "C" in symbols else None
    formulas = []
    for row in counts.tolist():
        order = by_letter if carbon is None or not row[carbon] else carbon_first
        counted = [(symbols[i], row[i]) for i in order if row[i] > 0]
        formulas.append("".join([s if n == 1 else f"{s}{n}" for s, n in counted]))
    return formulas


def molecule_graph(molecule: Molecule) -> Graph:
    """Return the graph of a molecule for cutting."""
    mol = molecule.mol
    atoms, bonds = atoms_of(mol), bonds_of(mol)
    elements = [atom.GetAtomicNum() for atom in atoms]
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    costs = [
        _COSTS.get(bond.GetBondTypeAsDouble())
        or (COST_SINGLE_CARBON if elements[a] == elements[b] == 6 else COST_SINGLE_HETERO)
        * (COST_RING_SINGLE_FACTOR if bond.IsInRing() else 1.0)
        for bond, (a, b) in zip(bonds, ends, strict=True)
    ]
    rings = tuple(tuple(r) for r in mol.GetRingInfo().BondRings() if len(r) <= MAX_RING_SIZE)
    return Graph(
        masses=np.array(molecule.atom_masses, dtype=np.float64),
        hydrogens=np.array([atom.GetTotalNumHs() for atom in atoms], dtype=np.int32),
        elements=np.array(elements, dtype=np.int32),
        bonds=np.array(ends, dtype=np.int32).reshape(-1, 2),
        bond_costs=np.array(costs, dtype=np.float32),
        rings=rings,
    )


def enumerate_fragments(
    molecule: Molecule, *, max_depth: int = MAX_DEPTH, max_fragments: int = MAX_FRAGMENTS
) -> Fragments:
    """Return the fragments of a molecule, at most ``max_fragments``, cheapest parents first.

    Within a depth the cheapest fragments are cut first, so that the cap leaves out the least
    likely. The order is the same for the same RDKit molecule.
    """
    return cut_graph(molecule_graph(molecule), max_depth, max_fragments)


def cut_graph(graph: Graph, max_depth: int, max_fragments: int) -> Fragments:
    """Cut a graph; see :func:`enumerate_fragments`."""
    columns = cut(
        graph.masses,
        graph.hydrogens,
        graph.bonds,
        graph.bond_costs,
        np.array([bond for ring in graph.rings for bond in ring], dtype=np.int32),
        np.array([0, *accumulate(len(ring) for ring in graph.rings)], dtype=np.int32),
        max_depth,
        max_fragments,
        MIN_FRAGMENT_MASS,
    )
    return Fragments(graph, *columns)
