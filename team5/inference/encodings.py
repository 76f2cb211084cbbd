"""Cached encodings of structures in memory, and their tokens on disk."""

from __future__ import annotations

import random
import threading
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from torch import nn

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.models.unpadded import EncodedStructure, Outcomes

# Some 250 drug-sized structures, and 900 under one way of measuring.
DEFAULT_BYTES = 256 * 2**20
_MOLECULE_BYTES = 128 * 2**20  # some 4,000 drug-sized molecules


class Sized(Protocol):
    """A value that knows its size in memory."""

    @property
    def n_bytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class Bounded(Generic[K, V]):
    """Cache of limited size in bytes; thread-safe.

    When it is full, values are evicted at random. If the least recently used one were, a list
    longer than the cache that is read again and again, as for the spectra of a file, would lose
    each structure just before its next use.

    Parameters
    ----------
    max_bytes : int
        0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._kept: dict[K, V] = {}
        self._keys: list[K] = []
        self._random = random.Random(0)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        """Store a value; evicts others if there is no room."""
        size = value.n_bytes
        with self._lock:
            if key in self._kept or size > self.max_bytes:
                return
            while self.n_bytes + size > self.max_bytes:
                index = self._random.randrange(len(self._keys))
                self._keys[index], self._keys[-1] = self._keys[-1], self._keys[index]
                self.n_bytes -= self._kept.pop(self._keys.pop()).n_bytes
            self._kept[key] = value
            self._keys.append(key)
            self.n_bytes += size

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._keys.clear()
            self.n_bytes = 0


class EncodingCache:
    """Cached encodings of structures, and their tokens.

    Parameters
    ----------
    max_bytes : int
        Of memory; 0 keeps nothing.

    Attributes
    ----------
    molecules : Bounded
        Parsed molecules by SMILES.
    structures : Bounded
        Encoded structures by canonical SMILES; with conditions at the atoms, under any of them.
    outcomes : Bounded
        Their ions by canonical SMILES and way of measuring.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.structures: Bounded[str, EncodedStructure] = Bounded(max_bytes // 2)
        self.outcomes: Bounded[Hashable, Outcomes] = Bounded(max_bytes // 2)
        self.molecules: Bounded[str, Molecule] = Bounded(_MOLECULE_BYTES)
        self._weights: list[tuple[int, int]] = []

    def __reduce__(self) -> tuple[type[EncodingCache], tuple[int]]:
        """Start empty in a copy and in another process."""
        return EncodingCache, (self.max_bytes,)

    def parse(self, smiles: str) -> Molecule:
        """Parse a SMILES; structures are cached.

        Raises
        ------
        MoleculeError
        """
        molecule = self.molecules.get(smiles) if isinstance(smiles, str) else None
        if molecule is None:
            molecule = parse_smiles(smiles)
            self.molecules.put(smiles, molecule)
        return molecule

    def belong_to(self, model: nn.Module) -> None:
        """Clear the encodings if the model's weights have changed since they were computed."""
        weights = [(each.data_ptr(), each._version) for each in model.parameters()]
        if weights != self._weights:
            self.structures.clear()
            self.outcomes.clear()
            self._weights = weights
