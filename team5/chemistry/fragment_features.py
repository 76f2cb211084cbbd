"""Features of fragments that need no learning: cuts, and counts of what is kept and lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from team5.chemistry.atom_masks import NO_ATOMS, count_atoms, has_atom
from team5.chemistry.fragments import Fragments
from team5.constants import HYDROGEN_MASS

Array = NDArray[Any]

# Elements with a column of their own; all others share one.
COUNTED_ELEMENTS = (6, 7, 8, 16, 15, 9, 17, 35, 53)
# Kinds of cut bond with a column of their own; see `tokenizer._bond_kinds`.
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


def fragment_features(
    fragments: Fragments, *, aromatic: Array, charges: Array, bond_kinds: Array, bond_orders: Array
) -> Array:
    """Return features of a molecule's fragments, shape (F, len(FRAGMENT_FEATURES)), float32.

    Parameters
    ----------
    fragments : Fragments
    aromatic, charges : arrays of shape (A,)
        Of the atoms.
    bond_kinds, bond_orders : arrays of shape (E,)
        Kind of each bond, below ``N_BOND_KINDS``; Kekulé bond order.
    """
    graph = fragments.graph
    counted = {number: column for column, number in enumerate(COUNTED_ELEMENTS)}
    columns = np.array([counted.get(e, len(counted)) for e in graph.elements.tolist()])
    atoms = np.arange(len(graph.masses))
    return _count_features(
        fragments.masks,
        _atom_sets(columns[:, None] == np.arange(len(counted) + 1)),
        # Atoms with at least one hydrogen, two and so on: an atom counts in as many sets as it has.
        _atom_sets(graph.hydrogens[:, None] > np.arange(max(1, graph.hydrogens.max()))),
        _atom_sets(aromatic[:, None])[0],
        atoms,
        charges,
        _atom_sets((graph.bonds[:, :, None] == atoms).any(axis=1).T),
        bond_kinds,
        bond_orders,
        fragments.depths.astype(np.int64),
        fragments.costs,
        fragments.masses,
        len(FRAGMENT_FEATURES),
    )


def _atom_sets(member: Array) -> Array:
    """Return sets of atoms as masks, shape (S, 2), from membership (A, S)."""
    bits = np.zeros((member.shape[1], 128), dtype=np.uint8)
    bits[:, : len(member)] = member.T
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)


@njit
def _quotients(most):  # type: ignore[no-untyped-def]
    """Return counts up to ``most`` over each element's scale, and 1 over one more than each.

    Divisions take longer than all else, and the same small counts come again and again.
    """
    width = len(_ELEMENT_SCALE)
    shares = np.empty((width, most + 1), dtype=np.float32)
    few = np.empty(most + 1, dtype=np.float32)
    for n in range(most + 1):
        few[n] = np.float32(1) / np.float32(1 + n)
        for c in range(width):
            shares[c, n] = np.float32(n) / _ELEMENT_SCALE[c]
    return shares, few


@njit(cache=True, nogil=True)
def _count_features(  # type: ignore[no-untyped-def]
    masks, element_sets, hydrogen_sets, aromatic_set, atoms, charges,
    bond_sets, bond_kinds, bond_orders, depths, costs, masses, n_columns,
):  # fmt: skip
    n_fragments, n_atoms = len(masks), len(atoms)
    width = len(_ELEMENT_SCALE)
    charged = atoms[charges != 0]
    out = np.zeros((n_fragments, n_columns), dtype=np.float32)
    kept = np.zeros(width, dtype=np.int64)
    whole = np.zeros(width, dtype=np.int64)
    n_rings_whole = 0
    shares, few = _quotients(n_atoms * max(1, len(hydrogen_sets)))
    for f in range(n_fragments):
        row = out[f]
        low, high = masks[f, 0], masks[f, 1]
        n_kept = 0
        for c in range(width - 1):
            n = count_atoms(low & element_sets[c, 0], high & element_sets[c, 1])
            kept[c] = n
            n_kept += n
        n_hydrogens = 0
        for level in range(len(hydrogen_sets)):
            n_hydrogens += count_atoms(
                low & hydrogen_sets[level, 0], high & hydrogen_sets[level, 1]
            )
        kept[width - 1] = n_hydrogens
        n_aromatic = count_atoms(low & aromatic_set[0], high & aromatic_set[1])
        charge = 0
        for i in charged:
            if has_atom(low, high, i):
                charge += charges[i]
        n_cut, n_inner, cut_order = 0, 0, 0.0
        at = 8
        for b in range(len(bond_sets)):
            own_low, own_high = low & bond_sets[b, 0], high & bond_sets[b, 1]
            if own_low == bond_sets[b, 0] and own_high == bond_sets[b, 1]:
                n_inner += 1
            elif own_low != NO_ATOMS or own_high != NO_ATOMS:
                n_cut += 1
                cut_order += bond_orders[b]
                row[at + bond_kinds[b]] += 1
        # Independent cycles kept: bonds - atoms + 1, as a fragment is connected.
        n_rings = n_inner - n_kept + 1
        if f == 0:
            whole[:] = kept
            n_rings_whole = n_rings
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
    return out
