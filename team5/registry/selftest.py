"""Durability tests for users: exports killed at random moments, and several writers at once.

Real processes work on a real, temporary folder; the first failure ends the test with an error.
"""

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from team5.errors import ConfigError, StorageError
from team5.registry.integrity import verify_folder
from team5.registry.staging import STAGING_PREFIX
from team5.registry.tracker import Tracker, TrackerEntryFields
from team5.registry.versions import Version

_MAX_DELAY_S = 0.08  # a writer is killed within this time


def selftest(
    folder: str | Path | None = None,
    *,
    n_kills: int = 40,
    n_writers: int = 8,
    n_updates: int = 25,
    seed: int = 0,
) -> Iterator[str]:
    """Run the tests and yield the result of each.

    Parameters
    ----------
    folder : path, optional
        On the disk to be tested; a temporary folder in it is used and removed. The system's by
        default.
    n_kills : int
        Half of them hit exports, half tracker updates.
    n_writers, n_updates : int
        Concurrent processes, and updates of each.

    Raises
    ------
    StorageError
        If a guarantee does not hold on this disk; says which.
    """
    if not hasattr(os, "fork"):
        raise ConfigError("selftest needs processes that fork; this system has none.")
    with tempfile.TemporaryDirectory(prefix="team5-selftest-", dir=folder) as name:
        started = time.monotonic()
        for kind, write in (("export", _export_for_ever), ("tracker update", _update_for_ever)):
            n = n_kills // 2
            n_versions = _killed(Path(name) / kind.replace(" ", "-"), write, n, seed)
            yield (
                f"{n} kills (SIGKILL) at random moments of {kind}: the tracker was valid every "
                f"time, all {n_versions} versions it names load, nothing was left half done"
            )
        total = _many_writers(Path(name) / "writers", n_writers, n_updates)
        yield f"{n_writers} processes with {n_updates} updates each: {total} entries"
        n_versions = _exports_at_once(Path(name) / "at-once", n_writers)
        yield f"{n_writers} exports at once: {n_versions} versions, each whole"
        waited = _killed_holder(Path(name) / "holder")
        yield f"a killed lock holder held up the next writer for {waited:.1f} s"
        yield f"all promises hold on this disk ({time.monotonic() - started:.0f} s)"


def _export(root: Path, version: str | None = None) -> str:
    import torch

    from team5.registry.export import export_version

    return export_version(
        root,
        version=version,
        config={"number": 1},
        weights={"a": torch.ones(2_000)},
        entry=TrackerEntryFields("selftest", 0.5, 0.5),
        set_as_latest=True,
        replace=version is not None,
    )


def _export_for_ever(root: Path, announce: Callable[[], object]) -> None:
    version = None
    while True:
        version = _export(root, version)
        announce()


def _update_for_ever(root: Path, announce: Callable[[], object]) -> None:
    _export(root)
    tracker = Tracker(root)
    while True:
        tracker.add("v0.1", "updated", update=True, set_as_latest=True)
        announce()


def _killed(root: Path, write: Callable[..., None], n_kills: int, seed: int) -> int:
    moments = random.Random(seed)
    for _ in range(n_kills):
        child = _start_and_await(write, root)
        time.sleep(moments.uniform(0, _MAX_DELAY_S))
        _kill(child)
        _check_all_load(root)
    Tracker(root).set_latest(_export(root))  # cleans up after the last kill
    staged = [path.name for path in root.glob(f"{STAGING_PREFIX}*")]
    folders = {Version.parse(path.name) for path in root.iterdir() if Version.is_version(path.name)}
    versions = Tracker(root).read().versions
    if staged or folders != set(versions):
        raise StorageError(
            f"{root}: left behind after a kill: {staged or 'nothing staged'}; folders "
            f"{sorted(map(str, folders))}, in the tracker {sorted(map(str, versions))}."
        )
    return len(versions)


def _many_writers(root: Path, n_writers: int, n_updates: int) -> int:
    def write(writer: int) -> None:
        for number in range(n_updates):
            Tracker(root).add(f"v{writer}.{number}", "selftest", 0.5, 0.5)

    _run_at_once(root, [(write, i) for i in range(n_writers)])
    n_entries = len(Tracker(root).read().entries)
    if n_entries != n_writers * n_updates:
        raise StorageError(f"{root}: {n_entries} entries of {n_writers * n_updates} stand.")
    return n_entries


def _exports_at_once(root: Path, n_writers: int) -> int:
    _run_at_once(root, [(_export, root)] * n_writers)
    n_versions = _check_all_load(root)
    if n_versions != n_writers:
        raise StorageError(f"{root}: {n_writers} exports gave {n_versions} versions.")
    return n_versions


def _killed_holder(root: Path) -> float:
    from team5.registry.staging import registry_lock

    def hold(root: Path, announce: Callable[[], object]) -> None:
        with registry_lock(root):
            announce()
            signal.pause()

    _kill(_start_and_await(hold, root))
    started = time.monotonic()
    Tracker(root).add("v0.1", "after the kill", 0.5, 0.5)
    return time.monotonic() - started


def _check_all_load(root: Path) -> int:
    """Verify and read all versions of the tracker; return how many there are."""
    from team5.registry.export import read_version

    entries = Tracker(root).read().entries
    for entry in entries:
        verify_folder(root / entry.version, entry.sha256)
        read_version(root, entry.version)
    return len({entry.version for entry in entries})


def _start_and_await(act: Callable[..., None], root: Path) -> BaseProcess:
    """Start a process; return once it has announced that it is at work, or has ended."""
    context = multiprocessing.get_context("fork")
    at_work = context.Event()
    child = context.Process(target=act, args=(root, at_work.set))
    child.start()
    while child.is_alive() and not at_work.wait(0.1):
        pass
    return child


def _kill(child: BaseProcess) -> None:
    child.kill()
    child.join()


def _run_at_once(root: Path, calls: Sequence[tuple[Callable[..., object], Any]]) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=act, args=(argument,)) for act, argument in calls]
    for child in children:
        child.start()
    for child in children:
        child.join()
    failed = sum(child.exitcode != 0 for child in children)
    if failed:
        raise StorageError(f"{root}: {failed} of {len(children)} writers failed.")
