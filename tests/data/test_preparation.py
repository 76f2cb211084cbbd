import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.peaks import Peaks, peaks_path
from team5.data.preparation import FORMAT, format_skipped, prepare_table
from team5.data.readers import read_spectra
from team5.errors import DataError, DataFileNotFoundError, StorageError

FILES = Path(__file__).parent.parent / "files"
RECORDS = FILES / "massbank_records"
COLUMNS = [
    "identifier", "mzs", "intensities", "smiles", "inchikey14", "formula", "exact_mass", "adduct",
    "precursor_mz", "ion_mode", "instrument_type", "collision_energy", "license", "contributor",
    "fold",
]  # fmt: skip


def rows_of(table):
    return {row["identifier"]: row for row in pq.read_table(table.path).to_pylist()}


def write_mgf(path, *records):
    blocks = []
    for record in records:
        lines = [f"{key}={value}" for key, value in record.items()]
        blocks.append("\n".join(["BEGIN IONS", *lines, "50 1", "60 2", "END IONS", ""]))
    path.write_text("\n".join(blocks))
    return path


@pytest.fixture
def table(tmp_path):
    return prepare_table(RECORDS, tmp_path / "prepared")


def test_table_has_the_columns_in_order_and_one_row_per_usable_record(table):
    stored = pq.read_table(table.path)
    assert stored.column_names == COLUMNS
    assert stored.num_rows == table.n_spectra == 3
    assert table.n_compounds == len(set(stored["inchikey14"].to_pylist())) == 3


def test_every_record_is_used_or_counted_with_its_reason(table):
    assert table.skipped == {
        "MS1 spectrum, not MS2": 1,
        "deprecated by its library": 1,
        "no SMILES": 1,
        "SMILES not understood": 1,
        "licence not chosen (CC BY-NC-SA)": 1,
        "precursor contradicts the structure": 1,
    }
    assert table.n_spectra + table.skipped.total() == len(list(RECORDS.glob("*.txt")))


def test_row_holds_what_the_record_says_and_what_its_structure_gives(table):
    row = rows_of(table)["MSBNK-Example-EX000001"]
    assert row["mzs"] == [110.0713, 138.0662, 195.0877]
    assert max(row["intensities"]) == 1
    assert row["formula"] == "C8H10N4O2"
    assert row["exact_mass"] == pytest.approx(194.080376, abs=1e-5)
    assert row["inchikey14"] == "RYYVLZVUVIJVGH"
    assert row["ion_mode"] == "positive"
    assert row["collision_energy"] == "45  (nominal)"
    assert (row["license"], row["contributor"], row["fold"]) == ("CC BY-SA", "Example", None)


def test_missing_precursor_is_calculated_from_structure_and_adduct(table):
    row = rows_of(table)["MSBNK-Example_Lab-EX000002"]
    assert row["adduct"] == "[M]+"
    assert row["precursor_mz"] == pytest.approx(104.10699, abs=1e-4)


def test_missing_adduct_is_the_usual_one_where_that_explains_the_precursor(table):
    row = rows_of(table)["MSBNK-Example_Lab-EX000003"]
    assert (row["adduct"], row["precursor_mz"]) == ("[M-H]-", 179.035)


def test_adduct_that_nothing_confirms_is_counted(tmp_path):
    ethanol = {"SMILES": "CCO", "IONMODE": "positive"}
    choline = {"SMILES": "C[N+](C)(C)CCO", "ADDUCT": "[M+H]+"}
    source = write_mgf(
        tmp_path / "own.mgf",
        {"TITLE": "fits", "PEPMASS": 47.0491, **ethanol},
        {"TITLE": "sodium", "PEPMASS": 69.0311, **ethanol},
        {"TITLE": "neither", **ethanol},
        {"TITLE": "no proton goes there", **choline},
    )
    table = prepare_table(source, tmp_path / "prepared")
    assert list(rows_of(table)) == ["fits"]
    assert table.skipped == {
        "no adduct, and the usual one does not explain the precursor": 1,
        "no adduct": 1,
        "adduct does not fit the structure": 1,
    }


@pytest.mark.parametrize(("error", "is_used"), [(0.019, True), (-0.019, True), (0.021, False)])
def test_precursor_may_differ_by_no_more_than_the_tolerance(tmp_path, error, is_used):
    calculated = parse_adduct("[M+H]+").precursor_mz(parse_smiles("CCO").exact_mass)
    usable = {"SMILES": "CCO", "ADDUCT": "[M+H]+"}
    source = write_mgf(
        tmp_path / "own.mgf",
        {"TITLE": "exact", **usable},
        {"TITLE": "off", "PEPMASS": calculated + error, **usable},
    )
    table = prepare_table(source, tmp_path / "prepared")
    assert ("off" in rows_of(table)) == is_used
    assert table.skipped["precursor contradicts the structure"] == (not is_used)


def test_only_licences_chosen_are_used_and_each_row_keeps_its_own(tmp_path):
    table = prepare_table(RECORDS, tmp_path, licenses=("CC-BY",))
    assert [row["license"] for row in rows_of(table).values()] == ["CC BY 4.0"]
    assert table.skipped["licence not chosen (CC BY-SA)"] == 1


def test_file_of_ones_own_needs_no_licence(tmp_path):
    source = write_mgf(tmp_path / "own.mgf", {"SMILES": "CCO", "ADDUCT": "[M+H]+"})
    (row,) = rows_of(prepare_table(source, tmp_path / "prepared", licenses=("CC0",))).values()
    assert row["license"] is None


