"""The enumeration of fragments as it is described, in plain Python: masks are big integers.

Slow and without cunning, so that it can be read beside ``team5.chemistry.fragments``.
"""

from dataclasses import dataclass

import numpy as np

from team5.chemistry.fragments import MIN_FRAGMENT_MASS, Graph


@dataclass
class Fragment:
    mask: int
    depth: int
    cost: np.float32  # as the compiled code adds up: ties in float32 decide about parents
    parent: int
    mass: float


def reference_fragments(graph: Graph, max_depth: int, max_fragments: int) -> list[Fragment]:
    """Return the fragments in the order in which they are found."""
    bonds = [(int(a), int(b)) for a, b in graph.bonds]
    n_atoms = len(graph.masses)
    whole = (1 << n_atoms) - 1
    found = [Fragment(whole, 0, np.float32(0), 0, float(sum(graph.masses)))]
    index = {whole: 0}
    level = [0]
    for depth in range(1, max_depth + 1):
        first_of_next = len(found)
        for parent in sorted(level, key=lambda i: found[i].cost):
            mask = found[parent].mask
            for cut in _cuts(graph, bonds, mask):
                cost = found[parent].cost
                for bond in cut:
                    cost = np.float32(cost + graph.bond_costs[bond])
                start, other_end = bonds[cut[0]]
                side = _reached(start, mask, [b for i, b in enumerate(bonds) if i not in cut])
                if side >> other_end & 1:
                    continue
                for part in (side, mask & ~side):
                    known = index.get(part)
                    if known is not None:
                        if found[known].depth == depth and cost < found[known].cost:
                            found[known].cost, found[known].parent = cost, parent
                    elif len(found) < max_fragments:
                        mass = sum(float(graph.masses[i]) for i in range(n_atoms) if part >> i & 1)
                        if mass >= MIN_FRAGMENT_MASS:
                            index[part] = len(found)
                            found.append(Fragment(part, depth, cost, parent, mass))
            if len(found) == max_fragments:
                return found
        level = list(range(first_of_next, len(found)))
    return found


def _cuts(graph: Graph, bonds: list[tuple[int, int]], mask: int) -> list[tuple[int, ...]]:
    """Return each bond in no intact ring alone, then the pairs of bonds of each intact ring."""
    kept = [i for i, (a, b) in enumerate(bonds) if mask >> a & 1 and mask >> b & 1]
    intact = [
        ring for ring in graph.rings if all(mask >> end & 1 for bond in ring for end in bonds[bond])
    ]
    in_ring = {bond for ring in intact for bond in ring}
    alone: list[tuple[int, ...]] = [(i,) for i in kept if i not in in_ring]
    pairs = [
        (ring[i], ring[j])
        for ring in intact
        for i in range(len(ring))
        for j in range(i + 1, len(ring))
    ]
    return alone + pairs


def _reached(start: int, mask: int, bonds: list[tuple[int, int]]) -> int:
    neighbours: dict[int, list[int]] = {}
    for a, b in bonds:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    seen, todo = 1 << start, [start]
    while todo:
        for atom in neighbours.get(todo.pop(), []):
            if mask >> atom & 1 and not seen >> atom & 1:
                seen |= 1 << atom
                todo.append(atom)
    return seen
