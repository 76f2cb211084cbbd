import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.chemistry.molecule import parse_smiles
from team5.chemistry.notation import to_smiles
from team5.data.decoys import CandidatePool, choose_decoys
from team5.data.readers.structures import iter_structures
from team5.errors import ConfigError, DataError, DataFileNotFoundError

# Leucine and two of its isomers; caffeine alone.
STRUCTURES = {
    "smiles": [
        "CC(C)CC(N)C(=O)O",
        "CCC(C)C(N)C(=O)O",
        "CCCCC(N)C(=O)O",
        "Cn1c2c(nc1)n(C)c(=O)n(C)c2=O",
    ],
    "inchikey14": ["ROHFNLRQFUQHCH", "AGPKZVBTJJNPAG", "LRQKBLKVPFOOQJ", "RYYVLZVUVIJVGH"],
    "formula": ["C6H13NO2", "C6H13NO2", "C6H13NO2", "C8H10N4O2"],
    "exact_mass": [131.09463, 131.09463, 131.09463, 194.08038],
}
LEUCINE, ISOLEUCINE, NORLEUCINE, CAFFEINE = STRUCTURES["inchikey14"]


def pool_of(structures):
    return CandidatePool.from_structures(*structures.values())


POOL = pool_of(STRUCTURES)


def decoys_of(inchikey14, exact_mass, identifiers, pool=POOL, seed=0):
    n = len(identifiers)
    return choose_decoys([inchikey14] * n, [exact_mass] * n, identifiers, pool, seed=seed)


def test_a_decoy_is_another_structure_of_the_same_mass():
    decoys = decoys_of(LEUCINE, 131.09463, [f"spectrum-{i}" for i in range(50)])
    assert set(decoys) == set(STRUCTURES["smiles"][1:3])


def test_without_another_structure_of_the_mass_there_is_no_decoy():
    assert decoys_of(CAFFEINE, 194.08038, ["a", "b"]) == [None, None]
    assert decoys_of(CAFFEINE, 250.0, ["a"]) == [None]
    assert decoys_of(
        CAFFEINE, 194.08038, ["a"], pool=CandidatePool.from_structures([], [], [], [])
    ) == [None]


def test_every_structure_of_the_mass_is_as_likely():
    n = 3_000
    counts = Counter(decoys_of("OTHERSTRUCTURE", 131.09463, [str(i) for i in range(n)]))
    # Five standard deviations of a binomial with p = 1/3.
    assert all(abs(count - n / 3) < 5 * (n * 2 / 9) ** 0.5 for count in counts.values())
    assert len(counts) == 3


@given(st.randoms(use_true_random=False))
def test_neither_row_order_nor_other_rows_nor_pool_order_change_a_decoy(rng: random.Random):
    identifiers = [f"spectrum-{i}" for i in range(20)]
    expected = dict(zip(identifiers, decoys_of(LEUCINE, 131.09463, identifiers), strict=True))
    some = rng.sample(identifiers, 7)
    rows = list(zip(*STRUCTURES.values(), strict=True)) * 2
    rng.shuffle(rows)
    shuffled = CandidatePool.from_structures(*zip(*rows, strict=True))
    assert decoys_of(LEUCINE, 131.09463, some, pool=shuffled) == [expected[i] for i in some]


def test_further_structures_stand_in_a_pool_as_if_it_had_been_made_with_them():
    rows = list(zip(*STRUCTURES.values(), strict=True))
    pool = CandidatePool.from_structures(*zip(rows[0], rows[1], rows[3], strict=True))
    otherwise_written = ("NC(C(=O)O)C(C)CC", *rows[1][1:])
    joined = pool.with_structures([otherwise_written, rows[2]])
    assert joined.exact_masses.tolist() == POOL.exact_masses.tolist()
    for column in ("smiles", "inchikey14s", "formulas"):
        assert getattr(joined, column).to_pylist() == getattr(POOL, column).to_pylist()
    assert pool.with_structures([otherwise_written]) is pool


def test_a_seed_draws_the_same_decoys_in_every_release():
    drawn = decoys_of(LEUCINE, 131.09463, list("abcdefgh"), seed=7)
    assert [STRUCTURES["smiles"].index(decoy) for decoy in drawn] == [2, 1, 1, 1, 1, 2, 1, 1]


