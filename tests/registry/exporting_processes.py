"""Real processes that export, are killed, and read, for test_export_processes.py.

Run as ``python exporting_processes.py <scenario> <registry>``. Each process is a fork of this one,
which has torch loaded already and no threads.
"""

import contextlib
import itertools
import os
import random
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch

from team5.errors import CheckpointFileNotFoundError, StorageError, VersionNotFoundError
from team5.registry import staging
from team5.registry.export import export_version, read_version
from team5.registry.integrity import verify_folder
from team5.registry.removal import collect_garbage, delete_version
from team5.registry.tracker import Tracker, TrackerEntryFields
from team5.registry.versions import Version
from team5.runtime import storage

WRITING_FILES = {staging.__file__, storage.__file__}


def export(root: Path, number: int, version: str | None = None, *, as_latest: bool = True) -> str:
    """Export a version whose config, weights and tracker entry hold the same number."""
    return export_version(
        root,
        version=version,
        config={"number": number},
        weights={"a": torch.full((20_000,), float(number))},
        optimizer={"number": number},
        entry=TrackerEntryFields(str(number), 0.5, 0.5, extra_performance={"number": number}),
        set_as_latest=as_latest,
        replace=version is not None,
    )


def fork(act: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:  # a child never returns to the scenario; one that raised prints no traceback twice
            os._exit(0 if sys.exc_info()[0] is None else 1)
    return child


def check_reader_sees_whole_versions(root: Path) -> None:
    """Check what a reader finds, before anything else touches the registry."""
    data = Tracker(root).read()
    for entry in data.entries:
        stored = read_version(root, entry.version)
        assert torch.all(stored.weights["a"] == stored.config["number"]), entry
    if data.latest is not None:
        read_version(root)
    for folder in root.iterdir():
        if Version.is_version(folder.name):
            verify_folder(folder)


def check_next_export_mends(root: Path, n_before: int) -> None:
    """Check that all is as if the killed export had ended, or had never begun."""
    export(root, 99)
    data = Tracker(root).read()
    assert len(data.entries) in (n_before + 1, n_before + 2), data
    folders = {path.name for path in root.iterdir() if Version.is_version(path.name)}
    assert folders == {str(version) for version in data.versions}, (folders, data)
    for entry in data.entries:
        stored = read_version(root, entry.version)
        assert entry.performance["number"] == stored.config["number"], entry
        assert entry.sha256 is not None
        assert entry.sha256.startswith(stored.version_hash), entry
    assert not list(root.glob(".staging-*"))


def killed_at_every_line(root: Path) -> None:
    """Kill an export before each line of the code that writes, in each way it can go."""
    killed_at_lines(root, stride=1)


def killed_at_some_lines(root: Path) -> None:
    """Do the same for every eighth line, which takes an eighth of the time."""
    killed_at_lines(root, stride=8)


def killed_at_lines(root: Path, stride: int) -> None:
    os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote
    swap = staging.swap_folders
    for version, way in ((None, swap), ("v0.1", swap), ("v0.1", no_swap)):
        staging.swap_folders = way
        n_lines = 0
        while killed_at_line(root, version, n_lines):
            n_lines += stride
        assert n_lines > 50, n_lines


def no_swap(first: Path, second: Path) -> bool:
    return False


def killed_at_line(root: Path, version: str | None, step: int) -> bool:
    export(root, 1)
    remaining = step

    def count(frame: FrameType, event: str, argument: object) -> Callable | None:
        nonlocal remaining
        if frame.f_code.co_filename not in WRITING_FILES:
            return None
        if event == "line":
            remaining -= 1
            if remaining < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    def act() -> None:
        sys.settrace(count)
        export(root, 2, version)

    _, status = os.waitpid(fork(act), 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    check_reader_sees_whole_versions(root)
    check_next_export_mends(root, 1)
    shutil.rmtree(root)
    return os.WIFSIGNALED(status)


def killed_at_random_moments(root: Path) -> None:
    """Kill exporting processes from outside, whatever they are at."""
    root.mkdir()
    moments = random.Random(7)
    for n_kills in range(12):
        n_before = len(Tracker(root).read().entries)
        reading, writing = os.pipe()

        def act(writing: int = writing) -> None:
            name = None  # one version for each process, as a training run has
            for number in itertools.count(1):
                name = export(root, number, name)
                os.write(writing, b".")

        child = fork(act)
        os.close(writing)
        if n_kills % 5:
            os.read(reading, 1)  # its version is there and is being replaced
        # Nothing to wait for: the moment is to be any.
        select.select([], [], [], moments.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        check_reader_sees_whole_versions(root)
        check_next_export_mends(root, n_before)


def read_while_replaced(root: Path) -> None:
    """Read a version that another process replaces without pause."""
    export(root, 0)

    def act() -> None:
        for number in itertools.count(1):
            export(root, number, "v0.1")

    child = fork(act)
    try:
        seen = set()
        while len(seen) < 20:
            stored = read_version(root)
            number = stored.config["number"]
            assert torch.all(stored.weights["a"] == number)
            seen.add(number)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def read_while_deleted(root: Path) -> None:
    """Read versions that another process makes and deletes without pause."""
    export(root, 0)  # is latest to the end, as the others are not

    def act() -> None:
        for number in itertools.count(1):
            name = export(root, number, as_latest=False)
            with contextlib.suppress(StorageError):  # it is being read
                delete_version(root, name)
            collect_garbage(root, 1, dry_run=False)

    child = fork(act)
    try:
        n_read = n_gone = 0
        while min(n_read, n_gone) < 30:
            newest = str(Tracker(root).read().entries[-1].version)
            try:
                stored = read_version(root, newest)
            except (VersionNotFoundError, CheckpointFileNotFoundError):
                n_gone += 1
            else:
                assert torch.all(stored.weights["a"] == stored.config["number"])
                n_read += newest != "v0.1"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def export_at_once(root: Path) -> None:
    """Export from four processes at once, each a version of its own and replaced once."""

    def act() -> None:
        for number in range(5):
            name = export(root, os.getpid())
            export(root, number, name)

    children = [fork(act) for _ in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    data = Tracker(root).read()
    assert sorted(data.versions) == [Version(0, minor) for minor in range(1, 21)]
    check_reader_sees_whole_versions(root)
    assert not list(root.glob(".staging-*"))


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        killed_at_every_line,
        killed_at_some_lines,
        killed_at_random_moments,
        read_while_replaced,
        read_while_deleted,
        export_at_once,
    )
}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
