"""predict.py with a real, untrained version: it gives what the library gives."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.data.readers import read_spectra
from team5.inference.inference import infer, load_model
from team5.models.model import ModelConfig, Team5Model
from team5.registry.export import export_version
from team5.registry.tracker import Tracker
from team5.registry.tracker_format import TrackerEntryFields

REPOSITORY = Path(__file__).resolve().parents[2]
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
PEAKS = ([121.028, 139.039], [100.0, 35.0])


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("registry")
    sizes = ModelConfig(d_model=16, d_hidden=16, n_layers=1, n_blocks=1, rank=4)
    model = Team5Model(sizes, MoleculeTokenizer())
    export_version(
        root,
        config=model.to_config(),
        weights=model.state_dict(),
        entry=TrackerEntryFields(description="untrained", accuracy=0.5, f1_score=0.5),
        set_as_latest=True,
    )
    return root


def call(registry: Path, *words: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "predict.py"), f"checkpoints_root={registry}", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("typed", "smiles"),
    [(ASPIRIN, ASPIRIN), (f"[{ASPIRIN},CCO]", [ASPIRIN, "CCO"])],
)
def test_command_line_and_library_agree(registry, typed, smiles):
    model = load_model(root=registry, device="cpu")
    answers = infer(model, model.tokenizer, smiles, *PEAKS)
    expected = (
        [answer.to_dict() for answer in answers] if isinstance(answers, list) else answers.to_dict()
    )
    done = call(
        registry, f"smiles={typed}", "mzs=121.028 139.039", "intensities=[100,35]", "format=json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    given = json.loads(done.stdout)
    for answer, other in zip(
        given if isinstance(given, list) else [given],
        expected if isinstance(expected, list) else [expected],
        strict=True,
    ):
        # One thread adds up in another order than many.
        assert answer.pop("probability") == pytest.approx(other.pop("probability"), abs=1e-5)
        assert answer.pop("score") == pytest.approx(other.pop("score"), abs=1e-4)
        assert [peak["mz"] for peak in answer.pop("peaks")] == [
            peak["mz"] for peak in other.pop("peaks")
        ]
        answer.pop("label"), other.pop("label")
        assert answer == other


def test_output_is_the_same_bytes_every_time(registry):
    words = (f"smiles={ASPIRIN}", "format=json", "collision_energy=35 % (nominal)", "device=cpu")
    first, second = call(registry, *words), call(registry, *words)
    assert first.returncode == 0
    assert json.loads(first.stdout)["collision_energy"] == "35 % (nominal)"
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mzs=[1]", "intensities=[1]"), "ConfigError: no SMILES given"),
        (("smiles=CCO", "mzs=[1,2]", "intensities=[1]"), "SpectrumError: 2 m/z values but 1"),
        (("smiles=CCO", "mzs=[1,2]"), "ConfigError: mzs without intensities"),
        (("smiles=CCO", "mzs=[]", "intensities=[]"), "SpectrumError: no peaks"),
        (("smiles=CCO", "mzs=[nan]", "intensities=[1]"), "SpectrumError: mzs[0] = nan"),
        (("smiles=CCO", "mzs=[50]", "intensities=[-1]"), "SpectrumError: intensities[0] = -1"),
        (("smiles=C1CC",), "MoleculeError: SMILES 'C1CC'"),
        (("smiles=null",), "MoleculeError: SMILES 'null'"),
        (("smiles=CCO", "adduct=[M+?]+"), "AdductError"),
        (("smiles=CCO", "version=v7.1"), 'VersionNotFoundError: no version "v7.1"'),
        (("smiles=CCO", "version=1e5"), "VersionError"),
        (("smiles=CCO", "device=tpu"), "DeviceError: device 'tpu'"),
        (
            ("smiles=CCO", "mzs=[47]", "intensities=[1]", "output=matches.mgf"),
            "ConfigError: output=matches.mgf: .mgf holds simulated spectra",
        ),
        (("spectra=none.mgf", "output=matches.msp"), "ConfigError: output=matches.msp: .msp holds"),
        (("spectra=none.mgf",), "DataFileNotFoundError: none.mgf"),
    ],
)
def test_wrong_input_gets_one_line(registry, monkeypatch, capsys, words, said):
    import runpy

    monkeypatch.setattr(sys, "argv", ["predict.py", f"checkpoints_root={registry}", *words])
    with pytest.raises(SystemExit) as exited:
        runpy.run_path(str(REPOSITORY / "predict.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert exited.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith(said)
    assert printed.err.count("\n") == 1


def test_files_are_ranked_from_another_folder(registry, tmp_path):
    spectra = REPOSITORY / "tests/files/massspecgym.mgf"
    isomers = ["CN1C=NC2=C1C(=O)N(C(=O)N2C)C caffeine", "bad", "CCCN1C2=C(NC=N2)C(=O)NC1=O", "CCO"]
    (tmp_path / "structures.smi").write_text("\n".join(isomers))
    done = call(
        registry, f"spectra={spectra}", "candidates=structures.smi", "output=ranking.jsonl",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0
    assert "structures.smi, line 2" in done.stderr
    answers = [json.loads(line) for line in (tmp_path / "ranking.jsonl").read_text().splitlines()]
    assert answers
    for answer in answers:
        candidates = answer["candidates"]
        assert {each["name"] for each in candidates} == {"caffeine", None}
        assert [each["rank"] for each in candidates] == [1, 2]


@pytest.mark.parametrize("ending", [".mgf", ".msp"])
def test_simulated_spectra_are_written_for_other_programs(registry, tmp_path, ending):
    words = (f"smiles=[{ASPIRIN},CCO]", "collision_energy=35 eV", "device=cpu")
    done = call(registry, *words, f"output=spectra{ending}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = load_model(root=registry, device="cpu")
    expected = infer(model, model.tokenizer, [ASPIRIN, "CCO"], collision_energy="35 eV")
    for record, simulation in zip(
        read_spectra(tmp_path / f"spectra{ending}").records, expected, strict=True
    ):
        assert record.smiles == simulation.smiles
        assert record.spectrum.mzs == pytest.approx(simulation.mzs)
        assert record.spectrum.intensities == pytest.approx(simulation.intensities, abs=1e-4)


def test_an_alias_is_a_version(registry, tmp_path):
    root = Path(shutil.copytree(registry, tmp_path / "checkpoints"))
    Tracker(root).set_alias("champion", "v0.1")
    words = ("smiles=CCO", "format=json")
    by_name, by_alias = (call(root, *words, f"version={v}") for v in ("v0.1", "champion"))
    assert by_alias.returncode == 0, by_alias.stderr
    assert by_alias.stdout == by_name.stdout


def test_what_sigterm_ends_leaves_no_half_written_file(registry, tmp_path):
    one = (REPOSITORY / "tests/files/massspecgym.mgf").read_text()
    (tmp_path / "many.mgf").write_text(f"{one}\n" * 5_000)
    (tmp_path / "structures.smi").write_text("CCO\nCCN\n")
    running = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "predict.py"), f"checkpoints_root={registry}",
         "spectra=many.mgf", "candidates=structures.smi", "output=ranking.csv"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    begun = time.monotonic()
    while not list(tmp_path.glob("ranking.csv.parts/part-*")):
        assert running.poll() is None
        assert time.monotonic() - begun < 120
        time.sleep(0.05)
    running.terminate()
    assert running.wait(timeout=60) == 143
    # What is done stays, to be resumed.
    expected = {"many.mgf", "structures.smi", "ranking.csv.parts"}
    assert {path.name for path in tmp_path.iterdir()} == expected
