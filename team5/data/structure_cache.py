"""Cache of tokenised structures on disk, shared by the processes of a machine."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import rdkit
from rdkit import Chem
from safetensors.numpy import load, save

from team5.chemistry.fragments import ALGORITHM, Fragments, Graph
from team5.chemistry.molecule import Molecule
from team5.chemistry.tokenizer import MoleculeTokenizer, MoleculeTokens
from team5.data.download import cache_folder

_log = logging.getLogger(__name__)

DEFAULT_BYTES = 2**30  # some 25,000 drug-sized structures
_BUSY_S = 10.0  # how long another process may lock the file
_QUERY_SIZE = 500
_GRAPH = ("masses", "hydrogens", "elements", "bonds", "bond_costs")
_FRAGMENTS = ("masks", "depths", "costs", "parents", "masses", "hydrogens")
_TOKENS = ("atoms", "isotopes", "bonds", "bond_kinds", "bond_orders")
_FORMAT = "safetensors"


class StructureCache:
    """Tokens of structures by verbatim SMILES, in one SQLite file.

    The file's name depends on how structures are cut (the tokenizer's settings, the algorithm,
    RDKit's release), so that tokens are only shared by programs that cut alike. Many processes and
    threads may use it concurrently. Its size is bounded: the oldest entries are dropped. A file
    that cannot be used is reported once and ignored; structures are then cut again.

    Parameters
    ----------
    path : Path
        On a local disk; see :meth:`of`.
    max_bytes : int
        Of the file.
    """

    def __init__(self, path: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._connections = threading.local()
        self._is_usable = True

    @classmethod
    def of(cls, tokenizer: MoleculeTokenizer, folder: str | Path | None = None) -> StructureCache:
        """Return the cache of a tokenizer; the folder is ``TEAM5_CACHE`` or the user's."""
        settings = [_FORMAT, tokenizer.to_config(), ALGORITHM, rdkit.__version__]
        name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
        return cls(Path(folder or cache_folder()) / "structures" / f"{name}.sqlite")

    def __reduce__(self) -> tuple[type[StructureCache], tuple[Path, int]]:
        return StructureCache, (self.path, self.max_bytes)

    def get(self, smiles: Sequence[str]) -> dict[str, MoleculeTokens]:
        """Return the tokens of the cached structures, by verbatim SMILES."""
        cached: dict[str, MoleculeTokens] = {}

        def read(connection: sqlite3.Connection) -> None:
            for start in range(0, len(smiles), _QUERY_SIZE):
                part = smiles[start : start + _QUERY_SIZE]
                marks = ",".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT smiles, tokens FROM structures WHERE smiles IN ({marks})",  # noqa: S608 - question marks
                    part,
                )
                cached.update((text, _unpack(text, stored)) for text, stored in rows)

        self._use(read)
        return cached

    def put(self, tokens: Iterable[MoleculeTokens]) -> None:
        """Add the tokens of structures, dropping the oldest entries if needed."""
        rows = [(each.molecule.smiles, _pack(each)) for each in tokens]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR IGNORE INTO structures VALUES (?, ?)", rows)
                if self._n_bytes(connection) > self.max_bytes:
                    connection.execute(
                        "DELETE FROM structures WHERE rowid IN (SELECT rowid FROM structures "
                        "ORDER BY rowid LIMIT max(?, (SELECT count(*) FROM structures) / 10))",
                        (len(rows),),
                    )

        if rows:
            self._use(write)

    @staticmethod
    def _n_bytes(connection: sqlite3.Connection) -> int:
        page, pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return int(page * (pages - free))

    def _use(self, work: Callable[[sqlite3.Connection], None]) -> None:
        if not self._is_usable:
            return
        try:
            work(self._connection())
        except (sqlite3.Error, OSError) as error:
            self._is_usable = False
            _log.warning(
                "%s cannot be used (%s); structures are cut anew. Delete it, or name another "
                "folder by TEAM5_CACHE.",
                self.path,
                error,
            )

    def _connection(self) -> sqlite3.Connection:
        # A connection must not be used by a forked process.
        opened: tuple[int, sqlite3.Connection] | None = getattr(self._connections, "opened", None)
        if opened is not None and opened[0] == os.getpid():
            return opened[1]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        # Whatever a power cut destroys can be recomputed.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS structures (smiles TEXT UNIQUE, tokens BLOB)"
        )
        self._connections.opened = os.getpid(), connection
        weakref.finalize(threading.current_thread(), connection.close)
        return connection


def _pack(tokens: MoleculeTokens) -> bytes:
    fragments, graph, molecule = tokens.fragments, tokens.fragments.graph, tokens.molecule
    return save(
        {
            **{name: getattr(tokens, name) for name in _TOKENS},
            **{f"graph.{name}": getattr(graph, name) for name in _GRAPH},
            **{f"fragments.{name}": getattr(fragments, name) for name in _FRAGMENTS},
            "ring_sizes": np.array([len(ring) for ring in graph.rings], dtype=np.int32),
            "ring_bonds": np.array([bond for ring in graph.rings for bond in ring], dtype=np.int32),
            "atom_indices": np.array(molecule.atom_indices, dtype=np.int32),
            "mol": np.frombuffer(molecule.mol.ToBinary(), dtype=np.uint8),
            "notes": np.frombuffer("\n".join(molecule.notes).encode(), dtype=np.uint8),
        }
    )


def _unpack(smiles: str, stored: bytes) -> MoleculeTokens:
    arrays = load(stored)
    notes = arrays["notes"].tobytes().decode()
    mol = Chem.Mol(arrays["mol"].tobytes())
    molecule = Molecule(
        smiles,
        mol,
        tuple(arrays["atom_indices"].tolist()),
        tuple(notes.split("\n")) if notes else (),
        Chem.MolToSmiles(mol),
    )
    bonds, ring_sizes = iter(arrays["ring_bonds"].tolist()), arrays["ring_sizes"].tolist()
    graph = Graph(
        **{name: arrays[f"graph.{name}"] for name in _GRAPH},
        rings=tuple(tuple(itertools.islice(bonds, size)) for size in ring_sizes),
    )
    return MoleculeTokens(
        molecule=molecule,
        **{name: arrays[name] for name in _TOKENS},
        bond_ends=graph.bonds,
        fragments=Fragments(graph, **{name: arrays[f"fragments.{name}"] for name in _FRAGMENTS}),
    )
