"""Spectra of a search: each has its number, whoever could not read it."""

from pathlib import Path

import pytest

from team5.data.conditions import Conditions
from team5.errors import ConfigError
from team5.search.spectra import SpectraFile, check_group_by, iter_chunks
from tests.search.spectra_files import write_mgf

FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_every_spectrum_is_in_one_chunk_under_its_number(spectra, size):
    chunks = list(iter_chunks(SpectraFile(spectra), Conditions(), size))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.n_spectra == size for chunk in chunks[:-1])
    read = {number: spectrum.identifier for chunk in chunks for number, spectrum in chunk.spectra}
    left_out = {one.spectrum for chunk in chunks for one in chunk.left_out}
    assert read == {number: f"s{number}" for number in read}
    assert sorted([*read, *left_out]) == list(range(1, 41))


def test_chunks_hold_the_same_whatever_their_size(spectra):
    def numbers(size):
        chunks = iter_chunks(SpectraFile(spectra), Conditions(), size)
        return [(n, s.identifier, s.precursor_mz) for chunk in chunks for n, s in chunk.spectra]

    assert numbers(1) == numbers(7) == numbers(1_000)


def test_reasons_stand_at_their_own_spectra(tmp_path):
    good = "BEGIN IONS\nTITLE=a\nPEPMASS=100\n50 1\nEND IONS\n"
    no_peaks = "BEGIN IONS\nTITLE=b\nPEPMASS=100\nEND IONS\n"
    other_level = "BEGIN IONS\nTITLE=c\nPEPMASS=100\nMSLEVEL=1\n50 1\nEND IONS\n"
    path = tmp_path / "mixed.mgf"
    path.write_text(no_peaks + other_level + no_peaks + good + other_level)
    (chunk,) = iter_chunks(SpectraFile(path), Conditions(), 10)
    assert [number for number, _ in chunk.spectra] == [4]
    reasons = {one.spectrum: one.reason for one in chunk.left_out}
    assert sorted(reasons) == [1, 2, 3, 5]
    assert reasons[1] == reasons[3] != reasons[2] == reasons[5]


def test_conditions_fill_in_what_spectra_do_not_say(spectra):
    context = Conditions(adduct="[M+Na]+", collision_energy="20 eV")
    (chunk,) = iter_chunks(SpectraFile(spectra), context, 100)
    of = dict(chunk.spectra)
    assert (of[1].adduct, of[2].adduct) == ("[M+H]+", "[M+Na]+")
    assert of[1].collision_energy == "20 eV"


@pytest.mark.parametrize("name", ["two_scans.mzML", "massspecgym.mgf", "gnps.mgf"])
def test_spectra_that_can_be_counted_are_counted_as_they_are_read(name):
    source = SpectraFile(FILES / name)
    assert source.count() == len(list(source.entries()))


def test_a_file_that_changes_is_another_file(tmp_path):
    before = SpectraFile(write_mgf(tmp_path / "run.mgf", 3)).identity()
    assert SpectraFile(write_mgf(tmp_path / "run.mgf", 3)).identity() == before
    assert SpectraFile(write_mgf(tmp_path / "run.mgf", 4)).identity() != before


def test_a_folder_of_records_is_a_source():
    source = SpectraFile(FILES / "massbank_records")
    assert source.count() is None
    assert sum(1 for _ in source.entries()) > 1
    assert source.identity() == SpectraFile(FILES / "massbank_records").identity()


GROUPS = """BEGIN IONS
TITLE=a
FEATURE_ID=7
PEPMASS=181.0495
ADDUCT=[M+H]+
138.06 3
END IONS
BEGIN IONS
TITLE=b
FEATURE_ID=8
PEPMASS=195.0877
ADDUCT=[M+H]+
138.0662 3
END IONS
BEGIN IONS
TITLE=c
FEATURE_ID=7
PEPMASS=181.0495
ADDUCT=[M+H]+
121.028 3
END IONS
"""


@pytest.mark.parametrize("group_by", ["FEATURE_ID", "auto"])
def test_spectra_of_a_feature_stand_together_wherever_they_are(tmp_path, group_by):
    path = tmp_path / "run.mgf"
    path.write_text(GROUPS)
    (chunk,) = iter_chunks(SpectraFile(path), Conditions(), 10, group_by)
    assert [number for number, _ in chunk.spectra] == [1, 2]
    assert {first: [n for n, _ in others] for first, others in chunk.others.items()} == {1: [3]}
    assert chunk.n_spectra == 3
    (apart,) = iter_chunks(SpectraFile(path), Conditions(), 10)
    assert (len(apart.spectra), apart.others) == (3, {})


def test_what_spectra_cannot_be_grouped_by_is_refused():
    with pytest.raises(ConfigError, match="choose auto or FEATURE_ID"):
        check_group_by("SCANS")