def test_massbank_record_without_a_licence_is_not_used(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    text = (RECORDS / "MSBNK-Example-EX000001.txt").read_text()
    (folder / "with.txt").write_text(text)
    (folder / "without.txt").write_text(text.replace("LICENSE: CC BY-SA\n", ""))
    table = prepare_table(folder, tmp_path / "prepared")
    assert table.n_spectra == 1
    assert table.skipped == {"licence not chosen (none stated)": 1}


def test_folds_of_a_table_are_kept(tmp_path):
    rows = rows_of(prepare_table(FILES / "massspecgym.csv", tmp_path))
    assert [row["fold"] for row in rows.values()] == ["train", "val", "test"]


def test_prepared_table_is_itself_a_source(table, tmp_path):
    again = prepare_table(table.path, tmp_path / "again")
    assert pq.read_table(again.path).equals(pq.read_table(table.path))
    assert not again.skipped
    records = read_spectra(table.path).records
    np.testing.assert_allclose(
        records[0].spectrum.mzs, rows_of(table)[records[0].spectrum.identifier]["mzs"]
    )


def test_same_content_is_prepared_once_wherever_it_lies(table, tmp_path):
    made = table.path.stat().st_mtime_ns
    moved = tmp_path / "elsewhere" / RECORDS.name
    shutil.copytree(RECORDS, moved)
    again = prepare_table(moved, table.path.parent)
    assert again == table
    assert format_skipped(again) == format_skipped(table)
    assert again.path.stat().st_mtime_ns == made


def test_other_content_or_licences_make_another_table(table, tmp_path):
    folder = table.path.parent
    assert prepare_table(RECORDS, folder, licenses=("CC0", "CC BY")).path != table.path
    changed = tmp_path / RECORDS.name
    shutil.copytree(RECORDS, changed)
    (changed / "MSBNK-Example-EX000001.txt").unlink()
    assert prepare_table(changed, folder).n_spectra == table.n_spectra - 1
    # The order licences are given in is no difference.
    order = ("dl-de/by-2-0", "CC BY-SA", "CC BY", "CC0")
    assert prepare_table(RECORDS, folder, licenses=order).path == table.path


def test_refresh_makes_the_table_again(table):
    os.utime(table.path, (0, 0))
    assert prepare_table(RECORDS, table.path.parent, refresh=True) == table
    assert table.path.stat().st_mtime > time.time() - 3600


def test_damaged_summary_is_no_cache(table):
    summary = table.path.with_suffix(".json")
    summary.write_text("{")
    assert prepare_table(RECORDS, table.path.parent) == table
    assert json.loads(summary.read_text())["n_spectra"] == table.n_spectra


def test_table_of_an_older_format_is_no_cache(table, monkeypatch):
    monkeypatch.setattr("team5.data.preparation.FORMAT", FORMAT - 1)
    older = prepare_table(RECORDS, table.path.parent)
    assert older.path != table.path
    monkeypatch.undo()
    assert prepare_table(RECORDS, table.path.parent).path == table.path


def test_table_without_its_peaks_is_no_cache(table):
    peaks_path(table.path).unlink()
    assert prepare_table(RECORDS, table.path.parent) == table
    assert len(Peaks.open(peaks_path(table.path))) == table.n_spectra


def test_failed_run_leaves_nothing_behind(tmp_path):
    source = tmp_path / "broken.mzML"
    source.write_text("<?xml version='1.0'?><mzML><run>")
    folder = tmp_path / "prepared"
    with pytest.raises(DataError, match="cannot be read to its end"):
        prepare_table(source, folder)
    assert list(folder.iterdir()) == []


def test_source_without_a_usable_record_says_why_none_is(tmp_path):
    source = write_mgf(tmp_path / "own.mgf", {"PEPMASS": 47.05}, {"SMILES": "C(", "PEPMASS": 47.05})
    with pytest.raises(DataError, match=r"none of its 2 records can be used: no SMILES \(1\)"):
        prepare_table(source, tmp_path / "prepared")
    with pytest.raises(DataFileNotFoundError, match=r"nowhere\.mgf"):
        prepare_table(tmp_path / "nowhere.mgf", tmp_path / "prepared")


def test_destination_that_is_a_file_is_named(tmp_path):
    blocked = tmp_path / "taken"
    blocked.write_text("")
    with pytest.raises(StorageError, match="taken: the prepared table cannot be written"):
        prepare_table(RECORDS, blocked)


def test_skip_table_names_every_reason_with_its_count(table):
    text = format_skipped(table)
    assert text.startswith("3 spectra of 3 compounds")
    for reason in table.skipped:
        assert reason in text
    assert "records in all" in text


def test_progress_goes_to_stderr(tmp_path, capfd):
    prepare_table(RECORDS, tmp_path, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "100%" in shown.err


@pytest.mark.slow
def test_archive_becomes_a_table(shared_data, tmp_path):
    (archive,) = shared_data.glob("MassBank-data-*.tar.gz")
    table = prepare_table(archive, tmp_path)
    assert table.n_spectra + table.skipped.total() == 72_019
    assert 66_000 < table.n_spectra < 67_654
    assert table.skipped["MS1 spectrum, not MS2"] == 4_343
    assert 682 <= table.skipped["precursor contradicts the structure"] < 1_000
    stored = pq.read_table(table.path, columns=["adduct", "exact_mass", "precursor_mz", "license"])
    adducts = [parse_adduct(name) for name in stored["adduct"].to_pylist()]
    calculated = [
        adduct.precursor_mz(mass)
        for adduct, mass in zip(adducts, stored["exact_mass"].to_pylist(), strict=True)
    ]
    assert np.abs(np.array(calculated) - stored["precursor_mz"].to_numpy()).max() <= 0.02
    assert set(stored["license"].to_pylist()) == {"CC0", "CC BY", "CC BY-SA", "dl-de/by-2-0"}
