"""Completion is Hydra's own, asked for by a real shell on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="there are pseudo-terminals on Linux and macOS only")

ROOT = Path(__file__).resolve().parents[2]
LINE_START = "\x01"  # Ctrl-A


def environment(folder: Path) -> dict[str, str]:
    """Return an environment whose ``python`` is this Python, whatever it is called elsewhere."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "COLUMNS": "200",
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }


def tab(typed: str, folder: Path) -> str:
    """Type a command, press the tabulator key, and return what the command has become."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=ROOT,
        env=environment(folder),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ):
        os.close(its)
        script = 'eval "$(python predict.py --shell-completion install=bash)"'
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
        ("python train.py experiment=fin", "python train.py experiment=finetune"),
        ("python train.py data=file data.pat", "python train.py data=file data.path="),
        ("python evaluate.py data.quer", "python evaluate.py data.queries="),
        ("python serve.py dev", "python serve.py device="),
    ],
)
def test_bash_completes_keys_and_choices(typed, completed, tmp_path):
    assert tab(typed, tmp_path) == completed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_program_prints_what_a_shell_needs(shell):
    done = subprocess.run(
        [sys.executable, "serve.py", "--shell-completion", f"install={shell}"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "complet" in done.stdout


def test_what_hydra_cannot_read_does_not_keep_it_from_completing():
    line = "python predict.py smiles=C[C@H](=O)O mzs=[1,2] form"
    done = subprocess.run(
        [sys.executable, "predict.py", "-sc", "query=bash"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "COMP_LINE": line},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["format="]


@pytest.mark.parametrize("program", ["train", "predict", "evaluate", "serve"])
def test_a_shell_that_is_not_known_is_reported_with_those_that_are(program):
    done = subprocess.run(
        [sys.executable, f"{program}.py", "--shell-completion", "tcsh"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert all(shell in done.stderr for shell in ("bash", "zsh", "fish"))
