import polars as pl
import pytest

from team5.chemistry.molecule import parse_smiles
from team5.data.structures import read_training_structures
from team5.errors import DataError, DataFileNotFoundError


def write(path, rows):
    table = pl.DataFrame(rows)
    if path.suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_parquet(path)
    return path


def key(smiles):
    return parse_smiles(smiles).inchikey14


@pytest.mark.parametrize("name", ["folds.csv", "folds.parquet"])
@pytest.mark.parametrize("with_keys", [True, False])
def test_rows_of_the_train_fold_count_and_the_others_are_held_out(tmp_path, name, with_keys):
    rows = {
        "smiles": ["CCO", "OCC", "CCN", "CCS", "CCC"],
        "fold": ["train", "train", "val", "test", None],
    }
    if with_keys:
        rows["inchikey14"] = [key(smiles) for smiles in rows["smiles"]]
    found = read_training_structures(write(tmp_path / name, rows))

    assert set(found.molecules) == {key("CCO")}
    assert found.held_out == {key("CCN"), key("CCS")}
    assert found.unreadable == ()


def test_without_folds_every_row_was_trained_on(tmp_path):
    found = read_training_structures(write(tmp_path / "some.csv", {"smiles": ["CCO", "CCN"]}))

    assert set(found.molecules) == {key("CCO"), key("CCN")}
    assert found.held_out == frozenset()


def test_what_cannot_be_read_is_told(tmp_path):
    rows = {"smiles": ["CCO", "C(", ""], "fold": ["train", "train", "val"]}
    found = read_training_structures(write(tmp_path / "folds.csv", rows))

    assert set(found.molecules) == {key("CCO")}
    assert len(found.unreadable) == 2
    assert any("C(" in text for text in found.unreadable)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"inchikey14": ["A"]}, "no column smiles; there are inchikey14"),
        ({"smiles": ["CCO"], "fold": ["val"]}, "no readable structure of the train fold among 1"),
        ({"smiles": ["CCO", "OCC"], "fold": ["val", "train"]}, "more than one fold"),
        ({"smiles": ["CCO"], "fold": ["training"]}, "unknown folds 'training'"),
    ],
)
def test_unusable_tables_are_named(tmp_path, rows, said):
    path = write(tmp_path / "folds.csv", rows)
    with pytest.raises(DataError, match=said) as raised:
        read_training_structures(path)
    assert str(path) in str(raised.value)


def test_absent_and_damaged_files_are_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"data\.train=FILE"):
        read_training_structures(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"smiles\n\xff\xfe")
    with pytest.raises(DataError, match="neither CSV"):
        read_training_structures(tmp_path / "binary.csv")
    (tmp_path / "half.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a readable Parquet"):
        read_training_structures(tmp_path / "half.parquet")
