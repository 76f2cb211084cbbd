"""--help of every program opens with examples, and every one of them can be typed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HYDRA = ("train.py", "predict.py", "evaluate.py", "serve.py")
COMMANDS = (
    ("-m", "team5.library"),
    ("-m", "team5.library", "build"),
    ("-m", "team5.library", "lookup"),
    ("-m", "team5.registry"),
    ("-m", "team5.registry", "promote"),
    ("-m", "team5.registry", "gc"),
    ("-m", "team5.cli.demo"),
    ("team5/inference/inference.py",),
    ("team5/training/update_checkpoint_tracker.py",),
)


def call(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


def examples(text: str) -> list[str]:
    """Return the indented command lines of a text."""
    return [line.strip() for line in text.splitlines() if line.startswith("    python ")]


@pytest.mark.parametrize("program", HYDRA)
def test_a_program_shows_examples_before_its_settings(program):
    done = call(program, "--help")
    assert done.returncode == 0, done.stderr
    before, settings = done.stdout.split("Settings, key=value", 1)
    assert len(before.splitlines()[0]) <= 100
    assert any(line.startswith(f"python {program}") for line in examples(before))
    assert f"python {program} --shell-completion install=bash" in settings


def test_help_shows_the_settings_of_each_group_as_chosen():
    done = call("train.py", "--help")
    assert "\n    model.network.d_model: 64\n" in done.stdout
    assert (
        "\n    callbacks.early_stopping.patience: 5  # epochs without improvement\n" in done.stdout
    )
    chosen = call("train.py", "experiment=finetune", "data=file", "--help")
    assert "\n    callbacks.early_stopping.patience: 2  # epochs without" in chosen.stdout
    assert (
        "\n    data.val_share: 0.15  # higher, as users' data sets are often small\n"
        in chosen.stdout
    )
    assert "\n    data.licenses: [CC0, CC BY, CC BY-SA, dl-de/by-2-0]\n" in chosen.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_opens_its_help_with_examples(words):
    done = call(*words, "--help")
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert first.startswith("    python " + " ".join(words[:2]))
    assert "usage:" in done.stdout


def test_every_example_of_the_registry_and_of_the_library_can_be_read():
    from team5.cli.library import _parser as library
    from team5.cli.versions import _EXAMPLES
    from team5.cli.versions import _parser as registry

    lines = [line for some in _EXAMPLES.values() for line in some]
    lines += examples(library().format_help())
    assert len(lines) > 20
    for line in lines:
        _, _, module, *words = shlex.split(line)
        parser = {"team5.library": library, "team5.registry": registry}[module]()
        assert parser.parse_args(words).act


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_wrong_call_is_told_in_a_line_that_says_where_examples_are(words):
    done = call(*words, "--no-such-option")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ConfigError: ")
    assert line.endswith(" --help shows examples.")
