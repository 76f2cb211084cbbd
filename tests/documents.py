"""Code blocks of Markdown pages, run as a reader would run them.

A ``text`` block behind a ``bash`` or ``python`` block is what that block prints. A block with a
``title="PATH"`` is a file of that name, a ``diff`` block a change to one; ``<!-- not run: WHY -->``
in front of a block says why it is only looked at.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Answers are equal if their words are, and their numbers to this, absolute or relative: sums in
# float32 depend on the machine.
TOLERANCE = 0.02
SERVED = "http://127.0.0.1:8000"
_NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?")
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n+)?"
    r'^```(?P<language>bash|python|yaml|diff|json)(?: title="(?P<title>[^"]+)")?\n'
    r"(?P<code>.*?)^```\n(?:\n?```text\n(?P<answer>.*?)^```\n)?",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code, the line it begins at, and the answer that follows it, if one does."""

    page: str
    language: str
    code: str
    line: int
    answer: str | None
    answer_span: tuple[int, int]
    title: str | None = None
    not_run: str | None = None

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a bash block, without comments; those over several lines in one."""
        joined = re.sub(r"\\\n\s*", "", self.code)
        return [line for line in joined.splitlines() if line.strip() and line[0] != "#"]


def read_blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            path.name,
            found["language"],
            found["code"],
            text.count("\n", 0, found.start("language")) + 1,
            found["answer"],
            found.span("answer"),
            found["title"],
            found["why"],
        )
        for found in _BLOCK.finditer(text)
    ]


@contextmanager
def addressed(code: str, folder: Path) -> Iterator[str]:
    """Give code with the address of a server that runs, if it asks one."""
    if SERVED not in code:
        yield code
        return
    command = [sys.executable, "serve.py", "port=0", "device=cpu"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            found = re.search(r"on (http://\S+)", server.stderr.readline())
            assert found, "serve.py has not started"
            yield code.replace(SERVED, found[1])
        finally:
            server.terminate()
            server.communicate()


def run_code(block: Block, code: str, folder: Path = REPOSITORY, **environment: str) -> str:
    """Run code as a block of its language, in a folder, and return what it prints."""
    run = ["bash", "-ec"] if block.language == "bash" else [sys.executable, "-c"]
    with addressed(code, folder) as asked:
        done = subprocess.run(
            [*run, asked],
            cwd=folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "OMP_NUM_THREADS": "1",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{block}: {done.stderr}"
    return done.stdout


def assert_answers(block: Block, printed: str) -> None:
    """Compare what a block prints with what it is said to print, where that is said."""
    if block.answer is None:
        return
    assert _NUMBER.sub("#", printed) == _NUMBER.sub("#", block.answer), block
    numbers = [list(map(float, _NUMBER.findall(text))) for text in (printed, block.answer)]
    assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE, rel=TOLERANCE), block
