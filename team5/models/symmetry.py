"""Fragments that the network cannot distinguish, so that each kind is computed once.

A phenyl ring opens in the same way on either side: about one fragment in five of a drug-sized
molecule is equivalent to another. Atoms are equivalent to the network if they have the same colour
after as many rounds of colour refinement as it has layers of message passing (Xu et al., How
powerful are graph neural networks?, arXiv 1810.00826); fragments, if they keep equivalent atoms,
cut equivalent bonds and come from equivalent parents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from team5.chemistry.atom_masks import ONE, write_atoms
from team5.chemistry.tokenizer import MoleculeTokens
from team5.runtime.compilation import compiled

Array = NDArray[Any]

_A, _B, _C = (
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
    np.uint64(0x9E3779B97F4A7C15),
)
_EMPTY = np.uint64(0)


@dataclass(frozen=True)
class FragmentKinds:
    """U kinds among the F fragments of a molecule.

    Attributes
    ----------
    first : array of shape (U,)
        A fragment of each kind.
    kind : array of shape (F,)
        Kind of every fragment.
    """

    first: Array
    kind: Array


def fragment_kinds(tokens: MoleculeTokens, n_layers: int) -> FragmentKinds:
    """Return the kinds of a molecule's fragments for a network with so many layers."""
    fragments = tokens.fragments
    # Two kinds are merged if 64 bits agree by chance: in one molecule of 10^13.
    first, kind = _kinds(
        tokens.atoms,
        tokens.isotopes,
        tokens.bonds,
        tokens.bond_ends,
        tokens.bond_orders,
        n_layers,
        fragments.masks,
        fragments.depths,
        fragments.costs.view(np.uint32),
        fragments.parents,
    )
    return FragmentKinds(first, kind)


@njit(inline="always")
def _mixed(x):  # type: ignore[no-untyped-def]
    """Return a number whose bits all depend on all bits (Steele et al., OOPSLA 2014)."""
    x += _C
    x = (x ^ (x >> np.uint64(30))) * _A
    x = (x ^ (x >> np.uint64(27))) * _B
    return x ^ (x >> np.uint64(31))


@njit
def _number(row, isotope):  # type: ignore[no-untyped-def]
    """Return a hash of a row of tokens."""
    number = np.uint64(isotope)
    for token in row:
        number = _mixed(number + np.uint64(token))
    return number


@compiled(nogil=True)
def _kinds(  # type: ignore[no-untyped-def]
    atoms, isotopes, bonds, ends, orders, n_layers, masks, depths, costs, parents
):
    n_atoms, n_bonds, n_fragments = len(atoms), len(bonds), len(masks)
    colours = np.empty(n_atoms, dtype=np.uint64)
    for i in range(n_atoms):
        colours[i] = _number(atoms[i], isotopes[i])
    kinds = np.empty(n_bonds, dtype=np.uint64)
    odd = np.empty(n_bonds, dtype=np.uint64)
    for b in range(n_bonds):
        kinds[b] = _number(bonds[b], 0)
        odd[b] = np.uint64(orders[b]) & ONE
    received = np.empty(n_atoms, dtype=np.uint64)
    for _ in range(n_layers):
        received[:] = _EMPTY
        for b in range(n_bonds):
            one, two, kind = ends[b, 0], ends[b, 1], kinds[b]
            received[one] += _mixed(colours[two] ^ kind)
            received[two] += _mixed(colours[one] ^ kind)
        for i in range(n_atoms):
            colours[i] = _mixed(colours[i] * _A + received[i])
    # As seen from the first end, and from the second.
    cut = np.empty((n_bonds, 2), dtype=np.uint64)
    for b in range(n_bonds):
        one, two, kind = colours[ends[b, 0]], colours[ends[b, 1]], kinds[b]
        cut[b, 0] = _mixed(one * _A + _mixed(two) + kind)
        cut[b, 1] = _mixed(two * _A + _mixed(one) + kind)

    hashes = np.empty(n_fragments, dtype=np.uint64)
    inside = np.empty(n_atoms, dtype=np.uint64)
    for f in range(n_fragments):
        write_atoms(masks[f, 0], masks[f, 1], inside)
        total, parity = _EMPTY, _EMPTY
        for i in range(n_atoms):
            total += colours[i] * inside[i]
        for b in range(n_bonds):
            one, two = inside[ends[b, 0]], inside[ends[b, 1]]
            total += cut[b, 0] * (one & ~two) + cut[b, 1] * (two & ~one)
            parity ^= (one ^ two) & odd[b]
        own = np.uint64(depths[f]) + (np.uint64(costs[f]) << np.uint64(8)) + parity * _C
        hashes[f] = total + _mixed(own)

    size = 1
    while size < 4 * n_fragments:
        size *= 2
    table = np.full(size, -1, dtype=np.int32)
    keys = np.empty(n_fragments, dtype=np.uint64)
    first = np.empty(n_fragments, dtype=np.int64)
    kind = np.empty(n_fragments, dtype=np.int64)
    n_kinds = 0
    for f in range(n_fragments):
        key = _mixed(hashes[f] + _mixed(hashes[parents[f]] ^ _A))
        slot = np.int64(key & np.uint64(size - 1))
        while table[slot] >= 0 and keys[table[slot]] != key:
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = n_kinds
            keys[n_kinds] = key
            first[n_kinds] = f
            n_kinds += 1
        kind[f] = table[slot]
    return first[:n_kinds], kind
