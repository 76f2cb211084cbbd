"""In-silico libraries: every structure under every adduct and energy, as `infer` predicts it."""

import pytest

from team5.cli.simulate import main
from team5.data.readers import read_spectra
from team5.errors import ConfigError
from team5.inference.inference import infer, load_model
from team5.search.checkpoint import checkpoint_folder
from team5.search.simulation import SimulationSettings, simulate_file
from team5.search.writers import left_out_path
from tests.search.conftest import SMALL_VERSION

STRUCTURES = "CC(=O)Oc1ccccc1C(=O)O aspirin\nCCO ethanol\nC broken(\nCN1C=NC2=C1C(=O)N(C(=O)N2C)C\n"
SETTINGS = SimulationSettings(adducts=("[M+H]+", "[M-H2O+H]+"), energies=("10", "40 NCE"))


@pytest.fixture
def structures(tmp_path):
    path = tmp_path / "structures.smi"
    path.write_text(STRUCTURES)
    return path


@pytest.mark.parametrize("ending", [".msp", ".mgf"])
def test_a_library_holds_what_infer_predicts(structures, tmp_path, ending):
    output = tmp_path / f"lib{ending}"
    summary = simulate_file(structures, output, SETTINGS, root=SMALL_VERSION, n_workers=1)
    assert summary.n_spectra >= 8
    spectrum = read_spectra(output).records[1].spectrum
    model = load_model(root=SMALL_VERSION, device="cpu")
    expected = infer(model, "CC(=O)Oc1ccccc1C(=O)O", adduct="[M+H]+", collision_energy="40 NCE")
    assert spectrum.mzs == pytest.approx(expected.mzs)
    assert spectrum.intensities == pytest.approx(expected.intensities, abs=1e-5)
    assert spectrum.adduct == "[M+H]+"


def test_an_interrupted_run_goes_on_and_gives_the_same(structures, tmp_path, monkeypatch):
    monkeypatch.setattr("team5.search.simulation.CHUNK_SIZE", 1)
    whole, output = tmp_path / "whole.txt", tmp_path / "lib.txt"
    simulate_file(structures, whole, SETTINGS, root=SMALL_VERSION, n_workers=1)
    monkeypatch.setattr("team5.search.simulation.write_spectra", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        simulate_file(structures, output, SETTINGS, root=SMALL_VERSION, n_workers=1)
    monkeypatch.undo()
    monkeypatch.setattr("team5.search.simulation.CHUNK_SIZE", 1)
    with pytest.raises(ConfigError, match="resume=true continues it"):
        simulate_file(structures, output, SETTINGS, root=SMALL_VERSION, n_workers=1)
    simulate_file(structures, output, SETTINGS, root=SMALL_VERSION, n_workers=1, resume=True)
    assert output.read_text() == whole.read_text()
    assert whole.read_text().startswith("<mzSpecLib>\nMS:1003186|library format version=1.0\n")
    assert not checkpoint_folder(output).exists()


def test_the_command_says_what_it_did_and_what_it_left_out(structures, tmp_path, capsys):
    output = tmp_path / "lib.msp"
    words = [f"structures={structures}", "adducts=[M+H]+,[M-H2O+H]+", f"output={output}"]
    assert main([*words, f"checkpoints_root={SMALL_VERSION}", "workers=1"]) == 0
    assert "written to" in capsys.readouterr().err
    assert left_out_path(output).exists() is False or "adduct" in left_out_path(output).read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["structures=a.smi"], "output= is missing"),
        (["structure=a.smi"], "closest: structures="),
        (["structures=a.smi", "output=a.csv"], "Choose one of .mgf, .msp, .txt"),
        (["structures=a.smi", "output=a.msp", "energies=high"], "energies=high: not understood"),
        (["structures=a.smi", "output=a.msp", "workers=0"], "give 1 or more"),
    ],
)
def test_a_wrong_call_is_refused_in_a_line(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err
