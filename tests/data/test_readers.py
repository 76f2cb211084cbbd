import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from team5.data.readers import iter_spectra, read_spectra
from team5.errors import DataError, DataFileNotFoundError

FILES = Path(__file__).parent.parent / "files"
CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"


def by_identifier(path, **options):
    return {record.spectrum.identifier: record for record in read_spectra(path, **options).records}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "MassBank-data-example.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(FILES / "massbank_records", "MassBank-data-example/Example")
        readme = tmp_path / "README.txt"
        readme.write_text("not a record\n")
        tar.add(readme, "MassBank-data-example/README.txt")
    return path


def test_mgf_of_gnps_is_read():
    records = by_identifier(FILES / "gnps.mgf")
    caffeine = records["EXAMPLE0001"]
    assert caffeine.spectrum.mzs.tolist() == [69.0447, 83.0604, 110.0713, 138.0662, 195.0877]
    assert caffeine.spectrum.intensities.tolist() == [0.12, 0.08, 0.3505, 1, 0.4]
    assert caffeine.spectrum.precursor_mz == 195.0877
    assert caffeine.spectrum.adduct == "[M+H]+"  # from the end of the name
    assert caffeine.spectrum.instrument_type == "LC-ESI-Orbitrap"
    assert caffeine.smiles == CAFFEINE
    assert caffeine.inchikey14 == "RYYVLZVUVIJVGH"
    aspirin = records["aspirin, negative; tabs and blanks mixed"].spectrum
    assert (aspirin.adduct, aspirin.ion_mode, aspirin.collision_energy) == (
        "[M-H]-", "negative", "30 eV",
    )  # fmt: skip
    assert records["doubly charged, adduct from the charge"].spectrum.adduct == "[M+2H]2+"
    unknown = records["no structure"]
    assert unknown.smiles is None
    assert unknown.spectrum.precursor_mz is None


def test_mgf_counts_every_record_it_cannot_use():
    read = read_spectra(FILES / "gnps.mgf", require_smiles=True)
    assert len(read.records) == 5
    assert read.skipped == {
        "no SMILES": 1,
        "MS1 spectrum, not MS2": 1,
        "no peaks": 1,
        "peak list not understood": 2,
        "peaks of negative intensity": 1,
        "record without END IONS": 1,
    }
    assert {(left_out.code, left_out.place) for left_out in read.skipped.records} >= {
        ("not_ms2", "spectrum 5, line 53"),
        ("no_end", "line 106"),
    }
    no_precursor, no_adduct = read.records[-2:]
    assert no_precursor.spectrum.notes == ("precursor 'unclear' is not understood and left out",)
    assert no_adduct.spectrum.notes == ("adduct '[M+Xy]+' is not understood and left out",)
    assert (no_adduct.spectrum.adduct, no_adduct.spectrum.ion_mode) == (None, "positive")
    n_records = (FILES / "gnps.mgf").read_text().count("BEGIN IONS")
    assert len(read.records) + read.skipped.total() == n_records


def test_mgf_agrees_with_matchms_where_matchms_reads_it():
    from matchms.importing import load_from_mgf

    path = FILES / "massspecgym.mgf"
    (expected,) = load_from_mgf(str(path))
    (record,) = read_spectra(path).records
    np.testing.assert_allclose(record.spectrum.mzs, expected.peaks.mz)
    np.testing.assert_allclose(record.spectrum.intensities, expected.peaks.intensities)
    assert record.spectrum.precursor_mz == expected.get("precursor_mz")


@pytest.mark.parametrize(
    ("lines", "ion_mode"),
    [
        ("IONMODE=Positive", "positive"),
        ("IONMODE=N", "negative"),
        ("IONMODE=-", "negative"),
        ("CHARGE=1-", "negative"),
        ("CHARGE=1\nIONMODE=negative", "negative"),
        ("ADDUCT=[M-H]-\nCHARGE=1+", "negative"),
        ("ADDUCT=M+Na", "positive"),
        ("CHARGE=1+ and 2+", None),
        ("CHARGE=", None),
        ("IONMODE=N/A\nCHARGE=0", None),
    ],
)
def test_ion_mode_of_mgf_is_found_in_every_way_of_writing(tmp_path, lines, ion_mode):
    path = tmp_path / "own.mgf"
    path.write_text(f"begin ions\nSMILES=CCO\n{lines}\n50 1\nend ions\n")
    (record,) = read_spectra(path).records
    assert record.spectrum.ion_mode == ion_mode


