"""Completion, asked for by real shells on a pseudo-terminal, a tabulator key at a time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from team5.cli.completion import ENTRY_POINTS, SHELLS, complete
from team5.cli.run import compose_config
from team5.registry.tracker import Tracker

pty = pytest.importorskip("pty", reason="there are pseudo-terminals on Linux and macOS only")

ROOT = Path(__file__).resolve().parents[2]
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$({})"'),
    "zsh": (["zsh", "-f", "-i"], 'eval "$({})"'),
}
LINE_START = "\x01"  # Ctrl-A


def stand_in(folder: Path) -> Path:
    """Return a command that is this Python, whatever it is called elsewhere."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "COLUMNS": "200",
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }


def tab(shell: str, typed: str, folder: Path) -> str:
    """Type a command, press the tabulator key, and return what the command has become."""
    command, load = START[shell]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {shell} on this machine")
    stand_in(folder)
    ours, its = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(folder),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ):
        os.close(its)
        script = load.format("python predict.py --shell-completion " + shell)
        os.write(ours, f"{script}\n".encode())
        os.write(ours, f"{typed}\t{LINE_START}echo '<'\n".encode())
        os.write(ours, b"exit\n")
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError:  # the shell has ended
            pass
    os.close(ours)
    lines = re.findall(r"^< ?(python .*?)\s*$", said.decode().replace("\r", "\n"), re.MULTILINE)
    assert lines, said.decode()
    return lines[-1]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("python predict.py form", "python predict.py format="),
        ("python predict.py format=j", "python predict.py format=json"),
        ("python predict.py smiles=CCO version=v0.1", "python predict.py smiles=CCO version=v0.1"),
        ("python predict.py library=configs/eng", "python predict.py library=configs/engine/"),
        ("python train.py experiment=fin", "python train.py experiment=finetune"),
        ("python train.py data=file data.pat", "python train.py data=file data.path="),
        ("python evaluate.py data.quer", "python evaluate.py data.queries="),
        ("python serve.py device=cu", "python serve.py device=cuda"),
        # What is not ours is the shell's.
        ("python tests/files/make_t", "python tests/files/make_tiny_version.py"),
    ],
)  # fmt: skip
def test_bash_completes_what_is_typed(typed, completed, tmp_path):
    assert tab("bash", typed, tmp_path) == completed


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("python predict.py format=j", "python predict.py format=json"),
        ("python train.py experiment=fin", "python train.py experiment=finetune"),
    ],
)
def test_zsh_completes_what_is_typed(typed, completed, tmp_path):
    assert tab("zsh", typed, tmp_path) == completed


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("python predict.py format=j", "format=json"),
        ("python train.py data=file data.pat", "data.path="),
    ],
)
def test_fish_offers_what_fits(typed, word, tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("no fish on this machine")
    python = stand_in(tmp_path)
    # fish wants a terminal of its own to be typed into; asked so, it says what it would offer.
    said = subprocess.run(
        ["fish", "--no-config", "-c",
         f"python predict.py --shell-completion fish | source; complete -C '{typed}'"],
        cwd=ROOT, env=environment(python.parent), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == [word]


def test_versions_are_those_there_are_in_order(tmp_path):
    names = sorted(f"version={version}" for version in Tracker("checkpoints").read().versions)
    assert sorted(complete("predict", ["version="])) == names
    for name in ("v0.10", "v0.9", "other"):
        (tmp_path / name).mkdir()
    found = complete("train", [f"checkpoints_root={tmp_path}", "resume="])
    assert found == ["resume=v0.9", "resume=v0.10"]


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_every_key_that_is_offered_is_one_of_the_config(entry_point):
    offered = complete(entry_point, [""])
    assert offered
    cfg = compose_config(entry_point, [])
    for name in offered:
        key = name.rstrip("=.")
        assert key in cfg or key in ("experiment", "launcher", "sweeper", "hydra"), name


def test_what_is_given_is_not_offered_again():
    assert "smiles=" in complete("predict", [""])
    assert "smiles=" not in complete("predict", ["smiles=CCO", ""])


@pytest.mark.parametrize("program", ENTRY_POINTS)
def test_a_shell_that_is_not_known_is_told_with_those_that_are(program):
    done = subprocess.run(
        [sys.executable, f"{program}.py", "--shell-completion", "tcsh"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert all(shell in done.stderr for shell in SHELLS)
