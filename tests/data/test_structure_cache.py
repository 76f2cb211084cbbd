"""Structures kept on disk: the same as cut anew, bounded, shared by processes."""

import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from team5.chemistry.tokenizer import MoleculeTokenizer, MoleculeTokens, TokenizerConfig
from team5.data.structure_cache import StructureCache

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C",
    "[13CH4]",
    "OC(=O)[C@@H](N)Cc1ccccc1.Cl",
    "C[N+](C)(C)CCO",
    "C12C3C4C1C5C2C3C45",
    "O" + "C" * 90 + "N",
]


@pytest.fixture
def tokenizer() -> MoleculeTokenizer:
    return MoleculeTokenizer()


@pytest.fixture
def cache(tmp_path, tokenizer) -> StructureCache:
    return StructureCache.of(tokenizer, tmp_path)


def assert_same(one: MoleculeTokens, other: MoleculeTokens) -> None:
    for name in ("smiles", "atom_indices", "notes", "formula", "inchikey14", "canonical_smiles"):
        assert getattr(one.molecule, name) == getattr(other.molecule, name), name
    assert one.molecule.exact_mass == other.molecule.exact_mass
    assert one.molecule.element_counts == other.molecule.element_counts
    for name in ("atoms", "isotopes", "bonds", "bond_ends", "bond_kinds", "bond_orders"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert one.fragments.graph.rings == other.fragments.graph.rings
    for name in ("masks", "depths", "costs", "parents", "masses", "hydrogens", "inside"):
        np.testing.assert_array_equal(
            getattr(one.fragments, name), getattr(other.fragments, name), name
        )
    np.testing.assert_array_equal(one.fragment_features(), other.fragment_features())


def test_what_comes_back_is_what_was_kept(cache, tokenizer):
    tokens = [tokenizer.encode(smiles) for smiles in SMILES]
    cache.put(tokens)
    found = cache.get([*SMILES, "CCO"])
    assert list(map(found.get, SMILES)) != [None] * len(SMILES)
    assert "CCO" not in found
    for each in tokens:
        assert_same(found[each.molecule.smiles], each)
        assert tokenizer.decode(found[each.molecule.smiles]) == tokenizer.decode(each)


def test_nothing_is_found_that_was_cut_otherwise(cache, tokenizer, tmp_path):
    cache.put([tokenizer.encode(SMILES[0])])
    shallow = StructureCache.of(MoleculeTokenizer(TokenizerConfig(max_depth=1)), tmp_path)
    assert shallow.path != cache.path
    assert shallow.get(SMILES) == {}
    assert SMILES[0] in StructureCache.of(tokenizer, tmp_path).get(SMILES)


def test_the_file_stays_below_its_bound_and_the_oldest_make_room(tmp_path, tokenizer):
    cache = StructureCache(tmp_path / "small.sqlite", max_bytes=400_000)
    chains = ["C" * n + "O" for n in range(5, 70)]
    for smiles in chains:
        cache.put([tokenizer.encode(smiles)])
    found = cache.get(chains)
    assert chains[-1] in found
    assert chains[0] not in found
    assert cache.path.stat().st_size < 600_000


def test_a_file_that_is_no_cache_is_said_once_and_left_alone(tmp_path, tokenizer, caplog):
    path = tmp_path / "other.sqlite"
    path.write_bytes(b"not a database, but somebody's notes " * 100)
    cache = StructureCache(path)
    cache.put([tokenizer.encode("CCO")])
    assert cache.get(["CCO"]) == {}
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert path.read_bytes().startswith(b"not a database")


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path, tokenizer, caplog):
    (tmp_path / "file").write_text("")
    cache = StructureCache.of(tokenizer, tmp_path / "file")
    assert cache.get(["CCO"]) == {}
    cache.put([tokenizer.encode("CCO")])
    assert len(caplog.records) == 1


PUT = """
import sys
from pathlib import Path
from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.data.structure_cache import StructureCache
cache, tokenizer = StructureCache(Path(sys.argv[1])), MoleculeTokenizer()
for n in range(3, 40):
    cache.put([tokenizer.encode("C" * n + sys.argv[2])])
assert len(cache.get(["C" * n + sys.argv[2] for n in range(3, 40)])) == 37
"""


def test_processes_that_write_at_once_all_keep_what_they_cut(tmp_path, tokenizer):
    path = tmp_path / "shared.sqlite"
    running = [subprocess.Popen([sys.executable, "-c", PUT, path, end]) for end in "ONSF"]
    assert [process.wait() for process in running] == [0] * 4
    every = ["C" * n + end for n in range(3, 40) for end in "ONSF"]
    assert len(StructureCache(path).get(every)) == len(every)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_another_process_gets_the_same_file(cache, tokenizer):
    cache.put([tokenizer.encode("CCO")])
    copied = pickle.loads(pickle.dumps(cache))
    assert copied.path == cache.path
    assert isinstance(copied.path, Path)
    assert "CCO" in copied.get(["CCO"])
