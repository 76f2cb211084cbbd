"""Fragments of a molecule by cutting bonds: which atoms are kept, formula, mass, path.

A fragment is a connected set of heavy atoms with their hydrogens, written as a bit mask of two
64-bit words. Cutting is breadth first: from each fragment, every bond that lies in no cycle is cut
alone, and every pair of bonds of an intact ring together; whatever falls apart gives both sides.

References
----------
Systematic bond disconnection: Hill and Mortimer-Jones, Rapid Commun. Mass Spectrom. 19:3111 (2005);
MetFrag: Wolf et al., BMC Bioinformatics 11:148 (2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rdkit import Chem

from team5.chemistry.molecule import Molecule, atom_masses

MAX_DEPTH = 3  # cuts, one after another; a ring's pair of bonds is one cut
MAX_FRAGMENTS = 1_000  # kept per molecule, the whole molecule included
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

Array = NDArray[Any]

# numba turns a mix of uint64 and int64 into float64, so every constant is wrapped.
_U0 = np.uint64(0)
_U1 = np.uint64(1)
_U58 = np.uint64(58)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_DE_BRUIJN_INDEX = np.zeros(64, dtype=np.int64)
for _shift in range(64):
    _DE_BRUIJN_INDEX[((0x03F79D71B4CB0A89 << _shift) & (2**64 - 1)) >> 58] = _shift
_HASH_A = np.uint64(0x9E3779B97F4A7C15)
_HASH_B = np.uint64(0xC2B2AE3D27D4EB4F)


@dataclass(frozen=True)
class Graph:
    """What cutting needs of a molecule: A atoms, E bonds, R rings.

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
        Bond indices of each ring that may be opened.
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
        return _unpack(self.masks, len(self.graph.masses))

    def atoms(self, index: int) -> tuple[int, ...]:
        """Return the atoms that a fragment keeps, as indices into the judged component."""
        return tuple(int(i) for i in np.flatnonzero(self.inside[index]))

    def element_counts(self, index: int) -> dict[str, int]:
        """Return the atoms that a fragment keeps by element, hydrogens included."""
        table = Chem.GetPeriodicTable()
        counts: dict[str, int] = {"H": int(self.hydrogens[index])}
        for atom in self.atoms(index):
            symbol = table.GetElementSymbol(int(self.graph.elements[atom]))
            counts[symbol] = counts.get(symbol, 0) + 1
        return counts

    def cut_bonds(self, index: int) -> tuple[tuple[int, int], ...]:
        """Return the bonds with one end in the fragment, kept end first."""
        inside = self.inside[index]
        ends = ((int(a), int(b)) for a, b in self.graph.bonds)
        return tuple((a, b) if inside[a] else (b, a) for a, b in ends if inside[a] != inside[b])

    def formula(self, index: int, hydrogen_shift: int = 0) -> str:
        """Return a fragment's Hill formula with ``hydrogen_shift`` hydrogens added."""
        counts: dict[str, int] = {}
        table = Chem.GetPeriodicTable()
        for atom in self.atoms(index):
            symbol = table.GetElementSymbol(int(self.graph.elements[atom]))
            counts[symbol] = counts.get(symbol, 0) + 1
        counts["H"] = counts.get("H", 0) + int(self.hydrogens[index]) + hydrogen_shift
        return hill_formula(counts)


def hill_formula(counts: dict[str, int]) -> str:
    """Write element counts in Hill order: C, H, the others by letter; without C all by letter."""
    first = ["C", "H"] if counts.get("C") else []
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{e}{counts[e] if counts[e] > 1 else ''}" for e in order if counts[e] > 0)


def molecule_graph(mol: Chem.Mol) -> Graph:
    """Read from an RDKit molecule what cutting needs."""
    bonds, costs = [], []
    for bond in mol.GetBonds():
        begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
        bonds.append((begin.GetIdx(), end.GetIdx()))
        costs.append(_bond_cost(bond, begin.GetAtomicNum(), end.GetAtomicNum()))
    rings = tuple(tuple(r) for r in mol.GetRingInfo().BondRings() if len(r) <= MAX_RING_SIZE)
    return Graph(
        masses=np.array(atom_masses(mol), dtype=np.float64),
        hydrogens=np.array([a.GetTotalNumHs() for a in mol.GetAtoms()], dtype=np.int32),
        elements=np.array([a.GetAtomicNum() for a in mol.GetAtoms()], dtype=np.int32),
        bonds=np.array(bonds, dtype=np.int32).reshape(-1, 2),
        bond_costs=np.array(costs, dtype=np.float32),
        rings=rings,
    )


