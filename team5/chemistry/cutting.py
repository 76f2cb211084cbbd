"""Compiled enumeration of fragments: bridges, pairs of ring bonds, and the search over both."""

from __future__ import annotations

import numpy as np
from numba import njit

from team5.chemistry.atom_masks import (
    NO_ATOMS,
    ONE,
    flip_bond,
    flood,
    has_atom,
    hash_slot,
    lowest_atom,
    weigh,
    with_atom,
)
from team5.runtime.compilation import compiled

# Columns of the working memory of a walk: unvisited neighbours and atoms of the subtree, each as
# two words; the previous atom; position in the walk; earliest position reached from the subtree.
_TODO_LOW, _TODO_HIGH, _BEHIND_LOW, _BEHIND_HIGH, _BEFORE, _PLACE, _EARLIEST = range(7)
_WALK_COLUMNS = 7


@njit
def _walk(low, high, neighbours, walk):  # type: ignore[no-untyped-def]
    """Walk a fragment depth first, fill ``walk``, shape (A, 7), and return the starting atom.

    One walk finds all bridges (Tarjan, Inf. Process. Lett. 2:160, 1974): the bond to an atom is
    a bridge unless a bond from the atom's subtree leads to an earlier atom.
    """
    if low != NO_ATOMS:
        atom = lowest_atom(low)
    else:
        atom = 64 + lowest_atom(high)
    free_low, free_high = low, high
    n_walked = 0
    root = atom
    came_from = atom
    entering = True
    while True:
        if entering:
            bit = ONE << np.uint64(atom & 63)
            walk[atom, _BEHIND_LOW] = bit if atom < 64 else NO_ATOMS
            walk[atom, _BEHIND_HIGH] = NO_ATOMS if atom < 64 else bit
            free_low &= ~walk[atom, _BEHIND_LOW]
            free_high &= ~walk[atom, _BEHIND_HIGH]
            walk[atom, _TODO_LOW] = neighbours[atom, 0] & low
            walk[atom, _TODO_HIGH] = neighbours[atom, 1] & high
            walk[atom, _BEFORE] = np.uint64(came_from)
            walk[atom, _PLACE] = np.uint64(n_walked)
            walk[atom, _EARLIEST] = np.uint64(n_walked)
            n_walked += 1
        entering = False
        # Neighbours visited earlier: their positions count, except for the previous atom.
        other = -1
        while walk[atom, _TODO_LOW] != NO_ATOMS or walk[atom, _TODO_HIGH] != NO_ATOMS:
            if walk[atom, _TODO_LOW] != NO_ATOMS:
                other = lowest_atom(walk[atom, _TODO_LOW])
                walk[atom, _TODO_LOW] &= walk[atom, _TODO_LOW] - ONE
            else:
                other = 64 + lowest_atom(walk[atom, _TODO_HIGH])
                walk[atom, _TODO_HIGH] &= walk[atom, _TODO_HIGH] - ONE
            if has_atom(free_low, free_high, other):
                entering = True
                break
            if np.uint64(other) != walk[atom, _BEFORE]:
                walk[atom, _EARLIEST] = min(walk[atom, _EARLIEST], walk[other, _PLACE])
        if entering:
            came_from = atom
            atom = other
            continue
        if atom == root:
            break
        back = np.int64(walk[atom, _BEFORE])
        walk[back, _BEHIND_LOW] |= walk[atom, _BEHIND_LOW]
        walk[back, _BEHIND_HIGH] |= walk[atom, _BEHIND_HIGH]
        walk[back, _EARLIEST] = min(walk[back, _EARLIEST], walk[atom, _EARLIEST])
        atom = back
    return root


