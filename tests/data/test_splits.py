import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.data.splits import FOLDS, assign_folds, check_folds, cross_folds, read_folds
from team5.errors import ConfigError, DataError, DataFileNotFoundError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def key(number: int) -> str:
    """A made-up InChIKey first block; the split reads structures from the SMILES alone."""
    text = ""
    for _ in range(14):
        number, digit = divmod(number, 26)
        text = LETTERS[digit] + text
    return text


def families(n_families: int, size: int) -> dict[str, str]:
    """Structures in families of close relatives: long alkyl chains that differ by one carbon."""
    heads = ["c1ccncc1", "c1ccsc1", "C1CCNCC1", "c1ccc2[nH]ccc2c1", "OC(=O)", "NS(=O)(=O)"]
    tails = ["N", "O", "S", "Cl", "F", "Br", "C#N", "P(O)(O)=O", "[N+](=O)[O-]", "C(F)(F)F"]
    smiles = [
        f"{heads[family % len(heads)]}CC({tails[family // len(heads)]}){'C' * (6 + member)}"
        for family in range(n_families)
        for member in range(size)
    ]
    return {key(index): text for index, text in enumerate(smiles)}


STRUCTURES = families(30, 4)


def split_families(**options):
    # The families stand apart at this similarity.
    return assign_folds(STRUCTURES, similarity=0.7, **options)


