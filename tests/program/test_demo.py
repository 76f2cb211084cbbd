"""The demo, with a tiny untrained version in the place of the shipped one."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.cli.demo import copy_latest, main
from team5.errors import CheckpointError
from team5.models.model import ModelConfig, Team5Model
from team5.registry.export import export_version, read_version
from team5.registry.tracker import Tracker, TrackerEntryFields

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT_TRAINING = (
    "trainer.max_epochs=1",
    "data.train_compounds=8",
    "data.val_max_spectra=1",
    "data.n_candidates=2",
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("shipped")
    sizes = ModelConfig(d_model=16, d_hidden=16, n_layers=1, n_blocks=1, rank=4)
    model = Team5Model(sizes, MoleculeTokenizer())
    for version in ("v0.1", "v0.2"):
        export_version(
            root,
            version=version,
            config=model.to_config(),
            weights=model.state_dict(),
            entry=TrackerEntryFields(
                description=f"untrained {version}",
                accuracy=0.5,
                f1_score=0.4,
                date="2025-01-02",
                extra_performance={"mrr": 0.3},
                extra={"note": "kept"},
            ),
            set_as_latest=version == "v0.1",
        )
    return root


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def test_latest_is_copied_with_all_that_is_recorded_of_it(shipped, tmp_path):
    before = content(shipped)
    assert copy_latest(shipped, tmp_path / "demo") == "v0.1"
    assert content(shipped) == before

    copied = Tracker(tmp_path / "demo").read()
    assert copied.latest == "v0.1"
    assert copied.entries == (Tracker(shipped).read().entry("v0.1"),)
    assert read_version(tmp_path / "demo").version_hash == read_version(shipped).version_hash


def test_what_an_earlier_demo_left_is_replaced(shipped, tmp_path):
    copy_latest(shipped, tmp_path / "demo")
    (tmp_path / "demo" / "v0.1" / "config.json").write_text("cut off by Ctrl-C")
    (tmp_path / "demo" / "v0.7").mkdir()
    copy_latest(shipped, tmp_path / "demo")
    assert {path.name for path in (tmp_path / "demo").iterdir() if path.is_dir()} == {"v0.1"}
    assert read_version(tmp_path / "demo").version == "v0.1"


def test_damaged_version_is_refused_before_anything_is_written(shipped, tmp_path):
    root = tmp_path / "checkpoints"
    copy_latest(shipped, root)
    weights = root / "v0.1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        copy_latest(root, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_without_a_version_it_says_so_on_one_line(tmp_path, capsys):
    assert main(["--root", str(tmp_path / "none"), "--folder", str(tmp_path / "demo")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("VersionNotFoundError: ")
    assert printed.err.count("\n") == 1


@pytest.mark.slow
def test_demo_trains_exports_and_asks_with_commands_as_shown(shipped, tmp_path):
    before = content(shipped)
    folder = tmp_path / "demo"
    environment = {**os.environ, "TEAM5_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    settings = [*SHORT_TRAINING, f"hydra.run.dir={tmp_path / 'run'}"]

    def run_demo(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "team5.cli.demo", "--root", str(shipped), *words],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run_demo("--folder", str(folder), *settings)
    assert done.returncode == 0, done.stderr
    assert content(shipped) == before

    tracker = Tracker(folder / "checkpoints").read()
    assert [entry.version for entry in tracker.entries] == ["v0.1", "v0.2"]
    assert tracker.latest == "v0.1"
    assert json.dumps(tracker.entries[1].description) in done.stdout
    assert "computed" in tracker.entries[1].description
    assert "COMPUTED" in done.stdout
    assert "Epoch 0: 100%" in done.stdout + done.stderr  # its progress bar

    commands = re.findall(r"^\$ (python (?:.*\\\n)*.*)$", done.stdout, flags=re.MULTILINE)
    assert [shlex.split(command)[1] for command in commands] == ["train.py"] + 3 * ["predict.py"]
    for command in commands[1:]:
        typed = command.replace("python", shlex.quote(sys.executable), 1)
        again = subprocess.run(
            typed, shell=True, cwd=REPOSITORY, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert again.returncode == 0, again.stderr
        assert again.stdout in done.stdout

    failed = run_demo("--folder", str(folder), *settings, "trainer.max_epoch=1")
    assert failed.returncode == 2
    assert "max_epoch" in failed.stderr
    assert "What to try next" not in failed.stdout