def test_seed_draws_other_decoys():
    identifiers = [str(i) for i in range(50)]
    first = decoys_of(LEUCINE, 131.09463, identifiers, seed=1)
    assert first == decoys_of(LEUCINE, 131.09463, identifiers, seed=1)
    assert first != decoys_of(LEUCINE, 131.09463, identifiers, seed=2)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ConfigError, match="2 structures, 1 masses and 1 identifiers"):
        choose_decoys([LEUCINE, CAFFEINE], [131.1], ["a"], POOL, seed=0)


@given(
    masses=st.lists(st.floats(50, 1_000), max_size=40),
    center=st.floats(50, 1_000),
    tolerance_ppm=st.floats(0, 1e6),
)
def test_near_gives_exactly_the_candidates_within_the_tolerance(masses, center, tolerance_ppm):
    names = [f"m{i}" for i in range(len(masses))]
    pool = CandidatePool.from_structures(names, names, ["C"] * len(masses), masses)
    width = center * tolerance_ppm * 1e-6
    expected = {
        name
        for name, mass in zip(names, masses, strict=True)
        if center - width <= mass <= center + width
    }
    near = pool.near(center, tolerance_ppm)
    assert set(near.smiles.to_pylist()) == expected
    assert [masses[int(name[1:])] for name in near.smiles.to_pylist()] == list(near.exact_masses)


def test_a_slice_keeps_all_columns_together():
    near = POOL.near(194.0804)
    assert len(near) == 1
    assert near.smiles.to_pylist() == [STRUCTURES["smiles"][3]]
    assert near.inchikey14s.to_pylist() == [CAFFEINE]
    assert near.formulas.to_pylist() == ["C8H10N4O2"]
    assert list(near.exact_masses) == [194.08038]
    lighter = POOL.near(131.09463)
    assert lighter.inchikey14s.to_pylist() == [ISOLEUCINE, NORLEUCINE, LEUCINE]
    assert lighter.formulas.to_pylist() == ["C6H13NO2"] * 3


def test_structures_are_counted_once_and_permanently_charged_ones_left_out():
    structures = {name: values + values for name, values in STRUCTURES.items()}
    charged = {
        "smiles": ["C[N+](C)(C)CCO", "C[N+](C)(C)CC[N+](C)(C)C"],
        "inchikey14": ["OEYIOHPDSNJKLS", "FYBQHYOFKYGVHK"],
        "formula": ["C5H14NO+", "C8H22N2+2"],
        "exact_mass": [104.10754, 146.17830],
    }
    pool = pool_of({name: charged[name] + structures[name] for name in structures})
    # By mass, then by key.
    assert pool.inchikey14s.to_pylist() == [ISOLEUCINE, NORLEUCINE, LEUCINE, CAFFEINE]


def test_a_pool_file_in_any_order_and_many_row_groups_reads_as_the_sorted_one(tmp_path):
    columns = {name: values[::-1] for name, values in STRUCTURES.items()}
    pq.write_table(
        pa.table({**columns, "other": [1, 2, 3, 4]}), tmp_path / "pool.parquet", row_group_size=1
    )
    pool = CandidatePool.read(tmp_path / "pool.parquet")
    assert (np.diff(pool.exact_masses) >= 0).all()
    assert set(pool.near(131.0946).inchikey14s.to_pylist()) == {LEUCINE, ISOLEUCINE, NORLEUCINE}


def test_missing_columns_and_values_of_a_pool_file_are_named(tmp_path):
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.table({"structure": ["CCO"], "mass": [46.0]}), path)
    with pytest.raises(DataError, match=r"no column smiles or inchi; there are structure, mass"):
        CandidatePool.read(path)
    pq.write_table(pa.table({**STRUCTURES, "formula": ["C", None, None, "C"]}), path)
    with pytest.raises(DataError, match="2 rows have no formula"):
        CandidatePool.read(path)
    pq.write_table(pa.table({**STRUCTURES, "exact_mass": [1.0, float("nan"), 2.0, 3.0]}), path)
    with pytest.raises(DataError, match=r"pool\.parquet: exact_mass must be above 0 and finite"):
        CandidatePool.read(path)
    with pytest.raises(DataError, match="the data set: exact_mass must be above 0 and finite"):
        CandidatePool.from_structures(["C"], ["A"], ["CH4"], [0.0])
    pq.write_table(pa.table({**STRUCTURES, "exact_mass": ["heavy"] * 4}), path)
    with pytest.raises(DataError, match="not a readable Parquet"):
        CandidatePool.read(path)