def _bond_cost(bond: Chem.Bond, begin: int, end: int) -> float:
    if bond.GetIsAromatic():
        return COST_AROMATIC
    kind = bond.GetBondType()
    if kind == Chem.BondType.DOUBLE:
        return COST_DOUBLE
    if kind == Chem.BondType.TRIPLE:
        return COST_TRIPLE
    cost = COST_SINGLE_CARBON if begin == 6 and end == 6 else COST_SINGLE_HETERO
    return cost * COST_RING_SINGLE_FACTOR if bond.IsInRing() else cost


def enumerate_fragments(
    molecule: Molecule, *, max_depth: int = MAX_DEPTH, max_fragments: int = MAX_FRAGMENTS
) -> Fragments:
    """Return the fragments of a molecule, at most ``max_fragments``, cheapest parents first.

    Within a depth the cheapest fragments are cut first, so that the cap leaves out the least
    likely. The order is the same for the same RDKit molecule.
    """
    return cut_graph(molecule_graph(molecule.mol), max_depth, max_fragments)


def cut_graph(graph: Graph, max_depth: int, max_fragments: int) -> Fragments:
    """Cut a graph; see :func:`enumerate_fragments`."""
    ring_bonds = np.array([b for ring in graph.rings for b in ring], dtype=np.int32)
    ring_starts = np.cumsum([0] + [len(ring) for ring in graph.rings]).astype(np.int32)
    masks, depths, costs, parents, masses = _cut(
        graph.masses,
        graph.bonds,
        graph.bond_costs,
        ring_bonds,
        ring_starts,
        max_depth,
        max_fragments,
        MIN_FRAGMENT_MASS,
    )
    hydrogens = _unpack(masks, len(graph.masses)).astype(np.int32) @ graph.hydrogens
    return Fragments(graph, masks, depths, costs, parents, masses, hydrogens)


def _unpack(masks: Array, n_atoms: int) -> Array:
    octets = masks.astype("<u8", copy=False).view(np.uint8).reshape(len(masks), 16)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :n_atoms]


@njit(inline="always")
def _lowest_bit(word):  # type: ignore[no-untyped-def]
    isolated = word & (~word + _U1)
    return _DE_BRUIJN_INDEX[np.int64((isolated * _DE_BRUIJN) >> _U58)]


@njit
def _flood(start, low, high, neighbours):  # type: ignore[no-untyped-def]
    """Return the atoms of (low, high) that are reached from ``start`` over ``neighbours``."""
    seen_low, seen_high = _U0, _U0
    todo_low, todo_high = _U0, _U0
    if start < 64:
        todo_low = _U1 << np.uint64(start)
    else:
        todo_high = _U1 << np.uint64(start - 64)
    while todo_low != _U0 or todo_high != _U0:
        if todo_low != _U0:
            atom = _lowest_bit(todo_low)
        else:
            atom = 64 + _lowest_bit(todo_high)
        seen_low |= todo_low & (~todo_low + _U1)
        if todo_low == _U0:
            seen_high |= todo_high & (~todo_high + _U1)
        todo_low = (todo_low | (neighbours[atom, 0] & low)) & ~seen_low
        todo_high = (todo_high | (neighbours[atom, 1] & high)) & ~seen_high
    return seen_low, seen_high


@njit
def _flip(neighbours, a, b):  # type: ignore[no-untyped-def]
    """Take the bond a-b out of the neighbour masks, or put it back."""
    neighbours[a, b >> 6] ^= _U1 << np.uint64(b & 63)
    neighbours[b, a >> 6] ^= _U1 << np.uint64(a & 63)


@njit
def _has(low, high, atom):  # type: ignore[no-untyped-def]
    word = low if atom < 64 else high
    return (word >> np.uint64(atom & 63)) & _U1 == _U1


@njit
def _mass(low, high, masses):  # type: ignore[no-untyped-def]
    total = 0.0
    while low != _U0:
        total += masses[_lowest_bit(low)]
        low &= low - _U1
    while high != _U0:
        total += masses[64 + _lowest_bit(high)]
        high &= high - _U1
    return total


