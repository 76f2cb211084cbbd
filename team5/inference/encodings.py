"""What is known of structures: the network's word in memory, how they are cut on disk."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from functools import lru_cache

from torch import nn

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.chemistry.tokenizer import MoleculeTokenizer, MoleculeTokens
from team5.data.structure_cache import StructureCache
from team5.models.unpadded import EncodedStructure

# Some 500 drug-sized structures.
DEFAULT_BYTES = 256 * 2**20
_MAX_MOLECULES = 5_000


class EncodingCache:
    """Encoded structures of one version by canonical SMILES; safe for many threads.

    When it is full, any of them makes room: a list longer than the cache that is gone through again
    and again, as for the spectra of a file, would otherwise lose each structure just before its
    next turn.

    Parameters
    ----------
    max_bytes : int
        0 keeps nothing.
    disk : StructureCache, optional
        Where structures that were parsed and cut before are found.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES, disk: StructureCache | None = None) -> None:
        self.max_bytes = max_bytes
        self.disk = disk
        self._parsed = lru_cache(maxsize=_MAX_MOLECULES)(self._parse)
        self.n_bytes = 0
        self._kept: dict[str, EncodedStructure] = {}
        self._keys: list[str] = []
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._weights: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[type[EncodingCache], tuple[int, StructureCache | None]]:
        """Let a copy, and what another process gets, begin empty."""
        return EncodingCache, (self.max_bytes, self.disk)

    def parse(self, smiles: str) -> Molecule:
        """Parse a SMILES, or remember it.

        Raises
        ------
        MoleculeError
        """
        # What is no text may not even be something that can be remembered.
        return self._parsed(smiles) if isinstance(smiles, str) else parse_smiles(smiles)

    def _parse(self, smiles: str) -> Molecule:
        if self.disk is not None and (known := self.disk.get([smiles])):
            return known[smiles].molecule
        return parse_smiles(smiles)

    def cut(
        self, tokenizer: MoleculeTokenizer, molecules: Sequence[Molecule]
    ) -> list[MoleculeTokens]:
        """Cut molecules into tokens, or take them from the disk."""
        if self.disk is None:
            return [tokenizer.encode(molecule) for molecule in molecules]
        known = self.disk.get([molecule.smiles for molecule in molecules])
        tokens = [known.get(each.smiles) or tokenizer.encode(each) for each in molecules]
        self.disk.put([each for each in tokens if each.molecule.smiles not in known])
        return tokens

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