@njit
def _split_at_bridges(  # type: ignore[no-untyped-def]
    low, high, neighbours, bonds, bond_costs, in_ring, walk, sides, costs
):
    """Write the part that each bond outside intact rings cuts off, on the side of its first atom.

    Returns
    -------
    n_splits : int
        Rows of ``sides`` and ``costs`` written.
    """
    root = _walk(low, high, neighbours, walk)
    n_splits = 0
    for i in range(len(bonds)):
        a, b = np.int64(bonds[i, 0]), np.int64(bonds[i, 1])
        if in_ring[i] or not (has_atom(low, high, a) and has_atom(low, high, b)):
            continue
        if a != root and walk[a, _BEFORE] == np.uint64(b):
            if walk[a, _EARLIEST] != walk[a, _PLACE]:
                continue
            sides[n_splits, 0], sides[n_splits, 1] = walk[a, _BEHIND_LOW], walk[a, _BEHIND_HIGH]
        elif b != root and walk[b, _BEFORE] == np.uint64(a):
            if walk[b, _EARLIEST] != walk[b, _PLACE]:
                continue
            sides[n_splits, 0] = low & ~walk[b, _BEHIND_LOW]
            sides[n_splits, 1] = high & ~walk[b, _BEHIND_HIGH]
        else:
            continue
        costs[n_splits, 0], costs[n_splits, 1] = bond_costs[i], 0.0
        n_splits += 1
    return n_splits


@njit
def _split_at_ring(  # type: ignore[no-untyped-def]
    low, high, neighbours, bonds, bond_costs, ring, atoms, branches, sides, costs, n_splits
):
    """Write the part that each pair of a ring's bonds cuts off, by the first bond's first atom.

    The branches of each ring atom are found once. Two bonds cut off the branches of the
    atoms between them, unless a branch is also attached to an atom of the other side.

    Parameters
    ----------
    ring, atoms : array of shape (L,)
        Bonds in their order around the ring; the atom that each shares with the previous one.
    branches : array of shape (at least L, 2), uint64
        Working memory.

    Returns
    -------
    n_splits : int
        Rows of ``sides`` and ``costs`` written so far.
    """
    length = len(ring)
    for k in range(length):
        flip_bond(neighbours, bonds[ring[k], 0], bonds[ring[k], 1])
    for k in range(length):
        known = False
        for earlier in range(k):
            if has_atom(branches[earlier, 0], branches[earlier, 1], atoms[k]):
                branches[k, 0], branches[k, 1] = branches[earlier, 0], branches[earlier, 1]
                known = True
                break
        if not known:
            branches[k, 0], branches[k, 1] = flood(atoms[k], low, high, neighbours)
    ring_low, ring_high = NO_ATOMS, NO_ATOMS
    for k in range(length):
        flip_bond(neighbours, bonds[ring[k], 0], bonds[ring[k], 1])
        ring_low, ring_high = with_atom(ring_low, ring_high, atoms[k])
    for i in range(length):
        side_low, side_high = NO_ATOMS, NO_ATOMS
        between_low, between_high = NO_ATOMS, NO_ATOMS
        for j in range(i + 1, length):
            side_low |= branches[j, 0]
            side_high |= branches[j, 1]
            between_low, between_high = with_atom(between_low, between_high, atoms[j])
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
def _rings(bonds, ring_bonds, ring_starts):  # type: ignore[no-untyped-def]
    """Return masks of rings, the number of pairs of their bonds, the longest one's size, and atoms.

    The latter, shape (L,), are those that each bond shares with the previous one in its ring.
    """
    n_rings = len(ring_starts) - 1
    masks = np.zeros((n_rings, 2), dtype=np.uint64)
    atoms = np.empty(len(ring_bonds), dtype=np.int32)
    n_pairs, longest = 0, 1
    for r in range(n_rings):
        length = ring_starts[r + 1] - ring_starts[r]
        n_pairs += length * (length - 1) // 2
        longest = max(longest, length)
        before = ring_bonds[ring_starts[r + 1] - 1]
        for k in range(ring_starts[r], ring_starts[r + 1]):
            one, two = bonds[ring_bonds[k], 0], bonds[ring_bonds[k], 1]
            atoms[k] = one if one == bonds[before, 0] or one == bonds[before, 1] else two
            before = ring_bonds[k]
            masks[r, atoms[k] >> 6] |= ONE << np.uint64(atoms[k] & 63)
    return masks, n_pairs, longest, atoms


