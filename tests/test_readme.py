"""README.md tells the truth: its commands run, and answer what it says they answer.

A ``text`` block behind a ``bash`` or ``python`` block is what that block prints. With another
shipped version the answers are others; this writes them anew:

    python tests/test_readme.py
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from team5.cli.run import compose_config
from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields
from tests.documents import REPOSITORY, Block, assert_answers, read_blocks, run_code

README = REPOSITORY / "README.md"

# What a test does not run, by the command's beginning.
NOT_RUN = {
    "pip install": "changes the environment that runs this test",
    "make": "sets up, or is what is running this test",
    "python serve.py": "serves until it is stopped; what asks it runs below with one that does",
    "python train.py": "trains for minutes; that its settings exist is tested below",
    "python evaluate.py": "measures for minutes; that its settings exist is tested below",
    "python team5/training/update_checkpoint_tracker.py": "changes checkpoints/; runs below on "
    "another folder",
    "python -m team5.registry": "some change checkpoints/; all run below on another folder",
}

BLOCKS = read_blocks(README)
# What pages only show is held to the truth here, too.
SHOWN = [
    block
    for page in sorted((REPOSITORY / "docs").glob("*.md"))
    for block in read_blocks(page)
    if block.not_run is not None
]
COMMANDS = [(block, command) for block in BLOCKS + SHOWN if block.language == "bash"
            for command in block.commands]  # fmt: skip


def is_run(command: str) -> bool:
    return not command.startswith(tuple(NOT_RUN))


def starting_with(start: str) -> list[str]:
    """Return the words of all commands that begin so, without the beginning and comments."""
    return [
        shlex.split(command, comments=True)[len(start.split()) :]
        for _, command in COMMANDS
        if command.startswith(start)
    ]


def run_block(block: Block) -> str:
    """Run a block in the repository root and return what it prints."""
    code = block.code if block.language == "python" else "\n".join(filter(is_run, block.commands))
    return run_code(block, code)


def is_runnable(block: Block) -> bool:
    return block.language == "python" or any(map(is_run, block.commands))


@pytest.mark.parametrize("block", list(filter(is_runnable, BLOCKS)), ids=str)
def test_code_runs_and_answers_as_shown(block):
    if not (REPOSITORY / "checkpoints" / "v0.1").is_dir():
        pytest.skip("checkpoints/ holds no v0.1 to ask")
    assert_answers(block, run_block(block))


@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_settings_of_long_commands_exist(program):
    commands = starting_with(f"python {program}.py")
    assert commands
    for words in commands:
        compose_config(program, words)


def test_tracker_is_changed_by_hand_as_shown(tmp_path):
    script = "python team5/training/update_checkpoint_tracker.py"
    commands = starting_with(script)
    assert commands
    for words in commands:
        done = subprocess.run(
            [sys.executable, script.split()[1], *words, "--root", str(tmp_path)],
            cwd=REPOSITORY, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_versions_are_kept_in_order_as_shown(tmp_path):
    shipped = REPOSITORY / "tests/files/checkpoints"
    root = Path(shutil.copytree(shipped, tmp_path / "checkpoints"))
    state = read_version(root, "v0.1")
    for description in ("another", "a third", "one of the user's own"):
        export_version(
            root,
            config={k: v for k, v in state.config.items() if k != "files"},
            weights=state.weights,
            entry=TrackerEntryFields(description, 1.0, 1.0),
        )
    commands = starting_with("python -m team5.registry")
    assert commands
    for words in commands:
        place = ["--folder" if words[0] == "selftest" else "--root", str(root)]
        done = subprocess.run(
            [sys.executable, "-m", "team5.registry", *words, *place],
            cwd=REPOSITORY, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = [words[0] for words in starting_with("make")]
    assert targets
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, flags=re.MULTILINE), target


def test_files_it_points_to_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text(encoding="utf-8"))
    assert links
    missing = [link for link in links if not (REPOSITORY / link).exists()]
    if missing and not (REPOSITORY / "checkpoints" / "v0.1").is_dir():
        missing = [link for link in missing if not link.startswith("checkpoints/")]
    assert missing == []


def write_answers() -> None:
    """Write the answers of the README anew."""
    text = README.read_text(encoding="utf-8")
    for block in reversed(BLOCKS):
        if block.answer is not None and is_runnable(block):
            start, end = block.answer_span
            text = text[:start] + run_block(block) + text[end:]
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_answers()
