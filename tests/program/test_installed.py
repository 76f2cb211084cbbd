"""The wheel in an environment of its own, outside the repository, without any network."""

import json
import os
import subprocess
import sys
import sysconfig
import venv

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.fixture(scope="module")
def team5(tmp_path_factory):
    """Return a function that runs the installed command in a folder."""
    pytest.importorskip("setuptools", reason="needs the group dev")
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(source)], check=True)
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
             "--wheel-dir", str(place / "wheels"), "."],
            cwd=source, check=True,
        )  # fmt: skip
    (wheel,) = (place / "wheels").iterdir()
    assert wheel.stat().st_size < 8_000_000
    environment = place / "environment"
    venv.create(environment, with_pip=False)
    site = next(environment.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install",
         "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
    )  # fmt: skip
    # Dependencies are those of this environment; the editable team5 among them comes later.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TEAM5_"))
    }

    def run(folder, *words, code=0, **extra):
        done = subprocess.run(
            [str(environment / "bin" / "team5"), *words],
            cwd=folder, env={**variables, **extra}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    run.site = site
    return run


def test_first_commands_work_in_an_empty_folder(team5, tmp_path):
    assert team5(tmp_path, "--version").stdout.startswith("team5 ")
    assert "C2H7O+" in team5(tmp_path, "predict", "smiles=CCO").stdout
    words = f"smiles={ASPIRIN}", "mzs=[121.028,139.039]", "intensities=[100,35]", "format=json"
    match = json.loads(team5(tmp_path, "predict", *words).stdout)
    assert match["version"] == "v0.2"
    assert "v0.2 (latest)" in team5(tmp_path, "versions", "list").stdout
    assert "team5 predict smiles=" in team5(tmp_path, "predict", "--help").stdout
    assert list(tmp_path.iterdir()) == []


def test_a_training_writes_beside_the_caller_and_follows_the_released_version(team5, tmp_path):
    team5(tmp_path, "train", "experiment=debug", "from_version=latest", "report_spectra=0",
          "model=fragments", "trainer.max_epochs=1")  # fmt: skip
    assert (tmp_path / "checkpoints" / "v0.3" / "model.safetensors").is_file()
    config = json.loads((tmp_path / "checkpoints" / "v0.3" / "config.json").read_text())
    assert config["parent_version"] == "v0.2"
    assert not list((team5.site / "team5" / "released" / "checkpoints").glob("v0.3"))


def test_versions_are_looked_for_where_the_caller_says(team5, tmp_path):
    tiny = REPOSITORY / "tests" / "files" / "checkpoints"
    answer = team5(
        tmp_path, "predict", "smiles=CCO", "format=json", TEAM5_CHECKPOINTS=str(tiny)
    ).stdout
    assert json.loads(answer)["version"] == "v0.1"
    assert "no command" in team5(tmp_path, "predcit", code=2).stderr
