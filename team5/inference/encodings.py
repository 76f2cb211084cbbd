"""What a version's network says of structures on their own, kept in memory up to a limit."""

from __future__ import annotations

import random
import threading

from torch import nn

from team5.models.unpadded import EncodedStructure

# Some 500 drug-sized structures.
DEFAULT_BYTES = 256 * 2**20


class EncodingCache:
    """Encoded structures of one version by canonical SMILES; safe for many threads.

    When it is full, any of them makes room: a list longer than the cache that is gone through again
    and again, as for the spectra of a file, would otherwise lose each structure just before its
    next turn.

    Parameters
    ----------
    max_bytes : int
        0 keeps nothing.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._kept: dict[str, EncodedStructure] = {}
        self._keys: list[str] = []
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._weights: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[type[EncodingCache], tuple[int]]:
        """Let a copy, and what another process gets, begin empty."""
        return EncodingCache, (self.max_bytes,)

    def belong_to(self, model: nn.Module) -> None:
        """Forget everything if the model's weights are others than those it was computed with."""
        weights = [(each.data_ptr(), each._version) for each in model.parameters()]
        if weights != self._weights:
            with self._lock:
                self._kept.clear()
                self._keys.clear()
                self.n_bytes, self._weights = 0, weights

    def get(self, smiles: str) -> EncodedStructure | None:
        """Return a structure's encoding, None if it is not kept."""
        return self._kept.get(smiles)

    def put(self, smiles: str, encoded: EncodedStructure) -> None:
        """Keep a structure's encoding, in place of others if need be."""
        with self._lock:
            if smiles in self._kept or encoded.n_bytes > self.max_bytes:
                return
            while self.n_bytes + encoded.n_bytes > self.max_bytes:
                place = self._random.randrange(len(self._keys))
                self._keys[place], self._keys[-1] = self._keys[-1], self._keys[place]
                self.n_bytes -= self._kept.pop(self._keys.pop()).n_bytes
            self._kept[smiles] = encoded
            self._keys.append(smiles)
            self.n_bytes += encoded.n_bytes
