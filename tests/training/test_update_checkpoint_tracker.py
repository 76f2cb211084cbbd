import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from team5.training.update_checkpoint_tracker import main

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = Path("team5/training/update_checkpoint_tracker.py")
GUIDE = [
    *("--version", "v0.3", "--description", "Fine-tuned on additional data"),
    *("--accuracy", "0.90", "--f1_score", "0.89", "--set_as_latest"),
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Run the script as people do: by path, from another folder."""
    return subprocess.run(
        [sys.executable, REPOSITORY / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )


def tracker(root: str = "checkpoints"):
    return json.loads((Path(root) / "checkpoint_tracker.json").read_text())


@pytest.mark.parametrize("script", [SCRIPT, "src" / SCRIPT])
def test_the_command_of_the_guide_adds_the_entry_and_moves_latest(script):
    before = dt.date.today().isoformat()
    done = run(*GUIDE, script=script)
    assert done.returncode == 0
    assert done.stdout == "v0.3 added in checkpoints/checkpoint_tracker.json; latest: v0.3\n"
    (entry,) = tracker()["checkpoints"]
    assert before <= entry.pop("date") <= dt.date.today().isoformat()
    assert entry == {
        "version": "v0.3",
        "description": "Fine-tuned on additional data",
        "performance": {"accuracy": 0.9, "f1_score": 0.89},
    }
    assert tracker()["latest"] == "v0.3"


def test_a_version_without_weights_is_recorded_with_a_warning(capsys):
    assert main(GUIDE) == 0
    assert "holds no model.safetensors" in capsys.readouterr().err
    Path("checkpoints/v0.3").mkdir()
    Path("checkpoints/v0.3/model.safetensors").touch()
    assert main([*GUIDE, "--update"]) == 0
    assert capsys.readouterr().err == ""


def test_an_existing_version_needs_update(capsys):
    main([*GUIDE, "--date", "2024-05-01"])
    capsys.readouterr()
    assert main(GUIDE) == 2
    assert "v0.3 already" in capsys.readouterr().err
    assert main(["--version", "v0.3", "--accuracy", "0.95", "--update"]) == 0
    (entry,) = tracker()["checkpoints"]
    assert entry["performance"] == {"accuracy": 0.95, "f1_score": 0.89}
    assert entry["date"] == "2024-05-01"


def test_latest_stays_without_the_flag():
    main(GUIDE)
    main([*GUIDE[:-1], "--version", "v0.4"])
    assert tracker()["latest"] == "v0.3"


def test_another_registry_is_taken_by_root():
    assert main([*GUIDE, "--root", "mine"]) == 0
    assert tracker("mine")["latest"] == "v0.3"
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--version", "0.3"], "v<major>.<minor>"),
        (["--version", "../v0.3"], "v<major>.<minor>"),
        (["--accuracy", "1.2"], "accuracy is 1.2"),
        (["--accuracy", "nan"], "accuracy is nan"),
        (["--f1_score", "-0.5"], "f1_score is -0.5"),
        (["--f1_score", "inf"], "f1_score is inf"),
        (["--date", "15.10.2023"], "YYYY-MM-DD"),
        (["--date", "2023-02-30"], "YYYY-MM-DD"),
        (["--version", "v0.9", "--update"], 'no version "v0.9"'),
    ],
)
def test_a_wrong_call_gives_one_line_and_exit_code_2(arguments, named, capsys):
    assert main([*GUIDE, *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert named in output.err
    assert output.err.count("\n") == 1
    assert not Path("checkpoints/checkpoint_tracker.json").exists()


def test_all_that_a_new_entry_lacks_is_named(capsys):
    assert main(["--version", "v0.3"]) == 2
    assert "description, accuracy, f1_score" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--accuracy", "high"], ["--accurac", "0.9"]])
def test_what_argparse_refuses_has_exit_code_2(arguments):
    assert run(*(GUIDE if arguments else []), *arguments).returncode == 2


def test_an_invalid_tracker_is_exit_code_1_and_stays():
    Path("checkpoints").mkdir()
    path = Path("checkpoints/checkpoint_tracker.json")
    path.write_text('{"latest": "v0.1",}')
    done = run(*GUIDE)
    assert done.returncode == 1
    assert done.stderr.startswith(f"TrackerError: {path}, line 1, column ")
    assert done.stderr.count("\n") == 1
    assert path.read_text() == '{"latest": "v0.1",}'


def test_debug_adds_the_traceback_and_keeps_the_exit_code(monkeypatch, capsys):
    monkeypatch.setenv("TEAM5_DEBUG", "1")
    assert main([*GUIDE, "--version", "new"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith('VersionError: "new" is not a version.')


def test_processes_at_once_all_stand():
    versions = [f"v{major}.{minor}" for minor in range(3) for major in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, REPOSITORY / SCRIPT, *GUIDE, "--version", version],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for version in versions
    ]
    assert [process.wait() for process in processes] == [0] * len(versions)
    assert sorted(entry["version"] for entry in tracker()["checkpoints"]) == sorted(versions)


def test_it_starts_without_torch_lightning_and_hydra():
    program = (
        "import runpy, sys\n"
        "try:\n"
        f"    sys.argv = ['x', '--help']; runpy.run_path({str(REPOSITORY / SCRIPT)!r}, "
        "run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    print(end.code, sorted({'torch', 'lightning', 'hydra', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "--set_as_latest" in done.stdout
    assert done.stdout.endswith("0 []\n")


def test_where_versions_are_judged_latest_does_not_move_by_hand(monkeypatch, capsys):
    monkeypatch.setenv("TEAM5_GATE_QUERIES", "frozen.parquet")
    assert main([*GUIDE[:-1], "--version", "v0.1", "--set_as_latest"]) == 0  # the first one
    before = Path("checkpoints/checkpoint_tracker.json").read_bytes()
    capsys.readouterr()
    assert main(GUIDE) == 2
    error = capsys.readouterr().err
    assert error.startswith("ConfigError: --set_as_latest: TEAM5_GATE_QUERIES is set")
    assert error.endswith("then: python -m team5.registry promote v0.3\n")
    assert error.count("\n") == 1
    assert Path("checkpoints/checkpoint_tracker.json").read_bytes() == before
    assert main(GUIDE[:-1]) == 0
    assert tracker()["latest"] == "v0.1"
    again = ["--version", "v0.1", "--accuracy", "0.8", "--update", "--set_as_latest"]
    assert main(again) == 0  # it is latest already
