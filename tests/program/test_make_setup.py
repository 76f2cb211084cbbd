"""What `make setup` does not touch."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make_setup(clone: Path) -> str:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, clone)
    done = subprocess.run(["make", "setup"], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Making .venv" not in done.stdout
    return done.stderr


@pytest.mark.parametrize("kind", ["link", "of another clone", "of another tool"])
def test_an_environment_that_is_not_its_own_is_left_as_it_is(kind, tmp_path):
    other, clone = tmp_path / "other", tmp_path / "clone"
    clone.mkdir()
    theirs = clone / ".venv" if kind == "of another tool" else other / ".venv"
    (theirs / "bin").mkdir(parents=True)
    (theirs / "bin" / "python").write_text("of another tool")
    if kind != "of another tool":
        (theirs / ".setup-done").write_text(str(other))
    if kind == "link":
        (clone / ".venv").symlink_to(theirs)
    elif kind == "of another clone":
        shutil.copytree(theirs, clone / ".venv")
    before = sorted(theirs.rglob("*"))
    said = make_setup(clone)
    assert "it is left as it is" in said
    assert "mv .venv ELSEWHERE" in said
    assert sorted(theirs.rglob("*")) == before
    assert (clone / ".venv" / "bin" / "python").read_text() == "of another tool"
