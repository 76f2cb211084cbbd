"""The wheel in an environment of its own, outside the repository, without any network.

Nobody may write to the environment; commands run from an empty folder, from one with versions, from
a clone's, and where TEAM5_CHECKPOINTS says.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
# Of a training that is over in seconds.
SHORT = (
    "trainer.max_epochs=1",
    "report_spectra=0",
    "data.train_compounds=8",
    "data.val_max_spectra=1",
)


def confined() -> list[str]:
    """Return what runs a command without network, and bound by permissions, where it can."""
    words: list[str] = []
    for more in (
        ["unshare", "--net"],
        # Root writes where it may not; with these rights it does not.
        ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"],
    ):
        if (
            shutil.which(more[0])
            and not subprocess.run([*words, *more, "true"], check=False).returncode
        ):
            words += more
    return words


@pytest.fixture(scope="module")
def team5(tmp_path_factory):
    """Return a function that runs the installed command in a folder."""
    pytest.importorskip("setuptools", reason="needs the group dev")
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(source)], check=True)
    contents = []
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
             "--wheel-dir", str(place / "wheels"), "."],
            cwd=source, check=True,
        )  # fmt: skip
        (wheel,) = (place / "wheels").iterdir()
        contents.append(wheel.read_bytes())
    assert contents[0] == contents[1]
    assert len(contents[0]) < 8_000_000
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
    (place / "home").mkdir()
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TEAM5_", "XDG_"))
    }
    variables |= {"HOME": str(place / "home"), "NO_PROXY": "*"}
    start = confined()
    for path in (*environment.rglob("*"), environment):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)

    def run(folder: Path, *words: str, code: int = 0, **extra: str):
        done = subprocess.run(
            [*start, str(environment / "bin" / "team5"), *words],
            cwd=folder, env={**variables, **extra}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    run.site = site
    run.clone = source
    yield run
    for path in (environment, *environment.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)  # so that it can be removed


def version_of(answer) -> str:
    return json.loads(answer.stdout)["version"]


def test_first_commands_work_in_an_empty_folder(team5, tmp_path):
    assert team5(tmp_path, "--version").stdout.startswith("team5 ")
    assert "C2H7O+" in team5(tmp_path, "predict", "smiles=CCO").stdout
    words = f"smiles={ASPIRIN}", "mzs=[121.028,139.039]", "intensities=[100,35]", "format=json"
    assert version_of(team5(tmp_path, "predict", *words)) == "v0.2"
    listed = team5(tmp_path, "versions", "list")
    assert "v0.2 (latest)" in listed.stdout
    assert str(team5.site / "team5" / "released" / "checkpoints") in listed.stderr
    assert "team5 predict smiles=" in team5(tmp_path, "predict", "--help").stdout
    assert "no command" in team5(tmp_path, "predcit", code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_training_writes_beside_the_caller_and_hides_no_version(team5, tmp_path):
    done = team5(
        tmp_path, "train", "experiment=debug", "from_version=latest", "model=fragments", *SHORT
    )
    assert "Try it: team5 predict version=v0.3" in done.stderr
    assert (tmp_path / "checkpoints" / "v0.3" / "model.safetensors").is_file()
    config = json.loads((tmp_path / "checkpoints" / "v0.3" / "config.json").read_text())
    assert config["parent_version"] == "v0.2"
    # It learned from computed spectra, so that it is not latest; the one in the package still is.
    ask = "predict", "smiles=CCO", "format=json"
    assert version_of(team5(tmp_path, *ask)) == "v0.2"
    assert version_of(team5(tmp_path, *ask, "version=v0.3")) == "v0.3"
    missing = team5(tmp_path, *ask, "version=v0.9", code=2).stderr
    assert str(tmp_path / "checkpoints") in missing
    assert str(team5.site) in missing


def test_versions_are_looked_for_where_the_caller_says(team5, tmp_path):
    tiny = REPOSITORY / "tests" / "files" / "checkpoints"
    ask = "predict", "smiles=CCO", "format=json"
    assert version_of(team5(tmp_path, *ask, TEAM5_CHECKPOINTS=str(tiny))) == "v0.1"
    shutil.copytree(tiny, tmp_path / "checkpoints")
    assert version_of(team5(tmp_path, *ask)) == "v0.1"
    one = tmp_path / "checkpoints" / "v0.1"
    said = team5(tmp_path, *ask, TEAM5_CHECKPOINTS=str(one), code=2).stderr
    assert f"Give its parent: {one.parent}" in said


def test_a_clone_has_its_versions_in_every_folder(team5):
    words = "versions", "list", "--json"
    code = "import sys; from team5.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=team5.clone / "docs", check=True,
        env={**os.environ, "PYTHONPATH": str(team5.clone)}, capture_output=True, text=True,
    )  # fmt: skip
    assert [row["version"] for row in json.loads(done.stdout)][:2] == ["v0.1", "v0.2"]


def test_the_demo_runs_where_nothing_is(team5, tmp_path):
    done = team5(tmp_path, "demo", *SHORT, "data.n_candidates=2")
    assert (
        "$ team5 train experiment=finetune checkpoints_root=outputs/demo/checkpoints" in done.stdout
    )
    assert "$ team5 predict checkpoints_root=outputs/demo/checkpoints version=v0.3" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}
