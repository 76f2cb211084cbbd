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

from team5.chemistry.molecule import Molecule, atom_masses, atoms_of, bonds_of

# Raised whenever the same molecule gives other fragments, or the same ones in another order.
ALGORITHM = 1
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
_PAIRS = np.uint64(0x5555555555555555)
_FOURS = np.uint64(0x3333333333333333)
_EIGHTS = np.uint64(0x0F0F0F0F0F0F0F0F)
_ONES = np.uint64(0x0101010101010101)
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
        return _unpack(self.masks, len(self.graph.masses))

    @cached_property
    def by_mass(self) -> Array:
        """Indices of the fragments by mass, those of one mass in their order, shape (F,)."""
        return np.argsort(self.masses, kind="stable")

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
    atoms = atoms_of(mol)
    elements = [atom.GetAtomicNum() for atom in atoms]
    bonds, costs = [], []
    for bond in bonds_of(mol):
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds.append((begin, end))
        costs.append(_bond_cost(bond, elements[begin], elements[end]))
    rings = tuple(tuple(r) for r in mol.GetRingInfo().BondRings() if len(r) <= MAX_RING_SIZE)
    return Graph(
        masses=np.array(atom_masses(mol), dtype=np.float64),
        hydrogens=np.array([atom.GetTotalNumHs() for atom in atoms], dtype=np.int32),
        elements=np.array(elements, dtype=np.int32),
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
    ends = graph.bonds.tolist()
    ring_atoms = [
        next(atom for atom in ends[ring[k]] if atom in ends[ring[k - 1]])
        for ring in graph.rings
        for k in range(len(ring))
    ]
    ring_starts = np.cumsum([0] + [len(ring) for ring in graph.rings]).astype(np.int32)
    masks, depths, costs, parents, masses = _cut(
        graph.masses,
        graph.bonds,
        graph.bond_costs,
        ring_bonds,
        np.array(ring_atoms, dtype=np.int32),
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


@njit(inline="always")
def has_atom(low, high, atom):  # type: ignore[no-untyped-def]
    """Whether the mask (low, high) holds an atom; compiled."""
    word = low if atom < 64 else high
    return (word >> np.uint64(atom & 63)) & _U1 == _U1


@njit(inline="always")
def count_atoms(low, high):  # type: ignore[no-untyped-def]
    """Return how many atoms the mask (low, high) holds; compiled."""
    n = _count_bits(low)
    if high != _U0:
        n += _count_bits(high)
    return n


@njit(inline="always")
def _count_bits(word):  # type: ignore[no-untyped-def]
    """Add up bits in pairs, fours and eights, then all eights by one product."""
    word -= (word >> _U1) & _PAIRS
    word = (word & _FOURS) + ((word >> np.uint64(2)) & _FOURS)
    word = (word + (word >> np.uint64(4))) & _EIGHTS
    return np.int64((word * _ONES) >> np.uint64(56))


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


@njit
def _slot(low, high, wrap):  # type: ignore[no-untyped-def]
    return np.int64(((low * _HASH_A) ^ (high * _HASH_B)) >> np.uint64(32) & wrap)


@njit
def _split_at_bridges(  # type: ignore[no-untyped-def]
    low, high, neighbours, bonds, bond_costs, in_ring, walk, sides, costs
):
    """Write what each bond outside intact rings cuts off, the side of its first atom.

    One walk in depth finds all bridges (Tarjan, Inf. Process. Lett. 2:160, 1974): the bond to an
    atom is one unless a bond from behind it leads to before it.

    Parameters
    ----------
    walk : array of shape (A, 7), uint64
        Room: neighbours yet to visit (two words), atoms behind (two words), parent, place in the
        walk, earliest place that is reached from behind.

    Returns
    -------
    n_splits : int
        Rows of ``sides`` and ``costs`` written.
    """
    todo_low, todo_high, behind_low, behind_high, before, place, earliest = range(7)
    if low != _U0:
        atom = _lowest_bit(low)
    else:
        atom = 64 + _lowest_bit(high)
    free_low, free_high = low, high
    n_walked = 0
    root = atom
    came_from = atom
    entering = True
    while True:
        if entering:
            bit = _U1 << np.uint64(atom & 63)
            walk[atom, behind_low] = bit if atom < 64 else _U0
            walk[atom, behind_high] = _U0 if atom < 64 else bit
            free_low &= ~walk[atom, behind_low]
            free_high &= ~walk[atom, behind_high]
            walk[atom, todo_low] = neighbours[atom, 0] & low
            walk[atom, todo_high] = neighbours[atom, 1] & high
            walk[atom, before] = np.uint64(came_from)
            walk[atom, place] = np.uint64(n_walked)
            walk[atom, earliest] = np.uint64(n_walked)
            n_walked += 1
        entering = False
        # Neighbours that were there before: their places count, but for the one it came from.
        other = -1
        while walk[atom, todo_low] != _U0 or walk[atom, todo_high] != _U0:
            if walk[atom, todo_low] != _U0:
                other = _lowest_bit(walk[atom, todo_low])
                walk[atom, todo_low] &= walk[atom, todo_low] - _U1
            else:
                other = 64 + _lowest_bit(walk[atom, todo_high])
                walk[atom, todo_high] &= walk[atom, todo_high] - _U1
            if has_atom(free_low, free_high, other):
                entering = True
                break
            if np.uint64(other) != walk[atom, before]:
                walk[atom, earliest] = min(walk[atom, earliest], walk[other, place])
        if entering:
            came_from = atom
            atom = other
            continue
        if atom == root:
            break
        back = np.int64(walk[atom, before])
        walk[back, behind_low] |= walk[atom, behind_low]
        walk[back, behind_high] |= walk[atom, behind_high]
        walk[back, earliest] = min(walk[back, earliest], walk[atom, earliest])
        atom = back
    n_splits = 0
    for i in range(len(bonds)):
        a, b = np.int64(bonds[i, 0]), np.int64(bonds[i, 1])
        if in_ring[i] or not (has_atom(low, high, a) and has_atom(low, high, b)):
            continue
        if a != root and walk[a, before] == np.uint64(b):
            if walk[a, earliest] != walk[a, place]:
                continue
            sides[n_splits, 0], sides[n_splits, 1] = walk[a, behind_low], walk[a, behind_high]
        elif b != root and walk[b, before] == np.uint64(a):
            if walk[b, earliest] != walk[b, place]:
                continue
            sides[n_splits, 0] = low & ~walk[b, behind_low]
            sides[n_splits, 1] = high & ~walk[b, behind_high]
        else:
            continue
        costs[n_splits, 0], costs[n_splits, 1] = bond_costs[i], 0.0
        n_splits += 1
    return n_splits


@njit
def _split_at_ring(  # type: ignore[no-untyped-def]
    low, high, neighbours, bonds, bond_costs, ring, atoms, branches, sides, costs, n_splits
):
    """Write what each pair of a ring's bonds cuts off, the side of the first bond's first atom.

    What hangs on each atom of the ring is found once. Between two bonds lies what hangs on the
    atoms between them, unless some of it hangs on an atom of the other side as well.

    Parameters
    ----------
    ring, atoms : array of shape (L,)
        Bonds in their order around the ring; the atom that each shares with the one before.
    branches : array of shape (at least L, 2), uint64
        Room.

    Returns
    -------
    n_splits : int
        Rows of ``sides`` and ``costs`` written so far.
    """
    length = len(ring)
    for k in range(length):
        _flip(neighbours, bonds[ring[k], 0], bonds[ring[k], 1])
    for k in range(length):
        known = False
        for earlier in range(k):
            if has_atom(branches[earlier, 0], branches[earlier, 1], atoms[k]):
                branches[k, 0], branches[k, 1] = branches[earlier, 0], branches[earlier, 1]
                known = True
                break
        if not known:
            branches[k, 0], branches[k, 1] = _flood(atoms[k], low, high, neighbours)
    ring_low, ring_high = _U0, _U0
    for k in range(length):
        _flip(neighbours, bonds[ring[k], 0], bonds[ring[k], 1])
        ring_low, ring_high = _with(ring_low, ring_high, atoms[k])
    for i in range(length):
        side_low, side_high = _U0, _U0
        between_low, between_high = _U0, _U0
        for j in range(i + 1, length):
            side_low |= branches[j, 0]
            side_high |= branches[j, 1]
            between_low, between_high = _with(between_low, between_high, atoms[j])
            if (side_low & ring_low) != between_low or (side_high & ring_high) != between_high:
                continue
            if bonds[ring[i], 0] == atoms[i + 1]:
                sides[n_splits, 0], sides[n_splits, 1] = side_low, side_high
            else:
                sides[n_splits, 0], sides[n_splits, 1] = low & ~side_low, high & ~side_high
            costs[n_splits, 0] = bond_costs[ring[i]]
            costs[n_splits, 1] = bond_costs[ring[j]]
            n_splits += 1
    return n_splits


@njit
def _with(low, high, atom):  # type: ignore[no-untyped-def]
    bit = _U1 << np.uint64(atom & 63)
    if atom < 64:
        return low | bit, high
    return low, high | bit


@njit(cache=True, nogil=True)
def _cut(  # type: ignore[no-untyped-def]
    masses,
    bonds,
    bond_costs,
    ring_bonds,
    ring_atoms,
    ring_starts,
    max_depth,
    max_fragments,
    min_mass,
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
    table[_slot(out_masks[0, 0], out_masks[0, 1], wrap)] = 0
    count = 1
    level_start, level_end = 0, 1
    in_ring = np.zeros(n_bonds, dtype=np.bool_)
    intact = np.zeros(n_rings, dtype=np.bool_)
    n_pairs, longest = 0, 1
    for r in range(n_rings):
        length = ring_starts[r + 1] - ring_starts[r]
        n_pairs += length * (length - 1) // 2
        longest = max(longest, length)
    # Room for what one fragment falls apart into: a side, and the costs of one or two bonds.
    sides = np.empty((n_bonds + n_pairs, 2), dtype=np.uint64)
    costs = np.zeros((n_bonds + n_pairs, 2), dtype=np.float32)
    branches = np.empty((longest, 2), dtype=np.uint64)
    walk = np.empty((n_atoms, 7), dtype=np.uint64)

    for depth in range(1, max_depth + 1):
        order = np.argsort(out_costs[level_start:level_end], kind="mergesort")
        for position in range(level_end - level_start):
            parent = level_start + order[position]
            low, high = out_masks[parent, 0], out_masks[parent, 1]
            in_ring[:] = False
            for r in range(n_rings):
                intact[r] = (ring_masks[r, 0] & low) == ring_masks[r, 0] and (
                    ring_masks[r, 1] & high
                ) == ring_masks[r, 1]
                if intact[r]:
                    for k in range(ring_starts[r], ring_starts[r + 1]):
                        in_ring[ring_bonds[k]] = True
            n_splits = _split_at_bridges(
                low, high, neighbours, bonds, bond_costs, in_ring, walk, sides, costs
            )
            for r in range(n_rings):
                if intact[r]:
                    n_splits = _split_at_ring(
                        low, high, neighbours, bonds, bond_costs,
                        ring_bonds[ring_starts[r] : ring_starts[r + 1]],
                        ring_atoms[ring_starts[r] : ring_starts[r + 1]],
                        branches, sides, costs, n_splits,
                    )  # fmt: skip
            for split in range(n_splits):
                cost = out_costs[parent] + costs[split, 0] + costs[split, 1]
                side_low, side_high = sides[split, 0], sides[split, 1]
                for side in range(2):
                    if side == 1:
                        side_low, side_high = low & ~side_low, high & ~side_high
                    slot = _slot(side_low, side_high, wrap)
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
