"""Files as programs write them, each with what is right."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from team5.data.collision_energy import parse_collision_energy, to_electronvolt
from team5.data.readers import read_spectra
from team5.data.records import Skipped, leave_out
from team5.errors import DataError

INPUTS = Path(__file__).parent.parent / "files" / "inputs"
CAFFEINE = [110.0713, 138.0662]


def spectra(name):
    return [record.spectrum for record in read_spectra(INPUTS / name).records]


@pytest.mark.parametrize("name", sorted(path.name for path in INPUTS.iterdir()))
def test_read_and_skipped_are_all_records_of_a_file(name):
    read = read_spectra(INPUTS / name)
    path = INPUTS / name
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8")
    mark = {
        ".mgf": "BEGIN IONS", ".msp": "PRECURSORMZ", ".mzML": "<spectrum ", ".gz": "<spectrum ",
        ".csv": "[M+H]+", ".ms": None,
    }[path.suffix]  # fmt: skip
    if mark is None:
        n_records = text.count(">ms1peaks") + text.count(">collision")
    else:
        n_records = (text.upper() if path.suffix == ".msp" else text).count(mark)
    assert len(read.records) + read.skipped.total() == n_records
    assert len(read.skipped.records) == read.skipped.total()
    assert all(left_out.place for left_out in read.skipped.records)


def test_ion_is_found_under_the_keys_of_mzmine_and_msdial():
    negative, sodium = spectra("ion_neg.mgf")
    assert (negative.adduct, negative.ion_mode) == ("[M-H]-", "negative")
    assert negative.notes == ("charge 1+ contradicts [M-H]-, which is taken",)
    assert negative.retention_time == pytest.approx(354.6)
    assert (sodium.adduct, sodium.notes) == ("[M+Na]+", ())
    assert spectra("adductionname.msp")[0].adduct == "[M+Na]+"
    assert {spectrum.adduct for spectrum in spectra("mzmine_ion.mgf")} == {"[M+H]+"}


def test_adducts_are_the_ions_meant_or_not_understood():
    meant = {
        "(M+H)+": "[M+H]+", "[M+H+]": "[M+H]+", "MH+": "[M+H]+", "[M+.]+": "[M]+",
        "[M+]": "[M]+", "[Cat]+": "[M]+", "[M+?]+": None, "[M-?]-": None, "[M+H+2i]+": None,
        "[M+FA]-": "[M+HCOO]-", "[M+AcO]-": "[M+CH3COO]-", "[M+Ac-H]-": "[M+CH3COO]-",
        "[M+H-H20]+": "[M-H2O+H]+", "[M+H-(H2O)2]+": "[M-2H2O+H]+", "[M-H](-)": "[M-H]-",
    }  # fmt: skip
    read = spectra("adducts.mgf")
    assert {spectrum.identifier: spectrum.adduct for spectrum in read} == meant
    for spectrum in read:
        sign = "negative" if spectrum.identifier.rstrip(")").endswith("-") else "positive"
        assert spectrum.ion_mode == sign
        if meant[spectrum.identifier] is None:
            assert spectrum.identifier in spectrum.notes[0]


def test_formate_written_without_its_hydrogen_explains_the_precursor():
    from team5.chemistry.adducts import parse_adduct
    from team5.chemistry.molecule import parse_smiles

    (record,) = read_spectra(INPUTS / "fa_adduct.mgf").records
    calculated = parse_adduct(record.spectrum.adduct).precursor_mz(
        parse_smiles(record.smiles).exact_mass
    )
    assert calculated == pytest.approx(380.1364, abs=1e-3)
    assert record.spectrum.precursor_mz == pytest.approx(calculated, abs=1e-3)


def test_export_of_r_spectra_has_its_own_keys():
    (spectrum,) = spectra("r_spectra_export.mgf")
    assert spectrum.ion_mode == "positive"
    energy = parse_collision_energy(spectrum.collision_energy)
    assert to_electronvolt(energy, spectrum.precursor_mz, spectrum.instrument_type) == 30
    assert (spectrum.scan, spectrum.retention_time) == ("946", 128.237)


@pytest.mark.parametrize("polarity", ["0", "-1", "-", "N", "negative", "NEG", "ESI-"])
def test_polarity_of_any_spelling_is_read(tmp_path, polarity):
    path = tmp_path / "x.mgf"
    path.write_text(f"BEGIN IONS\npolarity={polarity}\nCHARGE=0\n50 1\nEND IONS\n")
    assert read_spectra(path).records[0].spectrum.ion_mode == "negative"
    path.write_text("BEGIN IONS\nCHARGE=-0\n50 1\nEND IONS\n")
    assert read_spectra(path).records[0].spectrum.ion_mode == "negative"


@pytest.mark.parametrize("name", ["comma_dec_int.msp", "comma.csv"])
def test_decimal_commas_are_read(name):
    (spectrum,) = spectra(name)
    assert spectrum.mzs.tolist() == CAFFEINE
    assert spectrum.precursor_mz == 195.0877
    np.testing.assert_allclose(spectrum.intensities, [0.35, 1], atol=0.01)


def test_commas_for_thousands_are_read(tmp_path):
    path = tmp_path / "x.msp"
    path.write_text("Name: x\nPrecursorMZ: 1,105.8347\nNum Peaks: 2\n950.5 1,250\n1,050.25 2,500\n")
    (record,) = read_spectra(path).records
    assert record.spectrum.precursor_mz == 1105.8347
    assert record.spectrum.mzs.tolist() == [950.5, 1050.25]
    assert record.spectrum.intensities.tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("peaks", "message"),
    [
        ("110,0713 35\n138.0662 100", r"line 3\), but not in 138.0662 \(line 4\)"),
        ("110 1,250\n138 2,500", r"1,250 \(line 3\) may have a decimal comma"),
    ],
)
def test_commas_that_do_not_agree_are_refused_with_their_place(tmp_path, peaks, message):
    path = tmp_path / "x.mgf"
    path.write_text(f"BEGIN IONS\nTITLE=x\n{peaks}\nEND IONS\n")
    with pytest.raises(DataError, match=message):
        read_spectra(path)


def test_annotations_with_any_signs_are_passed_over():
    quoted, smiles = spectra("annot_eq.mgf")
    assert quoted.mzs.tolist() == smiles.mzs.tolist() == [*CAFFEINE, 195.0877]


@pytest.mark.parametrize(
    "line",
    [
        "RTINSECONDS=12.5-14.1", "RTINSECONDS=N/A", "RTINSECONDS=early", "CHARGE=NA", "SCANS=a b",
        "CHARGE=one", "MSLEVEL=", "PEPMASS=", "POLARITY=?", "COLLISION_ENERGY=low",
    ],
)  # fmt: skip
def test_fields_that_are_not_needed_never_cost_a_spectrum(tmp_path, line):
    path = tmp_path / "x.mgf"
    path.write_text(f"BEGIN IONS\n{line}\n110.0713 35\n138.0662 100\nEND IONS\n")
    (record,) = read_spectra(path).records
    assert record.spectrum.mzs.tolist() == CAFFEINE
    assert record.spectrum.retention_time is None
    (spectrum,) = spectra("rt2.mgf")
    assert spectrum.precursor_mz == 195.0877


def test_level_may_be_written_as_tables_do():
    assert len(spectra("mslevel_2.0.mgf")) == 1


def test_name_may_stand_last_or_twice(tmp_path):
    read = read_spectra(INPUTS / "name_last.msp").records
    assert len(read) == 2
    assert {record.smiles for record in read} == {"CN1C=NC2=C1C(=O)N(C(=O)N2C)C"}
    assert {record.inchikey14 for record in read} == {"RYYVLZVUVIJVGH"}
    path = tmp_path / "x.msp"
    path.write_text(
        "Name: a\nName: b\nSMILES: CCO\nNum Peaks: 1\n50 1\nName: c\nNum Peaks: 1\n5 1\n"
    )
    first, second = read_spectra(path).records
    assert (first.smiles, second.smiles) == ("CCO", None)


def test_spectra_of_one_feature_are_told_apart_and_belong_together():
    read = spectra("multi_ms2_same_feature.mgf")
    assert [spectrum.scan for spectrum in read] == ["1", "2", "3"]
    assert len({spectrum.identifier for spectrum in read}) == 3
    assert (
        {spectrum.group for spectrum in read} == {spectrum.feature_id for spectrum in read} == {"5"}
    )
    read = read_spectra(INPUTS / "mzmine_sirius.mgf")
    assert read.skipped == {"MS1 spectrum, not MS2": 5}
    assert len({record.spectrum.identifier for record in read.records}) == 10
    assert len({record.spectrum.group for record in read.records}) == 5


def test_inchi_stands_in_for_a_missing_smiles():
    (record,) = read_spectra(INPUTS / "inchi_only.mgf", require_smiles=True).records
    assert record.smiles == "Cn1c(=O)c2c(ncn2C)n(C)c1=O"


def test_mzml_with_a_charge_of_0_has_all_its_spectra():
    read = spectra("charge0.mzML")
    assert [spectrum.adduct for spectrum in read] == [None, None]
    assert [spectrum.ion_mode for spectrum in read] == ["positive", "positive"]


def test_beam_type_energy_is_electronvolt_unless_the_analyser_is_an_orbitrap():
    (sciex,) = spectra("sciex_qtof.mzML")
    assert (sciex.collision_energy, sciex.instrument_type) == ("35 eV", "QTOF")
    (orbitrap,) = spectra("iso_vs_sel.mzML")
    assert parse_collision_energy(orbitrap.collision_energy).unit == "NCE"
    assert orbitrap.instrument_type == "Orbitrap"


def test_instrument_is_known_by_its_model_where_no_analyser_is_listed(tmp_path):
    text = (INPUTS / "sciex_qtof.mzML").read_text()
    start, end = text.index("<componentList"), text.index("</componentList>") + 16
    path = tmp_path / "model.mzML"
    path.write_text(text[:start] + text[end:])
    assert read_spectra(path).records[0].spectrum.collision_energy == "35 eV"


def test_faulty_scan_costs_itself(tmp_path):
    text = (INPUTS / "charge0.mzML").read_text()
    path = tmp_path / "faulty.mzML"
    for broken in (
        text.replace("Gw3gLZCEW0DZX3ZPHkJhQA==", "Gw3g", 1),
        text.replace('accession="MS:1000523"', 'accession="MS:0"', 1),
        text.replace("</scanList>", "", 1),
    ):
        path.write_text(broken)
        read = read_spectra(path)
        assert (len(read.records), read.skipped) == (1, {"record not understood": 1})


def test_precursor_is_what_the_isolation_window_held(tmp_path):
    (spectrum,) = spectra("iso_vs_sel.mzML")
    assert spectrum.precursor_mz == 98.0599
    assert "96.0443" in spectrum.notes[0]
    text = (INPUTS / "iso_vs_sel.mzML").read_text()
    start, end = text.index("<selectedIonList"), text.index("</selectedIonList>") + 18
    path = tmp_path / "window.mzML"
    path.write_text(text[:start] + text[end:])
    assert read_spectra(path).records[0].spectrum.precursor_mz == 98.0599


def test_numpress_is_named(tmp_path):
    text = (INPUTS / "charge0.mzML").read_text()
    path = tmp_path / "x.mzML"
    path.write_text(
        text.replace(
            'accession="MS:1000576" name="no compression"', 'accession="MS:1002312" name=""'
        )
    )
    with pytest.raises(DataError, match=r"numpress linear.*msconvert"):
        read_spectra(path)


@pytest.mark.parametrize(
    "name", ["ion_neg.mgf", "msdial.msp", "charge0.mzML", "sirius.ms", "comma.csv"]
)
@pytest.mark.parametrize("ending", [".gz", ".zip"])
def test_packed_files_are_read(tmp_path, name, ending):
    packed = tmp_path / f"{name}{ending}"
    if ending == ".gz":
        packed.write_bytes(gzip.compress((INPUTS / name).read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(INPUTS / name, name)
    there, here = spectra(name), [record.spectrum for record in read_spectra(packed).records]
    assert [spectrum.mzs.tolist() for spectrum in here] == [s.mzs.tolist() for s in there]
    assert len(spectra("run.mzML.gz")) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_any_encoding_and_line_end_is_read(tmp_path, encoding, line_end):
    text = "BEGIN IONS\nTITLE=Säure\nPEPMASS=195.0877\n110.0713 35\n138.0662 100\nEND IONS\n"
    path = tmp_path / "x.mgf"
    path.write_bytes(text.replace("\n", line_end).encode(encoding))
    (record,) = read_spectra(path).records
    assert record.spectrum.identifier == "Säure"
    assert record.spectrum.mzs.tolist() == CAFFEINE
    assert len(spectra("utf16.mgf")) == 6


def test_energies_of_a_sirius_compound_belong_together():
    read = read_spectra(INPUTS / "sirius.ms")
    assert read.skipped == {"MS1 spectrum, not MS2": 3}
    found = [record.spectrum for record in read.records]
    assert [spectrum.group for spectrum in found] == ["105", "105", "124", "124", "152", "152"]
    assert [spectrum.collision_energy for spectrum in found[:2]] == ["20", "40"]
    assert [spectrum.precursor_mz for spectrum in found[:2]] == [123.0917, 123.0917]
    assert {spectrum.instrument_type for spectrum in found} == {"Q-TOF"}
    assert {spectrum.adduct for spectrum in found} == {"[M+H]+"}


def test_sirius_energies_may_stand_in_comments(tmp_path):
    path = tmp_path / "x.ms"
    path.write_text(
        ">compound a\n>parentmass 195.0877\n\n>ms2\n#ce 20\n50 1\n\n>ms2\n#ce 40\n50 1\n"
        ">compound b\n>ms2peaks\n60 1\n"
    )
    found = [record.spectrum for record in read_spectra(path).records]
    assert [spectrum.collision_energy for spectrum in found] == ["20", "40", None]
    assert [spectrum.group for spectrum in found] == ["a", "a", "b"]
    assert [spectrum.precursor_mz for spectrum in found] == [195.0877, 195.0877, None]


def test_packed_massbank_record_is_read(tmp_path):
    record = INPUTS.parent / "massbank_records" / "MSBNK-Example-EX000001.txt"
    packed = tmp_path / "record.txt.gz"
    packed.write_bytes(gzip.compress(record.read_bytes()))
    assert read_spectra(packed).records[0].spectrum.identifier == "MSBNK-Example-EX000001"


def test_msdial_keeps_ids_and_retention_times():
    first, *_ = spectra("msdial.msp")
    assert (first.feature_id, first.scan) == ("105", "12")
    assert first.retention_time == pytest.approx(3.214 * 60)


def test_nist_has_all_peaks_and_the_energy_in_electronvolt(tmp_path):
    (spectrum,) = spectra("nist2.msp")
    assert spectrum.n_peaks == 5
    assert parse_collision_energy(spectrum.collision_energy).value == 28
    path = tmp_path / "x.msp"
    path.write_text('Name: x\nNum Peaks: 3\n19 10 "a=b; c"; 29 999 "d"; 47 20;\n')
    assert read_spectra(path).records[0].spectrum.mzs.tolist() == [19, 29, 47]


def test_the_highest_of_too_many_peaks_are_kept_with_a_note(tmp_path):
    path = tmp_path / "x.mgf"
    peaks = "\n".join(f"{50 + i / 10:.1f} {i % 7 + 1}" for i in range(2_500))
    path.write_text(f"BEGIN IONS\n{peaks}\nEND IONS\n")
    (record,) = read_spectra(path).records
    assert record.spectrum.n_peaks == 2_000
    assert record.spectrum.notes == ("the highest 2000 of 2500 peaks are kept",)
    assert record.spectrum.intensities.min() > 1 / 7


def test_json_of_gnps_and_mona_is_read(tmp_path):
    path = tmp_path / "library.json"
    gnps = {
        "spectrum_id": "CCMSLIB1", "Precursor_MZ": "195.0877", "Adduct": "M+H", "ms_level": "2",
        "Ion_Mode": "Positive", "Smiles": "CCO", "peaks_json": "[[110.0713, 35], [138.0662, 100]]",
    }  # fmt: skip
    mona = {
        "id": "MoNA1", "spectrum": "110.0713:35 138.0662:100",
        "compound": [{"inchiKey": "RYYVLZVUVIJVGH-UHFFFAOYSA-N", "metaData": [
            {"name": "SMILES", "value": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"}]}],
        "metaData": [{"name": "precursor m/z", "value": 195.0877},
                     {"name": "ms level", "value": "MS2"},
                     {"name": "precursor type", "value": "[M+H]+"},
                     {"name": "collision energy", "value": "35 eV"}],
    }  # fmt: skip
    path.write_text(json.dumps([gnps, mona, {"spectrum": None}]))
    read = read_spectra(path)
    for record in read.records:
        assert record.spectrum.mzs.tolist() == CAFFEINE
        assert (record.spectrum.adduct, record.spectrum.precursor_mz) == ("[M+H]+", 195.0877)
    assert [record.spectrum.identifier for record in read.records] == ["CCMSLIB1", "MoNA1"]
    assert read.records[1].smiles == "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
    assert read.records[1].spectrum.collision_energy == "35 eV"
    assert read.skipped == {"no peaks": 1}
    path.write_text(json.dumps([gnps])[:-20])
    with pytest.raises(DataError, match="to its end"):
        read_spectra(path)


def test_mzxml_is_read(tmp_path):
    import base64

    peaks = base64.b64encode(np.array([110.0713, 35, 138.0662, 100], ">f8").tobytes()).decode()
    scan = (
        '<scan num="{n}" msLevel="{level}" peaksCount="2" polarity="-" retentionTime="PT90.5S" '
        'collisionEnergy="35"><precursorMz precursorCharge="1" activationMethod="CID">193.0731'
        '</precursorMz><peaks precision="64" byteOrder="network">{peaks}</peaks>'
    )
    path = tmp_path / "run.mzXML"
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?><mzXML><msRun><msInstrument>'
        '<msMassAnalyzer category="msMassAnalyzer" value="Quadrupole TOF"/></msInstrument>'
        f"{scan.format(n=1, level=1, peaks=peaks)}{scan.format(n=2, level=2, peaks=peaks)}"
        "</scan></scan></msRun></mzXML>"
    )
    read = read_spectra(path)
    assert read.skipped == {"MS1 spectrum, not MS2": 1}
    (record,) = read.records
    spectrum = record.spectrum
    assert spectrum.mzs.tolist() == CAFFEINE
    assert (spectrum.precursor_mz, spectrum.ion_mode) == (193.0731, "negative")
    assert (spectrum.collision_energy, spectrum.instrument_type) == ("35 eV", "QTOF")
    assert (spectrum.scan, spectrum.retention_time) == ("2", 90.5)


def test_name_of_a_spectrum_on_the_network_is_told_from_a_missing_file():
    with pytest.raises(DataError, match=r"USI.*Download it from") as refused:
        read_spectra("mzspec:GNPS:GNPS-LIBRARY:accession:CCMSLIB00000001547")
    assert refused.value.code == "usi"


def test_what_is_left_out_has_a_code_and_a_place():
    skipped = Skipped()
    leave_out(skipped, "not_ms2", "spectrum 3", "MS1")
    assert skipped == {"MS1 spectrum, not MS2": 1}
    assert skipped.records == [("not_ms2", "MS1 spectrum, not MS2", "spectrum 3")]


def test_spectra_as_proxi_hands_them_out_are_read_and_odd_fields_cost_nothing(tmp_path):
    path = tmp_path / "usi.json"
    proxi = {
        "usi": "mzspec:MSV000:a:scan:1", "mzs": CAFFEINE, "intensities": [35, 100],
        "attributes": [
            {"accession": "MS:1000744", "name": "selected ion m/z", "value": "195.0877"}, None,
        ],
    }  # fmt: skip
    odd = {"compound": "caffeine", "metaData": None, "precursor_mz": 195.0877, "peaks": [[50, 1]]}
    path.write_text(json.dumps([proxi, odd, {"peaks": [[50, 1], [60]]}]))
    read = read_spectra(path)
    assert [one.spectrum.precursor_mz for one in read.records] == [195.0877] * 2
    assert read.skipped == {"record not understood": 1}


def test_the_analyser_is_found_in_xml_with_prefixes(tmp_path):
    path = tmp_path / "run.mzML"
    text = (INPUTS / "sciex_qtof.mzML").read_text()
    path.write_text(re.sub(r"<(/?)(?=[a-zA-Z])", r"<\1ms:", text))
    (expected,), (record,) = spectra("sciex_qtof.mzML"), read_spectra(path).records
    assert record.spectrum.instrument_type == expected.instrument_type == "QTOF"


@pytest.mark.parametrize(("name", "text", "said"), [
    ("a.json", '[{"peaks":' + "[" * 200_000, "too many nested brackets"),
    ("a.msp", "Name: a\nNum Peaks: " + "9" * 5_000 + "\n50 1\n", "another number of peaks"),
    ("a.msp", "Name: a\nNum Peaks: 2\n50 1\n-1 is: no field\n", "peak list not understood"),
    ("a.mgf", "BEGIN IONS\n" + "TITLE=a\n" * 2_000_000, "without the end of a record"),
    ("a.csv", "[" * 10_000 + ",mzs\n", r"It has \[{40}\.\.\., mzs; needed"),
])  # fmt: skip
def test_what_has_no_end_is_one_short_error(tmp_path, monkeypatch, name, text, said):
    monkeypatch.setattr("team5.data.readers.packed._LARGEST_RECORD", 1 << 22)
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match=said) as refused:
        read_spectra(path)
    assert len(str(refused.value)) < 500


def test_an_ion_that_only_the_name_tells_is_found(tmp_path):
    path = tmp_path / "library.msp"
    path.write_text("Name: PC 34:1; [M+H]+; PC 16:0_18:1\nPrecursorMZ: 760.585\n184.0733 9\n")
    assert read_spectra(path).records[0].spectrum.adduct == "[M+H]+"
