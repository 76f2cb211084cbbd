"""Morgan fingerprints of molecules and their similarity."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

RADIUS = 2
N_BITS = 2_048
N_COUNTS = 1_024


def morgan_bits(mol: Chem.Mol) -> DataStructs.ExplicitBitVect:
    """Return the Morgan fingerprint of radius 2, hashed to 2,048 bits.

    References
    ----------
    Rogers and Hahn, J. Chem. Inf. Model. 50:742 (2010).
    """
    return _generator(N_BITS).GetFingerprint(mol)


def morgan_counts(mol: Chem.Mol) -> NDArray[np.uint32]:
    """Return the counts of Morgan environments of radius 2, hashed to 1,024 bins."""
    return _generator(N_COUNTS).GetCountFingerprintAsNumPy(mol)


def nearest_similarity(
    bits: DataStructs.ExplicitBitVect, others: Sequence[DataStructs.ExplicitBitVect]
) -> float:
    """Return the highest Tanimoto similarity, 0 to 1, of one fingerprint to others."""
    return max(DataStructs.BulkTanimotoSimilarity(bits, others), default=0.0)


@lru_cache
def _generator(size: int) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=size)
