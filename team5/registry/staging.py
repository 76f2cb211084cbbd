"""Atomic change of a version's folder together with its tracker entry.

Everything is written to a hidden folder in the registry, ``.staging-<version>-<random>``, first the
files, then the new tracker. Two renames follow: the folder's, then the tracker's, which
commits the change. Until then the staged tracker shows what was in progress:

- an error undoes the folder's rename;
- after a crash the next program to take the lock either finishes the change, if the folder was in
  place already, or removes the staged files;
- a reader between the two renames finds the checksum of the new folder in the staged tracker.

A version is replaced by swapping the two folders atomically. Where the system cannot do that,
the old folder is moved aside first, and for a moment there is none; a crash in that moment is
repaired by the next program that takes the lock, a reader included.
"""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from team5.errors import StorageError, TrackerError, VersionNotFoundError
from team5.registry.integrity import CONFIG_NAME
from team5.registry.tracker_format import TrackerData
from team5.registry.versions import Version
from team5.runtime.places import RELEASED_NAME, TRACKER_NAME
from team5.runtime.storage import (
    flush_folder,
    is_remote,
    put_in_place,
    sha256,
    storage_errors,
    swap_folders,
    write_flushed,
)

LOCK_TIMEOUT_S = 120.0

_LOCK_NAME = f"{TRACKER_NAME}.lock"
STAGING_PREFIX = ".staging-"
_VERSION_IN_NAME = re.compile(rf"{re.escape(STAGING_PREFIX)}(v[0-9.]+)-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Staging:
    """One change in progress; ``version`` is None where only the tracker changes."""

    path: Path
    version: Version | None

    @property
    def root(self) -> Path:
        """The registry."""
        return self.path.parent

    @property
    def new(self) -> Path:
        """The version's new folder; after a swap, the old one."""
        return self.path / "version"

    @property
    def previous(self) -> Path:
        """The old folder, moved aside where folders cannot be swapped."""
        return self.path / "previous"

    @property
    def tracker(self) -> Path:
        """The new tracker; moved away once the change is committed."""
        return self.path / TRACKER_NAME

    @property
    def target(self) -> Path:
        """Where the version's folder belongs."""
        return self.root / str(self.version)

    def commit(self, data: TrackerData) -> None:
        """Move the staged folder, if there is one, and then the tracker into place."""
        write_flushed(self.tracker, data.to_json())
        if self.version is not None:
            flush_folder(self.new)
        flush_folder(self.path)
        if self.version is not None:
            self._place_folder()
            flush_folder(self.root)
        put_tracker_in_place(self.tracker, self.root)

    def undo(self) -> None:
        """Move the folder back if the change was not committed."""
        if self.version is None or not self.tracker.exists():
            return
        if self.previous.exists():
            if self.target.exists():
                self.target.rename(self.new)
            self.previous.rename(self.target)
        elif self.is_in_place():
            if self.new.exists():
                swap_folders(self.new, self.target)
            else:
                self.target.rename(self.new)

    def finish(self, data: TrackerData) -> TrackerData:
        """Complete a change that a crash interrupted, if its folder is in place.

        Returns
        -------
        TrackerData
            ``data``, or the tracker's new content.
        """
        if self.version is None:
            return data
        if self.previous.exists() and not self.target.exists():
            self.previous.rename(self.target)
            flush_folder(self.root)
        if not self.is_in_place():
            return data
        staged = TrackerData.parse(self.tracker.read_bytes(), str(self.tracker))
        entry = next(raw for raw in staged.raw["checkpoints"] if raw["version"] == self.target.name)
        # The tracker may have been edited by hand since; only this change is carried over to it.
        data = data.with_entry(self.version, entry, replace_figures=True)
        if staged.latest == self.target.name:
            data = data.with_latest(self.version, "exported")
        write_tracker(self.root, data)
        self.tracker.unlink()
        return data

    def is_in_place(self) -> bool:
        """Tell whether the folder is in place while the tracker does not yet say so."""
        expected = self.staged_sha256()
        config = self.target / CONFIG_NAME
        return expected is not None and config.is_file() and sha256(config) == expected

    def staged_sha256(self) -> str | None:
        """Return the checksum of the version in progress; None once it is committed."""
        try:
            data = TrackerData.parse(self.tracker.read_bytes(), str(self.tracker))
        except (OSError, TrackerError):  # not there, or cut off while it was written
            return None
        entry = data.entry(self.target.name)
        return None if entry is None else entry.sha256

    def _place_folder(self) -> None:
        if not self.target.exists():
            self.new.rename(self.target)
        elif not swap_folders(self.new, self.target):
            self.target.rename(self.previous)
            self.new.rename(self.target)


@contextmanager
def registry_lock(root: Path) -> Iterator[TrackerData]:
    """Lock the registry, repair an interrupted change, and yield the tracker's content.

    Raises
    ------
    StorageError
        If the registry cannot be written, or another program holds the lock for long.
    TrackerError
        If the tracker is not valid.
    """
    with locked(root):
        data = read_tracker(root)
        for staging in list(_left_behind(root)):
            data = staging.finish(data)
            shutil.rmtree(staging.path, ignore_errors=True)
        yield data


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Lock the registry without reading its tracker.

    Raises
    ------
    StorageError
        If the registry cannot be written, or another program holds the lock for long.
    """
    if is_remote(root):
        raise StorageError(
            f"{root} can only be read. Work in a folder of this machine, and copy it there."
        )
    _refuse_folder_of_one(root)
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / _LOCK_NAME, timeout=LOCK_TIMEOUT_S)
        try:
            lock_id = lock.acquire()
        except filelock.Timeout as error:
            raise StorageError(
                f"{root}: another program has held {_LOCK_NAME} for {LOCK_TIMEOUT_S:.0f} s. "
                "Wait for its export to end, or end that program."
            ) from error
        with lock_id:
            yield


@contextmanager
def stage(root: Path, version: Version | None) -> Iterator[Staging]:
    """Yield an empty hidden folder for one change, which is undone unless it was committed.

    The caller holds the lock.
    """
    name = f"{version or 'tracker'}-{secrets.token_hex(4)}"
    staging = Staging(root / f"{STAGING_PREFIX}{name}", version)
    staging.path.mkdir()
    try:
        yield staging
    finally:
        staging.undo()
        shutil.rmtree(staging.path, ignore_errors=True)


def write_tracker(root: Path, data: TrackerData) -> None:
    """Replace the tracker atomically; the caller holds the lock."""
    with stage(root, None) as staging:
        staging.commit(data)


def put_tracker_in_place(staged: Path, root: Path) -> None:
    """Move a finished tracker into place; the repository's released.json is not changed."""
    path = root / TRACKER_NAME
    if path.is_symlink() and path.readlink() == Path(RELEASED_NAME):
        staged.replace(path)
        flush_folder(root)
    else:
        put_in_place(staged, path)


def read_tracker(root: Path) -> TrackerData:
    """Return the tracker's content, merged with released versions that a `git pull` has added.

    It is empty if there is no file.

    Raises
    ------
    TrackerError
        If it is not valid or cannot be read.
    VersionNotFoundError
        If the folder is that of one version.
    """
    path = root / RELEASED_NAME
    remedy = f"It is the repository's own: git checkout -- {path}"
    released = None if is_remote(root) else _parsed(path, remedy)
    local = _parsed(root / TRACKER_NAME)  # after it, as it may be a link to it
    if local is None and released is None:
        _refuse_folder_of_one(root)
        return TrackerData()
    if local is None or released is None:
        return local or released or TrackerData()

    def checksum_of(version: str) -> str | None:
        config = root / version / CONFIG_NAME
        return sha256(config) if config.is_file() else None

    return local.with_released(released, checksum_of)


def _parsed(path: Path, remedy: str | None = None) -> TrackerData | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrackerError(
            f"{path} cannot be read ({error.strerror}). "
            f"{remedy or 'Give yourself the right to read it.'}"
        ) from error
    return TrackerData.parse(data, str(path), remedy)


def _refuse_folder_of_one(root: Path) -> None:
    if (root / CONFIG_NAME).is_file():
        raise VersionNotFoundError(
            f"{root} is the folder of one version. Give its parent: {root.parent}"
        )


def present(root: Path, data: TrackerData) -> set[Version]:
    """Return all existing versions, by folder or by entry."""
    folders = {
        Version.parse(path.name)
        for path in (root.iterdir() if root.is_dir() else ())
        if Version.is_version(path.name)
    }
    return folders | set(data.versions)


def known_sha256s(root: Path, version: Version) -> set[str] | None:
    """Return the valid checksums of a version's config.json; None if none is recorded.

    These are the tracker's and, between the two renames of an export, the staged tracker's.
    """
    # In this order a concurrent change is seen in one of the two places.
    under_way = {
        staging.staged_sha256() for staging in _left_behind(root) if staging.version == version
    }
    entry = read_tracker(root).entry(version)
    if entry is None or entry.sha256 is None:
        return None
    return {entry.sha256} | {checksum for checksum in under_way if checksum is not None}


def is_moved_aside(root: Path, version: Version) -> bool:
    """Tell whether a version's folder is in a hidden one, as a crash may have left it."""
    return any(
        staging.version == version and staging.previous.exists() for staging in _left_behind(root)
    )


def _left_behind(root: Path) -> Iterator[Staging]:
    for path in sorted(root.glob(f"{STAGING_PREFIX}*")):
        match = _VERSION_IN_NAME.fullmatch(path.name)
        is_version = match is not None and Version.is_version(match[1])
        yield Staging(path, Version.parse(match[1]) if match and is_version else None)
