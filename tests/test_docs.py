"""The pages under docs/ and CONTRIBUTING.md tell the truth: their code runs, block after block.

With other answers than shown, because the shipped version is another one, `python
tests/test_docs.py PAGE` writes them anew.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from team5.cli.run import compose_config
from tests.documents import REPOSITORY, Block, assert_answers, read_blocks, run_code

PAGES = [*sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "CONTRIBUTING.md"]
# The examples of pictures.md go on with one another: tests/viz/test_pictures.py runs them as one.
WITH_CODE = [page for page in PAGES if read_blocks(page) and page.name != "pictures.md"]
PARTS = ("team5", "configs", "checkpoints", "tests", "pyproject.toml",
         "train.py", "predict.py", "evaluate.py", "serve.py")  # fmt: skip
PROGRAMS = ("train", "predict", "evaluate", "serve")


def make_workplace(folder: Path) -> Path:
    """Return a copy of all that a reader has before them, to train and change things in."""
    for name in PARTS:
        part = REPOSITORY / name
        # With what is compiled already.
        (shutil.copytree if part.is_dir() else shutil.copy2)(part, folder / name)
    (folder / "outputs").mkdir()
    return folder


def follow(block: Block, workplace: Path) -> str:
    """Do what a block says, and return what it prints."""
    if block.title is not None:
        file = workplace / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.code, encoding="utf-8")
        return ""
    if block.language == "diff":
        done = subprocess.run(
            ["git", "apply", "-"], cwd=workplace, input=block.code, text=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(workplace.parent)},
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}: {done.stderr}"
        return ""
    if block.not_run is None and block.language in ("bash", "python"):
        return run_code(block, block.code, workplace, PYTHONPATH=str(workplace),
                        TEAM5_CACHE=str(workplace / "cache"))  # fmt: skip
    check_without_running(block)
    return ""


def check_without_running(block: Block) -> None:
    if block.language == "python":
        compile(block.code, str(block), "exec")
    if block.language != "bash":
        return
    for command in block.commands:
        words = shlex.split(command, comments=True)
        if words[:1] == ["python"] and words[1].removesuffix(".py") in PROGRAMS:
            compose_config(words[1].removesuffix(".py"), words[2:])


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_code_of_a_page_runs_and_answers_as_shown(page, tmp_path):
    if not (REPOSITORY / "checkpoints" / "v0.2").is_dir():
        pytest.skip("checkpoints/ holds no v0.2 to ask")
    workplace = make_workplace(tmp_path)
    for block in read_blocks(page):
        printed = follow(block, workplace)
        assert_answers(block, printed)


def test_what_is_not_run_says_why_and_is_known():
    blocks = [block for page in WITH_CODE for block in read_blocks(page)]
    left_out = [block for block in blocks if block.not_run is not None]
    for block in left_out:
        check_without_running(block)
        assert block.answer is None, block
    assert len(left_out) < len(blocks) / 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_a_page_points_to_are_there(page):
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", prose)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def write_answers(name: str) -> None:
    """Write the answers of a page anew."""
    (page,) = [page for page in PAGES if page.name == name]
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        workplace = make_workplace(Path(folder))
        printed = [(block, follow(block, workplace)) for block in read_blocks(page)]
    for block, answer in reversed(printed):
        if block.answer is not None:
            start, end = block.answer_span
            text = text[:start] + answer + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_answers(sys.argv[1])
