"""Structures parsed and cut once, kept on disk for every process of the machine."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
from numpy.typing import NDArray
from rdkit import Chem

from team5.chemistry.fragments import ALGORITHM, Fragments, Graph
from team5.chemistry.molecule import Molecule
from team5.chemistry.tokenizer import (
    ATOM_VOCABULARY,
    BOND_VOCABULARY,
    MoleculeTokenizer,
    MoleculeTokens,
)
from team5.data.download import cache_folder

Array = NDArray[Any]

log = logging.getLogger(__name__)

DEFAULT_BYTES = 2**30  # some 25,000 drug-sized structures
_BUSY_S = 10.0  # for which another process may hold the file
_QUERIED_AT_ONCE = 500
_GRAPH = ("masses", "hydrogens", "elements", "bonds", "bond_costs")
_FRAGMENTS = ("masks", "depths", "costs", "parents", "masses", "hydrogens")
_TOKENS = ("atoms", "isotopes", "bonds", "bond_kinds", "bond_orders")
_N_SIZES = 7  # atoms, bonds, fragments, rings, their bonds, bytes of the molecule and of notes


class StructureCache:
    """Tokens of structures by SMILES as typed, in one SQLite file.

    The file's name says how structures were cut (the tokenizer's settings, the algorithm, RDKit's
    release), so that no other way of cutting finds them. Many processes and threads may use it at a
    time. What it keeps is bounded: the oldest make room. A file that cannot be used is said once
    and left alone; structures are cut anew then.

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
        made_with = [tokenizer.to_config(), ALGORITHM, rdkit.__version__]
        name = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:16]
        return cls(Path(folder or cache_folder()) / "structures" / f"{name}.sqlite")

    def __reduce__(self) -> tuple[type[StructureCache], tuple[Path, int]]:
        return StructureCache, (self.path, self.max_bytes)

    def get(self, smiles: Sequence[str]) -> dict[str, MoleculeTokens]:
        """Return the tokens of those that are kept, by SMILES as typed."""
        found: dict[str, MoleculeTokens] = {}

        def read(connection: sqlite3.Connection) -> None:
            for start in range(0, len(smiles), _QUERIED_AT_ONCE):
                part = smiles[start : start + _QUERIED_AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT smiles, tokens FROM structures WHERE smiles IN ({marks})",  # noqa: S608 - question marks
                    part,
                )
                found.update((text, _unpack(text, stored)) for text, stored in rows)

        self._use(read)
        return found

    def put(self, tokens: Iterable[MoleculeTokens]) -> None:
        """Keep tokens of structures, the oldest making room."""
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
            log.warning(
                "%s cannot be used (%s); structures are cut anew. Delete it, or name another "
                "folder by TEAM5_CACHE.",
                self.path,
                error,
            )

    def _connection(self) -> sqlite3.Connection:
        # A connection must not be used by a process that was forked off.
        known: tuple[int, sqlite3.Connection] | None = getattr(self._connections, "own", None)
        if known is not None and known[0] == os.getpid():
            return known[1]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        # What a power cut may cost here can be computed again.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS structures (smiles TEXT UNIQUE, tokens BLOB)"
        )
        self._connections.own = os.getpid(), connection
        weakref.finalize(threading.current_thread(), connection.close)
        return connection


def _layout(n: Sequence[int]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, type and shape of what is stored, in its order, for so many of each thing."""
    a, e, f, rings, ring_bonds, mol, notes = n
    return [
        ("fragments.masks", "<u8", (f, 2)),
        ("fragments.masses", "<f8", (f,)),
        ("graph.masses", "<f8", (a,)),
        ("bond_kinds", "<i8", (e,)),
        ("fragments.costs", "<f4", (f,)),
        ("fragments.parents", "<i4", (f,)),
        ("fragments.hydrogens", "<i4", (f,)),
        ("graph.hydrogens", "<i4", (a,)),
        ("graph.elements", "<i4", (a,)),
        ("graph.bonds", "<i4", (e, 2)),
        ("graph.bond_costs", "<f4", (e,)),
        ("bond_orders", "<f4", (e,)),
        ("ring_sizes", "<i4", (rings,)),
        ("ring_bonds", "<i4", (ring_bonds,)),
        ("atom_indices", "<i4", (a,)),
        ("atoms", "<i2", (a, len(ATOM_VOCABULARY))),
        ("bonds", "<i2", (e, len(BOND_VOCABULARY))),
        ("isotopes", "<i2", (a,)),
        ("fragments.depths", "i1", (f,)),
        ("mol", "u1", (mol,)),
        ("notes", "u1", (notes,)),
    ]


def _pack(tokens: MoleculeTokens) -> bytes:
    fragments, graph, molecule = tokens.fragments, tokens.fragments.graph, tokens.molecule
    mol = molecule.mol.ToBinary()
    notes = "\n".join(molecule.notes).encode()
    ring_bonds = [bond for ring in graph.rings for bond in ring]
    values: dict[str, Any] = {
        **{name: getattr(tokens, name) for name in _TOKENS},
        **{f"graph.{name}": getattr(graph, name) for name in _GRAPH},
        **{f"fragments.{name}": getattr(fragments, name) for name in _FRAGMENTS},
        "ring_sizes": [len(ring) for ring in graph.rings],
        "ring_bonds": ring_bonds,
        "atom_indices": molecule.atom_indices,
        "mol": np.frombuffer(mol, dtype=np.uint8),
        "notes": np.frombuffer(notes, dtype=np.uint8),
    }
    sizes = (
        len(graph.masses), len(graph.bonds), len(fragments),
        len(graph.rings), len(ring_bonds), len(mol), len(notes),
    )  # fmt: skip
    parts = [np.array(sizes, dtype="<i8").tobytes()]
    parts += [np.asarray(values[name], dtype=kind).tobytes() for name, kind, _ in _layout(sizes)]
    return b"".join(parts)


def _unpack(smiles: str, stored: bytes) -> MoleculeTokens:
    sizes = np.frombuffer(stored, "<i8", _N_SIZES)
    at = sizes.nbytes
    values: dict[str, Array] = {}
    for name, kind, shape in _layout(sizes.tolist()):
        values[name] = np.frombuffer(stored, kind, math.prod(shape), at).reshape(shape)
        at += values[name].nbytes
    notes = values["notes"].tobytes().decode()
    molecule = Molecule(
        smiles,
        Chem.Mol(values["mol"].tobytes()),
        tuple(values["atom_indices"].tolist()),
        tuple(notes.split("\n")) if notes else (),
    )
    bonds, rings = iter(values["ring_bonds"].tolist()), values["ring_sizes"].tolist()
    graph = Graph(
        **{name: values[f"graph.{name}"] for name in _GRAPH},
        rings=tuple(tuple(itertools.islice(bonds, size)) for size in rings),
    )
    return MoleculeTokens(
        molecule=molecule,
        **{name: values[name] for name in _TOKENS},
        bond_ends=graph.bonds,
        fragments=Fragments(graph, **{name: values[f"fragments.{name}"] for name in _FRAGMENTS}),
    )
