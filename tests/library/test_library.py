"""A lookup gives exactly what a filter over all rows gives, however and wherever it is asked."""

import math
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import AdductError, ConfigError, DataError, DataFileNotFoundError
from team5.library.build import build_library
from team5.library.library import open_library
from team5.library.manifest import verify_parts
from team5.library.sorting import PartSizes
from tests.library.structures import many_smiles


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A library of many parts and groups in which masses repeat across all borders."""
    folder = tmp_path_factory.mktemp("library")
    ions = ["C[N+](C)(C)CCO", "CC[N+](C)(C)CC", "C[n+]1ccccc1", "C[N+](C)(C)CC[N+](C)(C)C"]
    (folder / "a.smi").write_text("\n".join(many_smiles(600) + ions) + "\n")
    build_library(
        [folder / "a.smi"], folder / "out",
        n_workers=0, sizes=PartSizes(per_group=8, per_part=40),
    )  # fmt: skip
    return folder / "out"


@pytest.fixture(scope="module")
def all_rows(built):
    return pa.concat_tables(pq.read_table(path) for path in sorted(built.glob("*.parquet")))


def found(candidates) -> list[tuple]:
    return list(
        zip(
            candidates.exact_masses.tolist(),
            candidates.inchikey14.to_pylist(),
            candidates.smiles.to_pylist(),
            strict=True,
        )
    )


def expected(table, low, high, charge=None) -> list[tuple]:
    return [
        (row["exact_mass"], row["inchikey14"], row["smiles"])
        for row in table.to_pylist()
        if low <= row["exact_mass"] <= high and charge in (None, row["charge"])
    ]


@given(data=st.data())
def test_lookups_give_what_a_filter_over_all_rows_gives(built, all_rows, data):
    library = open_library(built, cache_bytes=data.draw(st.sampled_from([0, 3_000, 1 << 20])))
    masses = all_rows["exact_mass"].to_numpy()
    for _ in range(5):
        near = data.draw(st.sampled_from(masses.tolist()))
        low = data.draw(
            st.sampled_from([near, math.nextafter(near, 0), near - 1, 0.0, near + 0.01])
        )
        width = data.draw(st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 40.0, math.inf]))
        assert found(library.between(low, low + width)) == expected(all_rows, low, low + width)
        ppm = data.draw(st.floats(0, 1e5))
        half = near * ppm * 1e-6
        assert found(library.near(near, ppm)) == expected(all_rows, near - half, near + half)


def test_masses_repeat_at_the_borders_that_the_test_above_is_about(built):
    library = open_library(built)
    parts = library.manifest.parts
    assert len(parts) > 5
    assert any(one.max_masses[-1] == two.min_masses[0] for one, two in zip(parts, parts[1:]))  # noqa: B905, RUF007


@pytest.mark.parametrize(
    ("adduct", "smiles", "mz"),
    [
        ("[M+H]+", "CCO", 46.041865 + 1.007276),
        ("[M-H]-", "CCO", 46.041865 - 1.007276),
        ("[M+2H]2+", "CCO", (46.041865 + 2 * 1.007276) / 2),
        ("[2M+H]+", "CCO", 2 * 46.041865 + 1.007276),
        ("[M]+", "C[n+]1ccccc1", 94.065674 - 0.000549),
        ("[M]2+", "C[N+](C)(C)CC[N+](C)(C)C", (146.178299 - 2 * 0.000549) / 2),
        ("[M+H]2+", "C[n+]1ccccc1", (94.065674 - 0.000549 + 1.007276) / 2),
        ("[M-2H]-", "C[n+]1ccccc1", 94.065674 - 2 * 1.007825 + 0.000549),
    ],
)
def test_precursors_find_their_structure_by_adduct(tmp_path, adduct, smiles, mz):
    (tmp_path / "a.smi").write_text("CCO\nC[n+]1ccccc1\nC[N+](C)(C)CC[N+](C)(C)C\n")
    build_library([tmp_path / "a.smi"], tmp_path / "out", n_workers=0)
    library = open_library(tmp_path / "out")
    assert library.of_precursor(mz, adduct).smiles.to_pylist() == [smiles]
    assert len(library.of_precursor(mz * (1 + 30e-6), adduct)) == 0


def test_ions_are_found_by_their_own_adducts_only(built, all_rows):
    library = open_library(built)
    for row in all_rows.to_pylist():
        if row["charge"] == 1:
            mz = row["exact_mass"] - 0.000549
            assert row["smiles"] in library.of_precursor(mz, "[M]+").smiles.to_pylist()
            assert row["smiles"] not in library.of_precursor(
                row["exact_mass"] + 1.007276, "[M+H]+"
            ).smiles.to_pylist()  # fmt: skip


def test_a_scan_holds_every_structure_of_its_masses_once(built, all_rows):
    library = open_library(built)
    whole = expected(all_rows, 0, math.inf)
    assert [one for part in library.scan() for one in found(part)] == whole
    middle = whole[300][0]
    ranges = [(0.0, middle), (middle, math.inf)]
    assert [
        one for low, high in ranges for part in library.scan(low, high) for one in found(part)
    ] == whole


def test_only_the_row_groups_needed_are_read_and_kept_within_bounds(built, all_rows):
    library = open_library(built, cache_bytes=4_000)
    mass = all_rows["exact_mass"][300].as_py()
    first = found(library.near(mass, 1))
    n_read = library.read_counts.n_groups
    assert 1 <= n_read <= 6
    assert found(library.near(mass, 1)) == first
    assert library.read_counts.n_from_cache >= 1
    list(library.scan())
    assert library._reader._n_cached_bytes <= 4_000


def test_threads_and_other_processes_find_the_same(built, all_rows):
    library = open_library(built, cache_bytes=5_000)
    masses = all_rows["exact_mass"].to_numpy()[::7].tolist()
    one_by_one = [found(library.near(mass, 1000)) for mass in masses]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda mass: found(library.near(mass, 1000)), masses)) == one_by_one
    copy = pickle.loads(pickle.dumps(library))
    assert found(copy.near(masses[3], 1000)) == one_by_one[3]
    for way in ("fork", "spawn"):
        context = multiprocessing.get_context(way)
        with ProcessPoolExecutor(2, mp_context=context) as processes:
            assert list(processes.map(find_near, [library] * 5, masses)) == one_by_one[:5]


def find_near(library, mass):
    return found(library.near(mass, 1000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_reads_for_itself_while_the_parent_goes_on(built, all_rows):
    library = open_library(built, cache_bytes=0)
    mass = all_rows["exact_mass"][100].as_py()
    here = found(library.near(mass, 1000))
    with library._reader._lock:  # as if another thread were at it just when the process forks
        child = os.fork()
        if child == 0:
            os._exit(0 if found(library.near(mass, 1000)) == here else 1)
    assert os.waitpid(child, 0)[1] == 0


def write(path, masses, **options):
    smiles = ["C"] * len(masses)
    pq.write_table(pa.table({"smiles": smiles, "exact_mass": masses}), path, **options)
    return path


def test_a_single_sorted_file_is_a_library(tmp_path):
    path = write(tmp_path / "a.parquet", [1.0, 2.0, 2.0, 2.0, 3.0, 4.0], row_group_size=2)
    library = open_library(path)
    assert len(library) == 6
    assert library.between(2, 3).exact_masses.tolist() == [2.0, 2.0, 2.0, 3.0]
    assert library.between(2, 3).inchikey14.to_pylist() == [None] * 4


def test_charges_of_a_single_file_are_read_off_formula_or_smiles(tmp_path):
    smiles = ["CCO", "C[N+](C)(C)C", "C[N+](=O)[O-]", "[Ca++]"]
    masses = np.array([46.0, 74.0, 75.0, 76.0])
    pq.write_table(pa.table({"smiles": smiles, "exact_mass": masses}), tmp_path / "a.parquet")
    assert open_library(tmp_path / "a.parquet").between(0, 99).charges.tolist() == [0, 1, 0, 2]
    formulas = ["C2H6O", "C4H12N+", "CH3NO2", "Ca+2"]
    pq.write_table(
        pa.table({"smiles": smiles, "exact_mass": masses, "formula": formulas}),
        tmp_path / "b.parquet",
    )
    assert open_library(tmp_path / "b.parquet").between(0, 99).charges.tolist() == [0, 1, 0, 2]


def test_files_that_are_not_sorted_are_refused_with_the_command_to_build(tmp_path):
    with pytest.raises(DataError, match=r"not sorted by exact_mass.*team5\.library build"):
        open_library(write(tmp_path / "a.parquet", [3.0, 4.0, 1.0, 2.0], row_group_size=2))
    inside = open_library(write(tmp_path / "b.parquet", [1.0, 3.0, 2.0, 4.0]))
    with pytest.raises(DataError, match=r"not sorted by exact_mass"):
        inside.near(2.0)
    with pytest.raises(DataError, match="does not say which masses"):
        open_library(write(tmp_path / "c.parquet", [1.0], write_statistics=False))
    with pytest.raises(DataError, match="does not say which masses it holds, or has rows without"):
        open_library(write(tmp_path / "d.parquet", [1.0, None]))
    with pytest.raises(DataError, match="not sorted"):
        open_library(write(tmp_path / "e.parquet", [1.0, math.nan])).near(1.0)


def test_what_is_no_library_is_refused(tmp_path, built):
    with pytest.raises(DataFileNotFoundError, match="no such folder"):
        open_library(tmp_path / "absent")
    with pytest.raises(DataFileNotFoundError, match=r"holds no library\.json"):
        open_library(tmp_path)
    (tmp_path / "a.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        open_library(tmp_path / "a.parquet")
    pq.write_table(pa.table({"smiles": ["C"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no column exact_mass; there are smiles"):
        open_library(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "format 2"),
        (lambda text: text.replace('"parts"', '"part"'), "damaged"),
        (lambda text: text.replace("part-00001", "../part-00001"), "damaged"),
        (lambda text: text.replace('"n_rows": 40', '"n_rows": 39'), "damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(built, tmp_path, change, message):
    (tmp_path / "library.json").write_text(change((built / "library.json").read_text()))
    with pytest.raises(DataError, match=message):
        open_library(tmp_path)


def test_a_missing_part_is_named_when_it_is_needed(built, tmp_path):
    (tmp_path / "library.json").write_bytes((built / "library.json").read_bytes())
    with pytest.raises(DataError, match=r"part-00000\.parquet: cannot be read"):
        open_library(tmp_path).between(0, 100)


def test_a_precursor_beyond_all_numbers_has_no_structures(built):
    assert len(open_library(built).of_precursor(1e308, "[M+H]+", ppm=5).smiles) == 0


def test_senseless_questions_are_refused(built):
    library = open_library(built)
    for ask in (
        lambda: library.near(math.nan),
        lambda: library.near(-1.0),
        lambda: library.near(100.0, ppm=-1),
        lambda: library.of_precursor(0, "[M+H]+"),
        lambda: library.between(math.nan, 1),
    ):
        with pytest.raises(ConfigError):
            ask()
    with pytest.raises(AdductError):
        library.of_precursor(100, "no adduct")
    assert len(library.of_precursor(0.5, "[M+H]+")) == 0


def test_a_library_is_built_to_and_read_from_object_storage(built, tmp_path):
    pytest.importorskip("upath")
    source = built.parent / "a.smi"
    sizes = PartSizes(per_group=8, per_part=40)
    for output in ("memory://libraries/one", f"file://{tmp_path}/two"):
        build_library([source], output, n_workers=0, sizes=sizes, work=tmp_path / "work")
        assert list((tmp_path / "work").iterdir()) == []
        there = open_library(output)
        assert there.manifest == open_library(built).manifest
        assert found(there.between(50, 150)) == found(open_library(built).between(50, 150))
        pickle.loads(pickle.dumps(there))
    single = open_library("memory://libraries/one/part-00001.parquet")
    assert len(single) == 40
    assert single.near(single.mass_range[0], 1).exact_masses[0] == single.mass_range[0]


def test_a_library_of_an_earlier_release_is_read_and_verified():
    folder = Path(__file__).parents[1] / "files/library_0.1"
    library = open_library(folder)
    assert library.of_precursor(181.0495, "[M+H]+").names.to_pylist() == ["aspirin"]
    assert library.of_precursor(104.1070, "[M]+").names.to_pylist() == ["choline"]
    assert library.between(46, 47).smiles.to_pylist() == ["COC", "CCO"]
    (reason,) = library.manifest.dropped
    assert reason == "structure not understood"
    verify_parts(folder, library.manifest)


def test_the_pool_is_a_library_as_it_is(shared_data):
    library = open_library(shared_data / "candidate_pool.parquet")
    assert len(library) == 1_180_559
    aspirin = library.of_precursor(181.0495, "[M+H]+")
    assert "CC(=O)Oc1ccccc1C(=O)O" in aspirin.smiles.to_pylist()
    assert {"C9H8O4", "C10H4N4"} == set(aspirin.formula.to_pylist())  # 7 ppm apart