def test_msp_may_say_the_same_twice(tmp_path):
    path = tmp_path / "twice.msp"
    path.write_text(
        "Name: ethanol\nPrecursorMZ: 47.0491\nPRECURSOR_MZ: 47.0491\nAdduct: [M+H]+\n"
        'Precursor_type: [M+H]+\nComments: "SMILES=CCO" "precursor m/z=47.0491"\nSMILES: CCO\n'
        "Num Peaks: 1\n29.0386 100\n"
    )
    (record,) = read_spectra(path).records
    assert (record.smiles, record.spectrum.adduct) == ("CCO", "[M+H]+")
    assert record.spectrum.precursor_mz == 47.0491


def test_massspecgym_energies_are_electronvolt_in_mgf_and_csv():
    for name in ("massspecgym.mgf", "massspecgym.csv"):
        record = by_identifier(FILES / name)["MassSpecGymID9000001"]
        assert record.spectrum.collision_energy == "30.0 eV"
        assert record.fold == "train"
        assert record.formula == "C8H10N4O2"
        assert record.inchikey14 == "RYYVLZVUVIJVGH"


def test_msp_of_nist_is_read_and_a_short_record_does_not_run_into_the_next():
    read = read_spectra(FILES / "nist.msp")
    assert read.skipped == {
        "another number of peaks than announced": 1,
        "no peaks": 1,
        "MS1 spectrum, not MS2": 1,
    }
    caffeine, one_line, after_short = (record.spectrum for record in read.records)
    assert caffeine.identifier == "9000001"
    assert caffeine.mzs.tolist() == [110.0713, 138.0662, 195.0877]  # annotations hold a colon
    assert caffeine.collision_energy == "NCE=35% 17eV"
    assert caffeine.ion_mode == "positive"
    assert one_line.mzs.tolist() == [19, 29, 47]
    assert after_short.mzs.tolist() == [29, 31]


def test_msp_of_mona_has_its_structure_in_the_comments():
    records = by_identifier(FILES / "mona.msp", require_smiles=True)
    aspirin = records["EX900001"]
    assert aspirin.smiles == "CC(=O)OC1=CC=CC=C1C(O)=O"
    assert aspirin.license == "CC BY-SA"
    assert aspirin.spectrum.adduct == "[M-H]-"
    assert aspirin.spectrum.collision_energy == "35  (nominal)"
    assert records["EX900002"].smiles == "CCO"


def test_msp_of_msdial_needs_no_blank_lines():
    choline, glycine = read_spectra(FILES / "msdial.msp").records
    assert (choline.spectrum.adduct, choline.spectrum.n_peaks) == ("[M]+", 2)
    assert choline.formula == "C5H14NO+"
    assert (glycine.spectrum.precursor_mz, glycine.spectrum.n_peaks) == (76.0393, 1)
    assert glycine.spectrum.collision_energy is None


@pytest.mark.parametrize(
    "lines",
    [
        "77.04 12\n78.05 3",
        "77.04\t12\n78.05\t3",
        "77.04 12; 78.05 3;",
        "77.04 12 78.05 3",
        "77.04:12 78.05:3",
        "(77.04,12) (78.05,3)",
        '77.04 12 "C6H5+"\n78.05 3 "?"',
        "77.04 12 C6H5+\n78.05 3 C6H6+",
        "7.704e1 1.2e1\n78.05 3.0",
    ],
)
def test_msp_peaks_are_read_in_every_layout(tmp_path, lines):
    path = tmp_path / "peaks.msp"
    path.write_text(f"Name: benzene\nSMILES: c1ccccc1\nNum Peaks: 2\n{lines}\n")
    (record,) = read_spectra(path).records
    assert record.spectrum.mzs.tolist() == [77.04, 78.05]
    assert record.spectrum.intensities.tolist() == [1, 0.25]


def test_mzml_gives_polarity_energy_and_scan_numbers():
    read = read_spectra(FILES / "two_scans.mzML")
    assert read.skipped == {"MS1 spectrum, not MS2": 1, "no peaks": 1}
    positive, negative = (record.spectrum for record in read.records)
    assert (positive.identifier, positive.ion_mode) == ("two_scans-2", "positive")
    assert positive.mzs.tolist() == [110.0713, 138.0662]
    assert positive.precursor_mz == 195.0877
    assert positive.collision_energy == "45 eV"
    assert (negative.ion_mode, negative.collision_energy) == ("negative", "20 eV")
    assert negative.adduct is None