@njit(cache=True, nogil=True)
def _cut(  # type: ignore[no-untyped-def]
    masses, bonds, bond_costs, ring_bonds, ring_starts, max_depth, max_fragments, min_mass
):
    n_atoms, n_bonds, n_rings = len(masses), len(bonds), len(ring_starts) - 1
    neighbours = np.zeros((n_atoms, 2), dtype=np.uint64)
    for i in range(n_bonds):
        _flip(neighbours, bonds[i, 0], bonds[i, 1])
    ring_masks = np.zeros((n_rings, 2), dtype=np.uint64)
    for r in range(n_rings):
        for k in range(ring_starts[r], ring_starts[r + 1]):
            for end in range(2):
                atom = bonds[ring_bonds[k], end]
                ring_masks[r, atom >> 6] |= _U1 << np.uint64(atom & 63)

    out_masks = np.zeros((max_fragments, 2), dtype=np.uint64)
    out_depths = np.zeros(max_fragments, dtype=np.int8)
    out_costs = np.zeros(max_fragments, dtype=np.float32)
    out_parents = np.zeros(max_fragments, dtype=np.int32)
    out_masses = np.zeros(max_fragments, dtype=np.float64)
    size = 1
    while size < 4 * max_fragments:
        size *= 2
    table = np.full(size, -1, dtype=np.int32)
    wrap = np.uint64(size - 1)

    for atom in range(n_atoms):
        out_masks[0, atom >> 6] |= _U1 << np.uint64(atom & 63)
        out_masses[0] += masses[atom]
    slot = np.int64(
        ((out_masks[0, 0] * _HASH_A) ^ (out_masks[0, 1] * _HASH_B)) >> np.uint64(32) & wrap
    )
    table[slot] = 0
    count = 1
    level_start, level_end = 0, 1
    in_ring = np.zeros(n_bonds, dtype=np.bool_)

    for depth in range(1, max_depth + 1):
        order = np.argsort(out_costs[level_start:level_end], kind="mergesort")
        for position in range(level_end - level_start):
            parent = level_start + order[position]
            low, high = out_masks[parent, 0], out_masks[parent, 1]
            in_ring[:] = False
            for r in range(n_rings):
                if (ring_masks[r, 0] & low) == ring_masks[r, 0] and (
                    ring_masks[r, 1] & high
                ) == ring_masks[r, 1]:
                    for k in range(ring_starts[r], ring_starts[r + 1]):
                        in_ring[ring_bonds[k]] = True
            # Ring -1 stands for single bonds outside intact rings.
            for r in range(-1, n_rings):
                if r >= 0 and (
                    (ring_masks[r, 0] & low) != ring_masks[r, 0]
                    or (ring_masks[r, 1] & high) != ring_masks[r, 1]
                ):
                    continue
                first = 0 if r < 0 else ring_starts[r]
                last = n_bonds if r < 0 else ring_starts[r + 1]
                for i in range(first, last):
                    one = i if r < 0 else ring_bonds[i]
                    a, b = bonds[one, 0], bonds[one, 1]
                    if not (_has(low, high, a) and _has(low, high, b)):
                        continue
                    if r < 0 and in_ring[one]:
                        continue
                    _flip(neighbours, a, b)
                    other_first = i + 1 if r >= 0 else 0
                    other_last = last if r >= 0 else 1
                    for j in range(other_first, other_last):
                        cost = out_costs[parent] + bond_costs[one]
                        if r >= 0:
                            two = ring_bonds[j]
                            c, d = bonds[two, 0], bonds[two, 1]
                            _flip(neighbours, c, d)
                            cost += bond_costs[two]
                        side_low, side_high = _flood(a, low, high, neighbours)
                        if r >= 0:
                            _flip(neighbours, c, d)
                        if _has(side_low, side_high, b):
                            continue
                        for side in range(2):
                            if side == 1:
                                side_low, side_high = low & ~side_low, high & ~side_high
                            slot = np.int64(
                                ((side_low * _HASH_A) ^ (side_high * _HASH_B)) >> np.uint64(32)
                                & wrap
                            )
                            while table[slot] >= 0 and (
                                out_masks[table[slot], 0] != side_low
                                or out_masks[table[slot], 1] != side_high
                            ):
                                slot = (slot + 1) & (size - 1)
                            known = table[slot]
                            if known >= 0:
                                if out_depths[known] == depth and cost < out_costs[known]:
                                    out_costs[known] = cost
                                    out_parents[known] = parent
                                continue
                            if count == max_fragments:
                                continue
                            mass = _mass(side_low, side_high, masses)
                            if mass < min_mass:
                                continue
                            table[slot] = count
                            out_masks[count, 0], out_masks[count, 1] = side_low, side_high
                            out_depths[count] = depth
                            out_costs[count] = cost
                            out_parents[count] = parent
                            out_masses[count] = mass
                            count += 1
                    _flip(neighbours, a, b)
            if count == max_fragments:
                break
        if count == max_fragments or count == level_end:
            break
        level_start, level_end = level_end, count
    return (
        out_masks[:count],
        out_depths[:count],
        out_costs[:count],
        out_parents[:count],
        out_masses[:count],
    )
