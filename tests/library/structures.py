"""Structures for the tests of libraries: hundreds, made by rule, with isomers and repeats."""

import itertools

CHAINS = ["C" * n for n in range(1, 7)] + ["CC(C)" + "C" * n for n in range(3)]
ENDS = ["O", "N", "C(=O)O", "S", "Cl", "c1ccccc1", "C#N", "C(N)=O", "OC", "F"]
MIDDLES = ["", "O", "N", "C(=O)", "C(O)"]


def many_smiles(n: int) -> list[str]:
    """Return SMILES of which some are one structure written twice."""
    made = [
        f"{chain}{middle}{second}{end}"
        for chain, middle, second, end in itertools.product(CHAINS, MIDDLES, CHAINS, ENDS)
    ]
    assert n <= len(made)
    # Neighbours in the list are alike; a stride, prime to its length, mixes them.
    return [made[i * 1009 % len(made)] for i in range(n)]
