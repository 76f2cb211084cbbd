"""Sets of atoms as bit masks of two 64-bit words, for compiled code.

Atom i is bit ``i % 64`` of word ``i // 64``: the words are ``low`` and ``high``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

# numba turns a mix of uint64 and int64 into float64, so every constant is wrapped.
NO_ATOMS = np.uint64(0)
ONE = np.uint64(1)
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


def unpack(masks: Array, n_atoms: int) -> Array:
    """Return membership, shape (F, A), uint8, of masks, shape (F, 2)."""
    octets = masks.astype("<u8", copy=False).view(np.uint8).reshape(len(masks), 16)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :n_atoms]


@njit(inline="always")
def lowest_atom(word):  # type: ignore[no-untyped-def]
    """Return the lowest atom of one word."""
    isolated = word & (~word + ONE)
    return _DE_BRUIJN_INDEX[np.int64((isolated * _DE_BRUIJN) >> _U58)]


@njit
def flood(start, low, high, neighbours):  # type: ignore[no-untyped-def]
    """Return the atoms of (low, high) reachable from ``start`` over ``neighbours``."""
    seen_low, seen_high = NO_ATOMS, NO_ATOMS
    todo_low, todo_high = NO_ATOMS, NO_ATOMS
    if start < 64:
        todo_low = ONE << np.uint64(start)
    else:
        todo_high = ONE << np.uint64(start - 64)
    while todo_low != NO_ATOMS or todo_high != NO_ATOMS:
        if todo_low != NO_ATOMS:
            atom = lowest_atom(todo_low)
        else:
            atom = 64 + lowest_atom(todo_high)
        seen_low |= todo_low & (~todo_low + ONE)
        if todo_low == NO_ATOMS:
            seen_high |= todo_high & (~todo_high + ONE)
        todo_low = (todo_low | (neighbours[atom, 0] & low)) & ~seen_low
        todo_high = (todo_high | (neighbours[atom, 1] & high)) & ~seen_high
    return seen_low, seen_high


@njit
def flip_bond(neighbours, a, b):  # type: ignore[no-untyped-def]
    """Remove the bond a-b from the neighbour masks, or restore it."""
    neighbours[a, b >> 6] ^= ONE << np.uint64(b & 63)
    neighbours[b, a >> 6] ^= ONE << np.uint64(a & 63)


@njit(inline="always")
def has_atom(low, high, atom):  # type: ignore[no-untyped-def]
    """Tell whether a mask contains an atom."""
    word = low if atom < 64 else high
    return (word >> np.uint64(atom & 63)) & ONE == ONE


@njit(inline="always")
def write_atoms(low, high, inside):  # type: ignore[no-untyped-def]
    """Write whether a mask contains each atom, 1 or 0, into an array of shape (A,)."""
    for i in range(min(64, len(inside))):
        inside[i] = (low >> np.uint64(i)) & ONE
    for i in range(64, len(inside)):
        inside[i] = (high >> np.uint64(i - 64)) & ONE


@njit(inline="always")
def count_atoms(low, high):  # type: ignore[no-untyped-def]
    """Return the number of atoms in a mask."""
    n = _count_bits(low)
    if high != NO_ATOMS:
        n += _count_bits(high)
    return n


@njit(inline="always")
def _count_bits(word):  # type: ignore[no-untyped-def]
    """Add up bits in pairs, fours and eights, then all eights by one product."""
    word -= (word >> ONE) & _PAIRS
    word = (word & _FOURS) + ((word >> np.uint64(2)) & _FOURS)
    word = (word + (word >> np.uint64(4))) & _EIGHTS
    return np.int64((word * _ONES) >> np.uint64(56))


@njit
def weigh(low, high, masses, hydrogens):  # type: ignore[no-untyped-def]
    """Return the sums of the atoms' masses and of their hydrogens."""
    mass, n_hydrogens = 0.0, 0
    while low != NO_ATOMS:
        atom = lowest_atom(low)
        mass += masses[atom]
        n_hydrogens += hydrogens[atom]
        low &= low - ONE
    while high != NO_ATOMS:
        atom = 64 + lowest_atom(high)
        mass += masses[atom]
        n_hydrogens += hydrogens[atom]
        high &= high - ONE
    return mass, n_hydrogens


@njit
def hash_slot(low, high, wrap):  # type: ignore[no-untyped-def]
    """Return the slot of a mask in a hash table of ``wrap + 1`` slots."""
    return np.int64(((low * _HASH_A) ^ (high * _HASH_B)) >> np.uint64(32) & wrap)


@njit
def with_atom(low, high, atom):  # type: ignore[no-untyped-def]
    """Return a mask with one more atom."""
    bit = ONE << np.uint64(atom & 63)
    if atom < 64:
        return low | bit, high
    return low, high | bit