def test_mzml_has_no_structures():
    with pytest.raises(DataError, match=r"no SMILES \(2\)"):
        read_spectra(FILES / "two_scans.mzML", require_smiles=True)


def test_massbank_record_is_read():
    (record,) = read_spectra(FILES / "massbank_records" / "MSBNK-Example-EX000001.txt").records
    spectrum = record.spectrum
    assert spectrum.identifier == "MSBNK-Example-EX000001"
    assert spectrum.mzs.tolist() == [110.0713, 138.0662, 195.0877]  # not PK$ANNOTATION
    assert spectrum.intensities.tolist() == [0.350505, 1, 0.4]  # not the relative column
    assert spectrum.precursor_mz == 195.0877
    assert spectrum.adduct == "[M+H]+"
    assert spectrum.collision_energy == "45  (nominal)"
    assert spectrum.instrument_type == "LC-ESI-QFT"
    assert record.smiles == CAFFEINE
    assert record.inchikey14 == "RYYVLZVUVIJVGH"
    assert record.formula == "C8H10N4O2"
    assert (record.license, record.contributor) == ("CC BY-SA", "Example")


def test_massbank_folder_holds_odd_records():
    records = by_identifier(FILES / "massbank_records")
    choline = records["MSBNK-Example_Lab-EX000002"]
    assert choline.spectrum.adduct == "[M]+"  # from ION_TYPE
    assert choline.license == "CC BY 4.0"
    assert choline.contributor == "Example_Lab"
    aspirin = records["MSBNK-Example_Lab-EX000003"].spectrum  # with \r\n
    assert aspirin.adduct is None
    assert aspirin.precursor_mz == 179.035  # the last ion of a path
    assert aspirin.n_peaks == 2
    assert records["MSBNK-Example_Lab-EX000007"].smiles is None


def test_massbank_folder_counts_what_it_skips():
    read = read_spectra(FILES / "massbank_records", require_smiles=True)
    assert read.skipped == {
        "MS1 spectrum, not MS2": 1,
        "deprecated by its library": 1,
        "no SMILES": 1,
    }
    assert len(read.records) + read.skipped.total() == 9


def test_archive_holds_what_its_folder_holds(archive):
    from_archive = read_spectra(archive)
    from_folder = read_spectra(FILES / "massbank_records")
    assert from_archive.skipped == from_folder.skipped
    assert {r.spectrum.identifier for r in from_archive.records} == {
        r.spectrum.identifier for r in from_folder.records
    }


def test_progress_ends_at_the_end_of_the_file(archive):
    for path in (archive, FILES / "massbank_records", FILES / "massspecgym.csv"):
        shares: list[float] = []
        list(iter_spectra(path, Counter(), on_progress=shares.append))
        assert shares == sorted(shares)
        assert 0 < shares[-1] <= 1


def test_csv_cells_are_lists_in_any_way_of_writing():
    read = read_spectra(FILES / "massspecgym.csv")
    assert read.skipped == {
        "m/z values and intensities differ in number": 1,
        "peak list not understood": 1,
        "fold is none of train, val, test": 1,
    }
    commas, json_lists, blanks = read.records
    assert commas.spectrum.mzs.tolist() == [110.0713, 138.0662]
    assert json_lists.spectrum.mzs.tolist() == [93.0346, 137.0244]
    assert json_lists.inchikey14 == "BSYNRYMUTXBXSQ"
    assert json_lists.spectrum.collision_energy is None
    assert blanks.spectrum.mzs.tolist() == [60.0808, 104.107]
    assert blanks.spectrum.precursor_mz is None
    assert [record.fold for record in read.records] == ["train", "val", "test"]


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_csv_may_be_separated_by_tabs_or_semicolons(tmp_path, delimiter):
    path = tmp_path / "spectra.tsv"
    rows = [["MZS", "Intensities", "smiles", "other"], ["50 60", "1 2", "CCO", "x"]]
    path.write_text("\ufeff" + "\n".join(delimiter.join(row) for row in rows), encoding="utf-8")
    (record,) = read_spectra(path).records
    assert record.spectrum.mzs.tolist() == [50, 60]
    assert record.smiles == "CCO"
    assert record.spectrum.identifier == "spectra-1"