def write_csv(path, rows, header="inchikey14,fold"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_every_structure_gets_one_fold_of_about_the_size_asked_for():
    folds = split_families(val_share=0.1, test_share=0.2)
    assert list(folds) == sorted(STRUCTURES)
    counts = Counter(folds.values())
    assert set(counts) == set(FOLDS)
    assert 0.05 * 120 <= counts["val"] <= 0.1 * 120
    assert 0.1 * 120 <= counts["test"] <= 0.2 * 120


def test_close_relatives_share_a_fold():
    folds = split_families(val_share=0.2, test_share=0.2)
    keys = sorted(STRUCTURES)
    for family in range(30):
        assert len({folds[member] for member in keys[4 * family : 4 * family + 4]}) == 1


def test_parts_are_of_like_size_and_keep_clusters_whole():
    unlike = ["c1ccncc1", "CCCCCCO", "NS(=O)(=O)C#N", "ClCCl", "c1ccsc1", "OC(=O)CF"]
    structures = {key(i): smiles for i, smiles in enumerate(2 * unlike)}
    parts = cross_folds(structures)
    assert Counter(Counter(parts.values()).values()) == {2: 4, 4: 1}
    assert all(parts[key(i)] == parts[key(i + len(unlike))] for i in range(len(unlike)))
    assert parts == cross_folds(dict(reversed(structures.items())))


def test_the_largest_cluster_is_dealt_first_and_each_next_to_the_smallest_part():
    unlike = ["c1ccncc1", "NS(=O)(=O)C#N", "ClCCl", "c1ccsc1", "OC(=O)CF"]
    smiles = ["CCCCCCO"] * 4 + unlike
    parts = cross_folds({key(i): text for i, text in enumerate(smiles)})
    assert sorted(Counter(parts.values()).values()) == [1, 1, 1, 2, 4]


def test_a_structure_between_two_unlike_ones_is_the_centre_of_all_three():
    chain = {key(0): "CCO", key(1): "CCCO", key(2): "CCCCCCO"}
    assert set(assign_folds(chain).values()) == {"train"}
    ends = {key(0): "CCO", key(2): "CCCCCCO"}
    assert set(assign_folds(ends).values()) == {"train", "val"}


@given(st.randoms(use_true_random=False))
def test_input_order_does_not_change_folds(rng: random.Random):
    structures = dict(list(STRUCTURES.items())[:40])
    shuffled = list(structures.items())
    rng.shuffle(shuffled)
    assert assign_folds(dict(shuffled)) == assign_folds(structures)


def test_seed_draws_other_clusters_and_the_same_seed_the_same():
    first = split_families(val_share=0.2, test_share=0.2, seed=1)
    assert first == split_families(val_share=0.2, test_share=0.2, seed=1)
    assert first != split_families(val_share=0.2, test_share=0.2, seed=2)


@pytest.mark.parametrize(
    ("n_structures", "expected"),
    [(1, {"train"}), (2, {"train", "val"}), (3, {"train", "val", "test"})],
)
def test_small_sets_keep_something_to_train_on_and_then_to_validate_on(n_structures, expected):
    unlike = dict(zip(map(key, range(3)), ["c1ccccc1", "CCCCCCO", "NS(=O)(=O)C#N"], strict=True))
    structures = dict(list(unlike.items())[:n_structures])
    assert set(assign_folds(structures).values()) == expected


def test_a_share_of_less_than_a_structure_takes_the_smallest_cluster():
    folds = assign_folds({key(0): "CCCCCCO", key(1): "CCCCCCO", key(2): "c1ccncc1"})
    assert folds == {key(0): "train", key(1): "train", key(2): "val"}


def test_a_seed_draws_the_same_clusters_in_every_release():
    folds = split_families(val_share=0.1, test_share=0.2, seed=3)
    drawn = {fold: {n // 4 for n, each in enumerate(STRUCTURES) if folds[each] == fold}
             for fold in ("val", "test")}  # fmt: skip
    assert drawn == {"val": {1, 8, 28}, "test": {3, 9, 15, 19, 21, 27}}
    assert split_families() == split_families(val_share=0.05, test_share=0.07, seed=0)


def test_a_share_of_zero_leaves_the_fold_empty():
    assert "test" not in assign_folds(STRUCTURES, test_share=0).values()
    assert "val" not in assign_folds(STRUCTURES, val_share=0).values()


def test_no_structures_give_no_folds():
    assert assign_folds({}) == {}


def test_structures_without_fingerprint_bits_are_clusters_of_their_own():
    structures = {key(0): "", key(1): "", key(2): "CCO"}
    assert set(assign_folds(structures).values()) == {"train", "val", "test"}


def test_unreadable_smiles_are_named():
    with pytest.raises(DataError, match=f"1 structures .*{key(7)}: c1ccc"):
        assign_folds({**STRUCTURES, key(7): "c1ccc"})


@pytest.mark.parametrize("shares", [{"val_share": 0.5, "test_share": 0.5}, {"val_share": -0.1}])
def test_shares_that_leave_no_training_set_are_refused(shares):
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        assign_folds(STRUCTURES, **shares)


@pytest.mark.parametrize("similarity", [0, 1.01])
def test_similarity_outside_its_range_is_refused(similarity):
    with pytest.raises(ConfigError, match=f"similarity {similarity} is not above 0 and at most 1"):
        assign_folds(STRUCTURES, similarity=similarity)


def test_identical_fingerprints_alone_are_neighbours_at_similarity_1():
    structures = {key(0): "CCCCCCO", key(1): "OCCCCCC", key(2): "CCCCCO"}
    folds = assign_folds(structures, similarity=1)
    assert folds == {key(0): "train", key(1): "train", key(2): "val"}


def test_folds_of_a_csv_are_read(tmp_path):
    path = write_csv(
        tmp_path / "folds.csv",
        [f"{key(1)},CCO,train", f"{key(2)},CCN,val", f"{key(1)},OCC,train"],
        header="\ufeffinchikey14,smiles,fold",
    )
    assert read_folds(path) == {key(1): "train", key(2): "val"}


def test_parquet_is_told_by_content(tmp_path):
    path = tmp_path / "folds.table"
    pq.write_table(pa.table({"fold": ["test", "val"], "inchikey14": [key(1), key(2)]}), path)
    assert read_folds(path) == {key(1): "test", key(2): "val"}


def test_contradictory_rows_are_an_error_that_names_the_structure(tmp_path):
    path = write_csv(tmp_path / "folds.csv", [f"{key(1)},train", f"{key(1)},test"])
    with pytest.raises(DataError, match=f"folds.csv: 1 structures .*{key(1)} in test and train"):
        read_folds(path)


@pytest.mark.parametrize("row", ["ABC,train", f"{key(1)},valid", f"{key(1)},", key(1)])
def test_rows_that_are_no_fold_of_a_structure_are_an_error(tmp_path, row):
    path = write_csv(tmp_path / "folds.csv", [f"{key(0)},train", row])
    with pytest.raises(DataError, match=r"folds\.csv: 1 rows are no fold .*\(row 2: "):
        read_folds(path)


def test_of_many_faulty_rows_three_are_shown_and_the_others_counted(tmp_path):
    for n, more in ((3, ""), (4, "; and 1 more")):
        path = write_csv(tmp_path / "folds.csv", [f"{key(1)},dev"] * n)
        shown = "; ".join(f"row {row}: '{key(1)}', 'dev'" for row in (1, 2, 3))
        with pytest.raises(DataError) as caught:
            read_folds(path)
        assert f"{n} rows are no fold of a structure ({shown}{more})." in str(caught.value)


def test_a_table_without_rows_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no rows"):
        read_folds(write_csv(tmp_path / "folds.csv", []))


def test_missing_columns_are_named_with_those_there_are(tmp_path):
    path = write_csv(tmp_path / "folds.csv", [f"{key(1)},train"], header="inchikey,fold")
    remedy = "Pass a CSV or Parquet table with the columns inchikey14, fold"
    with pytest.raises(
        DataError, match=f"no column inchikey14; there are inchikey, fold. {remedy}"
    ):
        read_folds(path)
    pq.write_table(pa.table({"inchikey14": [key(1)]}), tmp_path / "folds.parquet")
    with pytest.raises(DataError, match="no column fold"):
        read_folds(tmp_path / "folds.parquet")


@pytest.mark.parametrize("content", [b"PAR1 and then nothing", b"\xff\xfe\x00 no text", b""])
def test_files_that_are_no_table_are_one_clear_error(tmp_path, content):
    path = tmp_path / "folds.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"folds\.csv"):
        read_folds(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"absent\.csv"):
        read_folds(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_folds(tmp_path)


def test_rows_without_fold_cannot_leak():
    check_folds([(key(1), "train"), (key(1), None), (key(2), "val")])


def test_unknown_folds_are_named():
    with pytest.raises(DataError, match="the data set: unknown folds 'dev'"):
        check_folds([(key(1), "dev")])


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(FOLDS))))
def test_check_refuses_exactly_the_sets_in_which_a_structure_has_two_folds(rows):
    leaks = any(a == b and f != g for a, f in rows for b, g in rows)
    keyed = [(key(number), fold) for number, fold in rows]
    if leaks:
        with pytest.raises(DataError, match="more than one fold"):
            check_folds(keyed)
    else:
        check_folds(keyed)


def test_project_folds_are_readable_and_whole(shared_data):
    folds = read_folds(shared_data / "massbank_folds.csv")
    assert Counter(folds.values()) == {"train": 5441, "val": 298, "test": 404}
