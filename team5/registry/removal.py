"""Deletion of versions: one by name, or all old ones."""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from team5.errors import ConfigError, StorageError, Team5Error, VersionError
from team5.registry.integrity import CONFIG_NAME
from team5.registry.staging import STAGING_PREFIX, present, registry_lock, write_tracker
from team5.registry.tracker import unknown_version
from team5.registry.tracker_format import TrackerData
from team5.registry.versions import Version
from team5.runtime.storage import flush_folder, is_being_read


@dataclass(frozen=True, slots=True)
class Judged:
    """The decision of gc about one version: ``kept_because`` is None if it is deleted."""

    version: Version
    n_bytes: int
    kept_because: str | None


def delete_version(root: str | Path, version: str) -> int:
    """Delete a version, its entry first, and return the number of bytes freed.

    Its name is never reused.

    Raises
    ------
    VersionError, VersionNotFoundError
        If it is malformed, missing, latest, or has an alias.
    StorageError
        If it is being read, or the folder cannot be written.
    TrackerError
        If the tracker is not valid; it is left untouched.
    """
    root = Path(root)
    parsed = Version.parse(version)
    with registry_lock(root) as data:
        existing = present(root, data)
        if parsed not in existing:
            raise unknown_version(version, tuple(sorted(existing)), f"{root}/")
        reason = _reason_to_keep(root, data, parsed)
        if reason is not None:
            raise reason.kind(f"{root}/{parsed} stays: it {reason.text}. {reason.remedy}")
        return _delete(root, data, parsed)[1]


def collect_garbage(root: str | Path, keep: int, *, dry_run: bool = True) -> list[Judged]:
    """Delete all but the newest versions, by number; never latest, an alias, or one being read.

    Parameters
    ----------
    root : path
        The registry.
    keep : int
        How many of the newest always stay.
    dry_run : bool
        Only report what would be deleted.

    Returns
    -------
    list of Judged
        All versions, the oldest first.

    Raises
    ------
    ConfigError
        If ``keep`` is negative.
    TrackerError, StorageError
        As :func:`delete_version`.
    """
    if keep < 0:
        raise ConfigError(f"--keep {keep}: give 0 or more.")
    root = Path(root)
    judged = []
    with registry_lock(root) as data:
        versions = sorted(present(root, data))
        usable = [version for version in versions if (root / str(version) / CONFIG_NAME).is_file()]
        newest = set(usable[len(usable) - keep :]) if keep < len(usable) else set(usable)
        for version in versions:
            reason = None if version in newest else _reason_to_keep(root, data, version)
            text = f"is among the newest {keep}" if version in newest else reason and reason.text
            judged.append(Judged(version, folder_size(root / str(version)), text))
            if text is None and not dry_run:
                data, _ = _delete(root, data, version)
    return judged


def folder_size(folder: Path) -> int:
    """Return the bytes of a version's files; 0 where there is no folder."""
    if not folder.is_dir():
        return 0
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


class _Reason(NamedTuple):
    """Why a version stays, what to do, and the error class for an attempt to delete it."""

    text: str
    remedy: str
    kind: type[Team5Error] = VersionError


def _reason_to_keep(root: Path, data: TrackerData, version: Version) -> _Reason | None:
    if data.latest == str(version):
        return _Reason("is latest", "Promote another version first.")
    names = [name for name, target in data.aliases.items() if target == str(version)]
    if names:
        text = f"has the alias {', '.join(sorted(names))}"
        return _Reason(text, "Give the alias to another version first.")
    config = root / str(version) / CONFIG_NAME
    if config.is_file() and is_being_read(config):
        return _Reason("is being read", "Try again in a moment.", StorageError)
    return None


def _delete(root: Path, data: TrackerData, version: Version) -> tuple[TrackerData, int]:
    folder = root / str(version)
    n_bytes = folder_size(folder)
    # The tracker first: it must never name a missing version.
    data = data.without_entry(version)
    write_tracker(root, data)
    if folder.is_symlink():  # what it points to is not the registry's
        folder.unlink()
    elif folder.exists():
        hidden = root / f"{STAGING_PREFIX}deleted-{secrets.token_hex(4)}"
        folder.rename(hidden)
        flush_folder(root)
        shutil.rmtree(hidden, ignore_errors=True)  # leftovers are removed at the next change
    return data, n_bytes
