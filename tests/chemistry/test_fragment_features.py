"""Every column of the fragment features, counted anew from atoms and bonds in plain Python."""

import numpy as np
import pytest

from team5.chemistry.fragment_features import COUNTED_ELEMENTS, FRAGMENT_FEATURES
from team5.chemistry.tokenizer import MAX_CHARGE, MoleculeTokenizer, TokenizerConfig
from team5.constants import HYDROGEN_MASS
from tests.chemistry.structures import SMILES

MONOVALENT = (9, 17, 35, 53)
# Every element with a count of its own, one without, charges, and rings that open.
DIVERSE = "C[N+](C)(C)CCOP(=O)([O-])OCC(Br)Cc1ccc(F)c(I)c1SC(Cl)[SiH](C)C2CC2"


def count(tokens, fragment: int) -> dict[str, float]:
    """Return the features of a fragment by name."""
    kept = set(tokens.fragments.atoms(fragment))
    graph = tokens.fragments.graph
    elements, hydrogens = graph.elements.tolist(), graph.hydrogens.tolist()
    cuts, inner, orders = [], 0, 0.0
    ends = zip(tokens.bond_ends.tolist(), tokens.bond_kinds, tokens.bond_orders, strict=True)
    for (a, b), kind, order in ends:
        inner += a in kept and b in kept
        if (a in kept) != (b in kept):
            cuts.append(int(kind))
            orders += float(order)
    names = [*COUNTED_ELEMENTS, "other", "H"]
    of_kept, of_all = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for atom, element in enumerate(elements):
        name = element if element in COUNTED_ELEMENTS else "other"
        for counts in (of_all, of_kept) if atom in kept else (of_all,):
            counts[name] += 1
            counts["H"] += hydrogens[atom]
    monovalent = sum(of_kept[element] for element in (*MONOVALENT, "H"))
    rings = inner - len(kept) + 1
    all_rings = len(tokens.bond_ends) - len(elements) + 1
    cost, mass = tokens.fragments.costs[fragment], tokens.fragments.masses[fragment]
    scales = dict(zip(names, [10, 3, 4, *[1] * 7, 12], strict=True))
    return {
        **{f"depth_{d}": float(tokens.fragments.depths[fragment] == d) for d in range(4)},
        "cost": cost / 5,
        "mean_cost": cost / max(len(cuts), 1) / 2,
        "n_cut": len(cuts) / 3,
        "cut_parity": round(orders) % 2,
        **{f"cut_kind_{kind}": cuts.count(kind) for kind in range(11)},
        "unsaturation": (2 * of_kept[6] + 2 + of_kept[7] + of_kept[15] - monovalent) / 12,
        "charge": sum(int(tokens.atoms[atom, 1]) - MAX_CHARGE for atom in kept),
        **{f"kept_{name}": of_kept[name] / scales[name] for name in names},
        **{f"lost_{name}": (of_all[name] - of_kept[name]) / scales[name] for name in names},
        **{f"few_lost_{name}": 1 / (1 + of_all[name] - of_kept[name]) for name in names},
        "n_kept": len(kept) / 20,
        "n_lost": (len(elements) - len(kept)) / 20,
        "mass": mass / 300,
        "mass_share": mass / tokens.fragments.masses[0],
        "n_rings": rings / 3,
        "n_rings_opened": (all_rings - rings) / 3,
        "n_aromatic": sum(int(tokens.atoms[atom, 3]) for atom in kept) / 6,
        "hydrogen_share": of_kept["H"] * HYDROGEN_MASS / mass * 10,
    }


@pytest.fixture(scope="module")
def tokenized():
    tokenizer = MoleculeTokenizer(TokenizerConfig(3, 400))
    texts = [DIVERSE, *(SMILES[name] for name in ("aspirin", "caffeine", "halogens", "alkyne"))]
    return [tokenizer.encode(text) for text in texts]


def test_every_feature_is_what_its_name_says(tokenized):
    for tokens in tokenized:
        features = tokens.fragment_features()
        for fragment in range(0, len(tokens.fragments), 3):
            expected = count(tokens, fragment)
            assert tuple(expected) == FRAGMENT_FEATURES
            assert features[fragment] == pytest.approx(list(expected.values()), abs=1e-5), fragment


def test_no_feature_is_the_same_for_every_fragment(tokenized):
    features = np.concatenate([tokens.fragment_features() for tokens in tokenized])
    constant = np.flatnonzero(np.ptp(features, axis=0) == 0)
    assert [FRAGMENT_FEATURES[column] for column in constant] == []
