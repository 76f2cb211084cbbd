"""How programs end: one exit code and one or two lines, whatever TEAM5_DEBUG says."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from team5.cli import demo, library, versions
from team5.inference import inference
from team5.training import update_checkpoint_tracker

REPOSITORY = Path(__file__).resolve().parents[2]

# A call that is wrong (2) and one whose run fails (1), for each program; FOLDER holds a tracker
# that is no JSON.
CALLS = {
    "predict.py": [(2, ["smiles=C1CC"]), (1, ["smiles=CCO", "checkpoints_root=FOLDER"])],
    "train.py": [
        (2, ["experiment=finetune", "from_version=v9.9", "hydra.run.dir=FOLDER/run"]),
        (1, ["experiment=finetune", "checkpoints_root=FOLDER", "hydra.run.dir=FOLDER/run"]),
    ],
    "evaluate.py": [(2, ["data.queries=nowhere.parquet"])],
    "serve.py": [(2, ["version=v9.9"]), (1, ["checkpoints_root=FOLDER"])],
    "versions": [(2, ["show", "v9.9"]), (1, ["list", "--root", "FOLDER"])],
    "library": [(2, ["info", "nowhere"])],
    "update_checkpoint_tracker": [
        (2, ["--version", "9.9", "--accuracy", "0.9", "--f1_score", "0.9", "--root", "FOLDER"]),
        (1, ["--version", "v9.9", "--update", "--accuracy", "0.9", "--root", "FOLDER"]),
    ],
    "inference": [
        (2, ["--smiles", "C1CC"]),
        (1, ["--smiles", "CCO", "--root", "FOLDER"]),
    ],
    "demo": [(2, ["--root", "FOLDER/none"]), (1, ["--root", "FOLDER"])],
}  # fmt: skip
MAINS = {
    "versions": versions.main,
    "library": library.main,
    "update_checkpoint_tracker": update_checkpoint_tracker.main,
    "inference": inference.main,
    "demo": demo.main,
}


@pytest.fixture
def end_of(monkeypatch, capsys, tmp_path):
    """Run a program in this process; gives exit code and stderr."""
    (tmp_path / "checkpoint_tracker.json").write_text("no JSON")
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(program: str, words: list[str]) -> tuple[int, str]:
        words = [word.replace("FOLDER", str(tmp_path)) for word in words]
        if program in MAINS:
            return MAINS[program](words), capsys.readouterr().err
        monkeypatch.setattr(sys, "argv", [program, *words])
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(str(REPOSITORY / program), run_name="__main__")
        return exited.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("program", "expected", "words"),
    [(program, *call) for program, calls in CALLS.items() for call in calls],
)
def test_the_exit_code_does_not_depend_on_debug(program, expected, words, end_of, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    said = {}
    for debug in (None, "0", "1"):
        if debug is None:
            monkeypatch.delenv("TEAM5_DEBUG", raising=False)
        else:
            monkeypatch.setenv("TEAM5_DEBUG", debug)
        code, said[debug] = end_of(program, words)
        assert code == expected, said[debug]
    assert said[None] == said["0"]
    assert 1 <= said["0"].count("\n") <= 2
    assert "Traceback" in said["1"]
    assert said["1"].endswith(said["0"])


def test_a_program_asked_for_json_says_its_error_as_json(end_of):
    code, said = end_of("predict.py", ["smiles=[CCO,C1CC]", "format=json"])
    error = json.loads(said)["error"]
    assert code == 2
    assert error["type"] == "MoleculeError"
    assert (error["code"], error["argument"]) == ("structure_invalid", "smiles[1]")
    assert "structure 2 of 2" in error["message"]