def test_files_that_are_no_pool_are_one_clear_error(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"absent\.parquet.* Pass a Parquet table or"):
        CandidatePool.read(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("smiles,exact_mass\n")
    with pytest.raises(DataError, match="none of its 0 structures can be used"):
        CandidatePool.read(tmp_path / "text.parquet")
    with pytest.raises(DataError, match="cannot be read"):
        CandidatePool.read(tmp_path)
    (tmp_path / "bad.smi").write_text("C1CC\nC(\n")
    with pytest.raises(DataError, match=r"none of its 2 structures.*structure_invalid \(2\)"):
        CandidatePool.read(tmp_path / "bad.smi")
    (tmp_path / "half.smi").write_text("C1CC\nCCO\n")
    with pytest.raises(DataError, match="only 1 of its 2 structures can be used") as caught:
        CandidatePool.read(tmp_path / "half.smi")
    assert caught.value.code == "no_usable_structure"


@pytest.mark.parametrize("name", ["suspects_excel.csv", "hmdb.sdf", "CID-SMILES.gz"])
def test_any_list_of_structures_is_a_pool(name):
    path = Path(__file__).parents[1] / "files/structures" / name
    expected = {
        parse_smiles(to_smiles(record.text)).canonical_smiles for record in iter_structures(path)
    }
    pool = CandidatePool.read(path)
    assert set(pool.smiles.to_pylist()) == expected
    assert (np.diff(pool.exact_masses) >= 0).all()
    assert pool.near(pool.exact_masses[0]).smiles.to_pylist()[0] in expected


def test_what_a_list_holds_beside_structures_is_left_out_and_said(tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text("smiles,name\nCCO,a\nC1CC,b\nOCC,c\n,d\nC[N+](C)(C)C,e\nC1CC,f\nCCO,g\n")
    with caplog.at_level("WARNING"):
        pool = CandidatePool.read(path)
    assert pool.smiles.to_pylist() == ["CCO"]
    assert caplog.messages == [
        f"{path}: left out of the pool: structure_invalid (2), no_structure (1)."
    ]


def test_the_large_pool_gives_decoys_of_the_same_mass(shared_data):
    pool = CandidatePool.read(shared_data / "candidate_pool.parquet")
    assert len(pool) == 1_180_559
    rows = np.random.default_rng(0).integers(0, len(pool), 300)
    inchikey14s = pool.inchikey14s.take(rows).to_pylist()
    exact_masses = pool.exact_masses[rows]
    decoys = choose_decoys(inchikey14s, exact_masses, [str(row) for row in rows], pool, seed=0)
    assert sum(decoy is not None for decoy in decoys) > 270
    for inchikey14, exact_mass, decoy in zip(inchikey14s, exact_masses, decoys, strict=True):
        if decoy is not None:
            near = pool.near(exact_mass)
            position = near.smiles.to_pylist().index(decoy)
            assert near.inchikey14s[position].as_py() != inchikey14
            assert abs(near.exact_masses[position] - exact_mass) <= exact_mass * 10e-6


def test_pool_without_some_structures_keeps_the_others_in_order():
    pool = CandidatePool.from_structures(
        ["CCO", "COC", "CCN"], ["A", "B", "C"], ["C2H6O", "C2H6O", "C2H7N"], [46.04, 46.04, 45.06]
    )
    left = pool.without({"A", "elsewhere"})

    assert left.smiles.to_pylist() == ["CCN", "COC"]
    assert left.formulas.to_pylist() == ["C2H7N", "C2H6O"]
    assert left.exact_masses.tolist() == [45.06, 46.04]
    assert len(pool) == 3


def test_structures_of_a_parquet_pool_are_parsed_where_they_are_used(tmp_path):
    path = tmp_path / "pool.parquet"
    texts = ["CC(C)CC(N)C(=O)O", "C(", "C" * 200, "C" * 200 + "("]
    pq.write_table(pa.table({**STRUCTURES, "smiles": texts}), path)
    pool = CandidatePool.read(path)
    further = pool.with_structures([("CCO", "LFQSCWFLJHTTHZ", "C2H6O", 46.04186)])
    for each in (pool, pool.near(131.0946), pool.without([CAFFEINE]), further):
        assert each.is_usable(texts[0])
        assert not each.is_usable(texts[2])
        for wrong in (texts[1], texts[3]):
            with pytest.raises(DataError, match=r"pool\.parquet: SMILES 'C.*position \d") as error:
                each.is_usable(wrong)
            assert error.value.code == "structure_invalid"
