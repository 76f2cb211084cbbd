from pathlib import Path

import pyarrow.parquet as pq
import pytest

from team5.data.demo import demo_table
from team5.data.overview import NO_FOLD, NO_UNIT, NOT_STATED, read_overview
from team5.data.readers import read_spectra
from team5.errors import DataError, DataFileNotFoundError

FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    table = demo_table()
    path = tmp_path_factory.mktemp("demo") / "demo.parquet"
    pq.write_table(table, path)
    return table, read_overview(path)


def test_prepared_table_is_counted_by_fold(demo):
    table, overview = demo
    folds = table["fold"].to_pylist()
    pairs = set(zip(folds, table["inchikey14"].to_pylist(), strict=True))

    assert overview.n_spectra == {fold: folds.count(fold) for fold in ("train", "val", "test")}
    assert list(overview.n_spectra) == ["train", "val", "test"]
    assert overview.n_compounds == {
        fold: sum(pair[0] == fold for pair in pairs) for fold in ("train", "val", "test")
    }


def test_every_compound_gives_its_mass_once(demo):
    table, overview = demo
    known = dict(zip(table["inchikey14"].to_pylist(), table["exact_mass"].to_pylist(), strict=True))

    assert sorted(overview.masses) == pytest.approx(sorted(known.values()), abs=1e-4)


def test_energies_and_ions_add_up_to_the_spectra(demo):
    table, overview = demo

    assert sum(overview.adducts.values()) == table.num_rows
    assert list(overview.adducts.values()) == sorted(overview.adducts.values(), reverse=True)
    stated = sum(map(len, overview.energies.values()))
    assert stated + overview.n_without_energy == table.num_rows
    assert set(overview.energies["eV"]) == {10, 20, 40}


@pytest.mark.parametrize("name", ["gnps.mgf", "mona.msp", "massspecgym.csv", "two_scans.mzML"])
def test_any_file_of_spectra_is_counted(name):
    overview = read_overview(FILES / name)
    read = read_spectra(FILES / name)

    assert sum(overview.n_spectra.values()) == len(read.records)
    assert overview.source == name
    for reason, count in read.skipped.items():
        assert overview.skipped[reason] == count


def test_what_a_file_does_not_say_is_counted_as_such(tmp_path):
    file = tmp_path / "bare.mgf"
    file.write_text("BEGIN IONS\nPEPMASS=100\nCOLLISION_ENERGY=30\n50.1 1\nEND IONS\n")

    overview = read_overview(file)

    assert overview.n_spectra == {NO_FOLD: 1}
    assert overview.adducts == {NOT_STATED: 1}
    assert overview.energies[NO_UNIT].tolist() == [30]
    assert overview.masses.size == 0
    assert overview.precursor_mzs.tolist() == [100]


def test_structure_that_is_not_understood_is_counted(tmp_path):
    file = tmp_path / "odd.mgf"
    file.write_text("BEGIN IONS\nPEPMASS=100\nSMILES=C1CC\n50.1 1\nEND IONS\n")

    assert read_overview(file).skipped["structure not understood"] == 1


def test_file_without_spectra_is_named(tmp_path):
    with pytest.raises(DataFileNotFoundError):
        read_overview(tmp_path / "none.mgf")
    empty = tmp_path / "empty.mgf"
    empty.write_text("BEGIN IONS\nPEPMASS=100\nEND IONS\n")
    with pytest.raises(DataError, match=r"empty\.mgf"):
        read_overview(empty)