@njit
def _add_sides(  # type: ignore[no-untyped-def]
    parent, depth, sides, costs, table, count, masses, hydrogens, min_mass,
    out_masks, out_depths, out_costs, out_parents, out_masses, out_hydrogens,
):  # fmt: skip
    """Add both sides of each split of a fragment, or the cheaper path to an existing one.

    Returns
    -------
    count : int
        Fragments so far.
    """
    low, high = out_masks[parent, 0], out_masks[parent, 1]
    wrap = np.uint64(len(table) - 1)
    for split in range(len(sides)):
        cost = out_costs[parent] + costs[split, 0] + costs[split, 1]
        side_low, side_high = sides[split, 0], sides[split, 1]
        for side in range(2):
            if side == 1:
                side_low, side_high = low & ~side_low, high & ~side_high
            slot = hash_slot(side_low, side_high, wrap)
            while table[slot] >= 0 and (
                out_masks[table[slot], 0] != side_low or out_masks[table[slot], 1] != side_high
            ):
                slot = (slot + 1) & (len(table) - 1)
            known = table[slot]
            if known >= 0:
                if out_depths[known] == depth and cost < out_costs[known]:
                    out_costs[known] = cost
                    out_parents[known] = parent
                continue
            if count == len(out_masks):
                continue
            mass, n_hydrogens = weigh(side_low, side_high, masses, hydrogens)
            if mass < min_mass:
                continue
            table[slot] = count
            out_masks[count, 0], out_masks[count, 1] = side_low, side_high
            out_depths[count] = depth
            out_costs[count] = cost
            out_parents[count] = parent
            out_masses[count] = mass
            out_hydrogens[count] = n_hydrogens
            count += 1
    return count


@compiled(nogil=True)
def cut(  # type: ignore[no-untyped-def]
    masses, hydrogens, bonds, bond_costs, ring_bonds, ring_starts,
    max_depth, max_fragments, min_mass,
):  # fmt: skip
    """Enumerate the fragments of a graph, breadth first, within a depth the cheapest first.

    Returns the masks, depths, costs, parents, masses and hydrogens of
    ``team5.chemistry.fragments.Fragments``.
    """
    n_atoms, n_bonds, n_rings = len(masses), len(bonds), len(ring_starts) - 1
    neighbours = np.zeros((n_atoms, 2), dtype=np.uint64)
    for i in range(n_bonds):
        flip_bond(neighbours, bonds[i, 0], bonds[i, 1])
    ring_masks, n_pairs, longest, ring_atoms = _rings(bonds, ring_bonds, ring_starts)

    out_masks = np.zeros((max_fragments, 2), dtype=np.uint64)
    out_depths = np.zeros(max_fragments, dtype=np.int8)
    out_costs = np.zeros(max_fragments, dtype=np.float32)
    out_parents = np.zeros(max_fragments, dtype=np.int32)
    out_masses = np.zeros(max_fragments, dtype=np.float64)
    out_hydrogens = np.zeros(max_fragments, dtype=np.int32)
    size = 1
    while size < 4 * max_fragments:
        size *= 2
    table = np.full(size, -1, dtype=np.int32)

    for atom in range(n_atoms):
        out_masks[0, atom >> 6] |= ONE << np.uint64(atom & 63)
        out_masses[0] += masses[atom]
        out_hydrogens[0] += hydrogens[atom]
    table[hash_slot(out_masks[0, 0], out_masks[0, 1], np.uint64(size - 1))] = 0
    count = 1
    level_start, level_end = 0, 1
    in_ring = np.zeros(n_bonds, dtype=np.bool_)
    intact = np.zeros(n_rings, dtype=np.bool_)
    # Working memory for the splits of one fragment: a side, and the costs of one or two bonds.
    sides = np.empty((n_bonds + n_pairs, 2), dtype=np.uint64)
    costs = np.zeros((n_bonds + n_pairs, 2), dtype=np.float32)
    branches = np.empty((longest, 2), dtype=np.uint64)
    walk = np.empty((n_atoms, _WALK_COLUMNS), dtype=np.uint64)

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
            count = _add_sides(
                parent, depth, sides[:n_splits], costs, table, count, masses, hydrogens, min_mass,
                out_masks, out_depths, out_costs, out_parents, out_masses, out_hydrogens,
            )  # fmt: skip
            if count == max_fragments:
                break
        if count == max_fragments or count == level_end:
            break
        level_start, level_end = level_end, count
    return (
        out_masks[:count], out_depths[:count], out_costs[:count],
        out_parents[:count], out_masses[:count], out_hydrogens[:count],
    )  # fmt: skip
