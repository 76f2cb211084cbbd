"""Simulated spectra written as MGF and MSP and read back."""

import dataclasses

import pytest

from team5.data.readers import read_spectra
from team5.errors import StorageError
from team5.search.writers import write_answers
from tests.answers import SIMULATION

ETHANOL = dataclasses.replace(
    SIMULATION,
    mzs=(29.03857723, 31.01784179, 47.04914192),
    intensities=(1 / 3, 0.1, 1.0),
    precursor_mz=47.04914192,
)
SIMULATIONS = [
    ETHANOL,
    dataclasses.replace(
        ETHANOL, smiles="C/C=C/C#N", adduct="[M-H]-", collision_energy="35 % (nominal)"
    ),
    dataclasses.replace(ETHANOL, adduct="[M+2H]2+", collision_energy=None, version_hash=""),
    dataclasses.replace(ETHANOL, smiles="[Na+].CC([O-])=O", adduct="[M]+"),
]


@pytest.fixture(params=[".mgf", ".msp"])
def output(request, tmp_path):
    return tmp_path / f"spectra{request.param}"


def test_what_is_written_is_read_back_to_the_last_digit(output):
    assert write_answers(SIMULATIONS, output) == len(SIMULATIONS)
    found = read_spectra(output)
    assert not found.skipped
    for simulation, record in zip(SIMULATIONS, found.records, strict=True):
        spectrum = record.spectrum
        assert tuple(spectrum.mzs) == simulation.mzs
        assert tuple(spectrum.intensities) == simulation.intensities
        assert spectrum.precursor_mz == simulation.precursor_mz
        assert spectrum.adduct == simulation.adduct
        assert spectrum.collision_energy == simulation.collision_energy
        assert (record.smiles, record.formula) == (simulation.smiles, simulation.formula)


def test_an_ion_block_says_that_it_is_predicted_by_what_and_how(tmp_path):
    path = tmp_path / "a.mgf"
    write_answers(SIMULATIONS[1], path)
    assert path.read_text(encoding="utf-8").splitlines() == [
        "BEGIN IONS",
        "TITLE=C/C=C/C#N, predicted by team5 v0.2",
        "PEPMASS=47.04914192",
        "CHARGE=1-",
        "IONMODE=negative",
        "ADDUCT=[M-H]-",
        "COLLISION_ENERGY=35 % (nominal)",
        "SMILES=C/C=C/C#N",
        "FORMULA=C2H6O",
        "VERSION=v0.2",
        "VERSION_HASH=0123456789ab",
        "29.03857723 0.3333333333333333",
        "31.01784179 0.1",
        "47.04914192 1.0",
        "END IONS",
        "",
    ]


def test_peaks_of_an_msp_record_carry_the_formulas_of_their_ions(tmp_path):
    write_answers(ETHANOL, tmp_path / "a.msp")
    lines = (tmp_path / "a.msp").read_text(encoding="utf-8").splitlines()
    assert lines[lines.index("NUM PEAKS: 3") + 1 :] == [
        '29.03857723\t0.3333333333333333\t"C2H5+"',
        '31.01784179\t0.1\t"CH3O+"',
        '47.04914192\t1.0\t"C2H7O+"',
        "",
    ]


def test_text_over_several_lines_cannot_end_a_record(output):
    energy = "35 eV\nEND IONS\n\nBEGIN IONS"
    write_answers([dataclasses.replace(ETHANOL, collision_energy=energy), ETHANOL], output)
    found = read_spectra(output)
    assert not found.skipped
    assert [record.spectrum.n_peaks for record in found.records] == [3, 3]
    assert found.records[0].spectrum.collision_energy == "35 eV END IONS BEGIN IONS"


def test_a_full_disk_is_a_storage_error_and_keeps_the_old_file(output):
    resource = pytest.importorskip("resource")
    output.write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        with pytest.raises(StorageError, match="untouched"):
            write_answers([ETHANOL] * 500, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert output.read_bytes() == b"before"
    assert list(output.parent.iterdir()) == [output]
