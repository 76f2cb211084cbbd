"""Computed features of fragments: cuts, and counts of atoms kept and lost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from team5.chemistry.atom_masks import ONE, count_atoms, write_atoms
from team5.constants import HYDROGEN_MASS
from team5.runtime.compilation import compiled

Array = NDArray[Any]

# Elements with their own column; all others share one.
COUNTED_ELEMENTS = (6, 7, 8, 16, 15, 9, 17, 35, 53)
# Kinds of cut bond with their own column; see `tokenizer._bond_kinds`.
N_BOND_KINDS = 11
FRAGMENT_FEATURES = (
    *(f"depth_{d}" for d in range(4)),
    "cost",
    "mean_cost",
    "n_cut",
    "cut_parity",
    *(f"cut_kind_{k}" for k in range(N_BOND_KINDS)),
    "unsaturation",
    "charge",
    *(f"kept_{e}" for e in (*COUNTED_ELEMENTS, "other", "H")),
    *(f"lost_{e}" for e in (*COUNTED_ELEMENTS, "other", "H")),
    *(f"few_lost_{e}" for e in (*COUNTED_ELEMENTS, "other", "H")),
    "n_kept",
    "n_lost",
    "mass",
    "mass_share",
    "n_rings",
    "n_rings_opened",
    "n_aromatic",
    "hydrogen_share",
)
# Divisors that bring counts of C, N, O, the other elements and H near 1.
_ELEMENT_SCALE = np.array([10, 3, 4, *[1] * (len(COUNTED_ELEMENTS) - 2), 12], dtype=np.float32)


class Countable(NamedTuple):
    """What features of a molecule's fragments are counted from: A atoms, E bonds, F fragments."""

    elements: Array  # (A,)
    hydrogens: Array  # (A,)
    aromatic: Array  # (A,)
    charges: Array  # (A,)
    ends: Array  # (E, 2)
    bond_kinds: Array  # (E,), below N_BOND_KINDS
    bond_orders: Array  # (E,), Kekulé
    masks: Array  # (F, 2)
    depths: Array  # (F,)
    costs: Array  # (F,)
    masses: Array  # (F,)


@njit
def _quotients(most):  # type: ignore[no-untyped-def]
    """Return counts up to ``most`` divided by each element's scale, and 1 / (count + 1).

    Divisions take most of the time, and the same small counts recur.
    """
    width = len(_ELEMENT_SCALE)
    shares = np.empty((width, most + 1), dtype=np.float32)
    few = np.empty(most + 1, dtype=np.float32)
    for n in range(most + 1):
        few[n] = np.float32(1) / np.float32(1 + n)
        for c in range(width):
            shares[c, n] = np.float32(n) / _ELEMENT_SCALE[c]
    return shares, few


@njit
def _sets_of_atoms(elements, hydrogens, aromatic):  # type: ignore[no-untyped-def]
    """Return masks, shape (S, 2): atoms by column, then by hydrogens, then the aromatic ones.

    Masks by hydrogens are of atoms with at least one, two and so on.
    """
    n_elements, most = len(_ELEMENT_SCALE) - 1, max(1, hydrogens.max())
    sets = np.zeros((n_elements + most + 1, 2), dtype=np.uint64)
    for i in range(len(elements)):
        column = n_elements - 1
        for c in range(len(COUNTED_ELEMENTS)):
            if elements[i] == COUNTED_ELEMENTS[c]:
                column = c
        word, bit = i >> 6, ONE << np.uint64(i & 63)
        sets[column, word] |= bit
        for level in range(hydrogens[i]):
            sets[n_elements + level, word] |= bit
        if aromatic[i]:
            sets[n_elements + most, word] |= bit
    return sets


@compiled(nogil=True)
def write_features(out, countable, which):  # type: ignore[no-untyped-def]
    """Write the features of some fragments.

    Parameters
    ----------
    out : array of shape (at least N, len(FRAGMENT_FEATURES)), float32
        Row i gets the features of fragment ``which[i]``. Has 0 there.
    countable : Countable
    which : array of shape (N,)
    """
    elements, hydrogens, aromatic, charges, ends, kinds, orders, masks, depths, costs, masses = (
        countable
    )
    n_atoms, n_bonds = len(elements), len(ends)
    width = len(_ELEMENT_SCALE)
    sets = _sets_of_atoms(elements, hydrogens, aromatic)
    charged = np.flatnonzero(charges)
    inside = np.empty(n_atoms, dtype=np.uint8)
    kept = np.zeros(width, dtype=np.int64)
    whole = np.zeros(width, dtype=np.int64)
    for c in range(width - 1):
        whole[c] = count_atoms(sets[c, 0], sets[c, 1])
    whole[width - 1] = hydrogens.sum()
    n_rings_whole = n_bonds - n_atoms + 1
    shares, few = _quotients(max(n_atoms, whole[width - 1]))
    for place in range(len(which)):
        f, row = which[place], out[place]
        low, high = masks[f, 0], masks[f, 1]
        write_atoms(low, high, inside)
        n_kept = 0
        for c in range(width - 1):
            n = count_atoms(low & sets[c, 0], high & sets[c, 1])
            kept[c] = n
            n_kept += n
        n_hydrogens = 0
        for s in range(width - 1, len(sets) - 1):
            n_hydrogens += count_atoms(low & sets[s, 0], high & sets[s, 1])
        kept[width - 1] = n_hydrogens
        n_aromatic = count_atoms(low & sets[-1, 0], high & sets[-1, 1])
        charge = 0
        for i in charged:
            charge += charges[i] * inside[i]
        n_cut, n_inner, cut_order = 0, 0, 0.0
        at = 8
        for b in range(n_bonds):
            one, two = inside[ends[b, 0]], inside[ends[b, 1]]
            n_inner += one & two
            if one != two:
                n_cut += 1
                cut_order += orders[b]
                row[at + kinds[b]] += 1
        # Independent cycles kept: bonds - atoms + 1, as a fragment is connected.
        n_rings = n_inner - n_kept + 1
        row[min(depths[f], 3)] = 1
        row[4] = costs[f] / 5
        row[5] = costs[f] / max(n_cut, 1) / 2
        row[6] = n_cut / 3
        row[7] = round(cut_order) % 2
        at += N_BOND_KINDS
        carbons, nitrogens, phosphorus = kept[0], kept[1], kept[4]
        monovalent = kept[5] + kept[6] + kept[7] + kept[8] + kept[width - 1]
        row[at] = (2 * carbons + 2 + nitrogens + phosphorus - monovalent) / 12
        row[at + 1] = charge
        at += 2
        for c in range(width):
            lost = whole[c] - kept[c]
            row[at + c] = shares[c, kept[c]]
            row[at + width + c] = shares[c, lost]
            row[at + 2 * width + c] = few[lost]
        at += 3 * width
        row[at] = n_kept / 20
        row[at + 1] = (n_atoms - n_kept) / 20
        row[at + 2] = masses[f] / 300
        row[at + 3] = masses[f] / masses[0]
        row[at + 4] = n_rings / 3
        row[at + 5] = (n_rings_whole - n_rings) / 3
        row[at + 6] = n_aromatic / 6
        row[at + 7] = kept[width - 1] * HYDROGEN_MASS / masses[f] * 10
