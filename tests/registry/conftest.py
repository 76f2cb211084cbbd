"""A small version to export, and where there is no room or no right to."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from team5.registry.export import export_version
from team5.registry.tracker import TrackerEntryFields


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def export(root: Path) -> Callable[..., str]:
    """Export a version whose config and weights hold the same number."""
    import torch

    def export_number(number: int = 1, **arguments) -> str:
        defaults = {
            "config": {"number": number},
            "weights": {"layer.weight": torch.full((3, 4), float(number))},
            "entry": TrackerEntryFields("A test", accuracy=0.8, f1_score=0.7, date="2024-05-01"),
        }
        return export_version(root, **{**defaults, **arguments})

    return export_number


@pytest.fixture
def snapshot(root: Path) -> Callable[[], dict[str, bytes]]:
    """Give the content of every file in the registry but the lock."""

    def read() -> dict[str, bytes]:
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.suffix != ".lock"
        }

    return read


def _mount(*arguments: str | Path) -> None:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount program here")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user cannot mount: {done.stderr.strip()}")


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """Let the registry lie on a disk of one megabyte."""
    root.mkdir()
    _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", root)
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", root], check=True)


@pytest.fixture
def make_unwritable(root: Path) -> Iterator[Callable[[], None]]:
    """Take the right to write into the registry, from root as well."""
    undo: list[Callable[[], object]] = []

    def act() -> None:
        if os.geteuid() != 0:
            root.chmod(0o555)
            undo.append(lambda: root.chmod(0o755))
            return
        _mount("--bind", root, root)
        undo.append(lambda: subprocess.run(["umount", "-l", root], check=True))
        _mount("-o", "remount,ro,bind", root)

    yield act
    for step in undo:
        step()