def test_csv_counts_lines_with_another_number_of_cells(tmp_path):
    path = tmp_path / "spectra.csv"
    path.write_text("mzs,intensities,smiles\n50,1,CCO\n50,1\n50,1,CCO,more\n")
    read = read_spectra(path)
    assert len(read.records) == 1
    assert read.skipped == {"another number of columns than the header": 2}


def test_csv_takes_the_longest_spectrum_allowed(tmp_path):
    numbers = " ".join(f"{100 + 0.123456789012345 * i:.60f}" for i in range(2_000))
    path = tmp_path / "spectra.csv"
    path.write_text(f"mzs,intensities\n{numbers},{numbers}\n")
    (record,) = read_spectra(path).records
    assert record.spectrum.n_peaks == 2_000


@pytest.fixture
def parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "table.parquet"
    rows = {
        "identifier": ["a", None, "c", "d"],
        "mzs": [[110.0713, 138.0662], [60.0808], None, [50.0, None]],
        "intensities": [[0.35, 1.0], [5.0], None, [1.0, 2.0]],
        "smiles": [CAFFEINE, "C[N+](C)(C)CCO", "CCO", "CCO"],
        "inchikey": ["RYYVLZVUVIJVGH", None, None, None],
        "adduct": ["[M+H]+", "[M]+", None, None],
        "precursor_mz": [195.0877, None, None, None],
        "collision_energy": [30.0, None, None, None],
        "fold": ["val", None, None, None],
        "simulation_challenge": [True, False, False, False],
    }
    pq.write_table(pa.table(rows), path)
    return path


def test_parquet_is_read(parquet):
    read = read_spectra(parquet)
    assert read.skipped == {"no peaks": 1, "peaks with NaN or infinite values": 1}
    caffeine, choline = read.records
    assert caffeine.spectrum.mzs.tolist() == [110.0713, 138.0662]
    assert caffeine.spectrum.collision_energy == "30.0 eV"
    assert caffeine.fold == "val"
    assert choline.spectrum.identifier == "table-2"
    assert choline.spectrum.precursor_mz is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("gnps.mgf", "spectra.txt"),
        ("mona.msp", "spectra.dat"),
        ("two_scans.mzML", "scans.xml"),
        ("massspecgym.csv", "table.txt"),
        ("massbank_records/MSBNK-Example-EX000001.txt", "record.mgf"),
    ],
)
def test_reader_is_picked_by_content_whatever_the_name(tmp_path, source, name):
    shutil.copy(FILES / source, tmp_path / name)
    here = read_spectra(tmp_path / name)
    there = read_spectra(FILES / source)
    assert len(here.records) == len(there.records)
    assert here.skipped == there.skipped


def test_parquet_is_known_by_its_content(parquet):
    renamed = parquet.rename(parquet.with_suffix(".data"))
    assert len(read_spectra(renamed).records) == 2


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"nowhere\.mgf: no such file"):
        read_spectra(tmp_path / "nowhere.mgf")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"some words\n", "unknown format. Give one of: MGF, MSP, mzML"),
        ("spectra.mgf", b"", "no spectra in this file"),
        ("spectra.mgf", b"BEGIN IONS\nEND IONS\n", r"none of its 1 records.*no peaks \(1\)"),
        ("table.csv", b"mass,height\n1,2\n", "no column mzs and intensities. It has mass, height"),
        ("table.csv", b"", "no column mzs and intensities"),
        ("table.parquet", b"PAR1 and then nothing", "damaged Parquet file"),
        ("archive.tar.gz", b"\x1f\x8b\x08\x00 cut off", "cannot be read to its end"),
        ("scans.mzML", b"<?xml version='1.0'?><mzML><run>", "cannot be read to its end"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_used_says_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        read_spectra(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_empty_folder_is_no_massbank_folder(tmp_path):
    with pytest.raises(DataError, match="no MassBank records"):
        read_spectra(tmp_path)


def test_archive_cut_in_the_middle_is_refused(archive):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read to its end"):
        read_spectra(archive)


def test_archive_without_records_is_refused(tmp_path):
    path = tmp_path / "other.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(FILES / "gnps.mgf", "gnps.mgf")
    with pytest.raises(DataError, match="no MassBank records"):
        read_spectra(path)
