"""``checkpoint_tracker.json``: read, add, update, under a lock."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from team5.errors import ConfigError, VersionError, VersionNotFoundError
from team5.registry.integrity import CONFIG_NAME
from team5.registry.staging import read_tracker, registry_lock, write_tracker
from team5.registry.tracker_format import TrackerData, TrackerEntry, TrackerEntryFields
from team5.registry.versions import Version, closest
from team5.runtime.places import TRACKER_NAME
from team5.runtime.storage import as_path, sha256

__all__ = ["Tracker", "TrackerData", "TrackerEntry", "TrackerEntryFields", "unknown_version"]

_MAX_NAMED = 8  # versions that an error lists


class Tracker:
    """The tracker of one registry.

    Every change is atomic and made under a lock, so that of two concurrent changes neither is
    lost. Reading takes no lock.

    Parameters
    ----------
    root : path
        The folder of the versions, "checkpoints" by default everywhere.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = as_path(root)

    @property
    def path(self) -> Path:
        """The tracker's path."""
        return self.root / TRACKER_NAME

    def read(self) -> TrackerData:
        """Return the tracker's present content; empty if there is no file.

        Raises
        ------
        TrackerError
            If the file is not valid; names line and column.
        """
        return read_tracker(self.root)

    def latest(self) -> str | None:
        """Return the default version, None if there is none yet."""
        return self.read().latest

    def add(
        self,
        version: str,
        description: str | None = None,
        accuracy: float | None = None,
        f1_score: float | None = None,
        date: str | None = None,
        set_as_latest: bool = False,
        update: bool = False,
        extra_performance: Mapping[str, float] | None = None,
        extra: Mapping[str, Any] | None = None,
        replace_figures: bool = False,
    ) -> TrackerData:
        """Record a version, or change its entry.

        Parameters
        ----------
        version : str
            ``v<major>.<minor>``.
        description, accuracy, f1_score : str, float, float
            Required for a new entry. In an update, None keeps the old value.
        date : str, optional
            ``YYYY-MM-DD``. None means today for a new entry and keeps the date in an update.
        set_as_latest : bool
            Move ``latest`` to this version.
        update : bool
            Change an existing entry rather than add one.
        extra_performance : dict, optional
            Further metrics, such as {"hit_rate@1": 0.65}.
        extra : dict, optional
            Further keys of the entry.
        replace_figures : bool
            Drop other metrics of the entry, because they were measured on other spectra.

        Returns
        -------
        TrackerData

        Raises
        ------
        ConfigError
            If a value is missing, out of range or malformed.
        VersionError
            If the version is malformed, or has an entry and ``update`` is False.
        VersionNotFoundError
            If ``update`` is True and there is no entry.
        TrackerError, StorageError
            If the tracker is not valid, cannot be written; it is left untouched.
        """
        parsed = Version.parse(version)
        if not update:
            needed = {"description": description, "accuracy": accuracy, "f1_score": f1_score}
            missing = [name for name, value in needed.items() if value is None]
            if missing:
                raise ConfigError(
                    f"a new entry needs {', '.join(missing)}. Give every one, or change an entry "
                    "there is with --update."
                )
            date = date if date is not None else dt.date.today().isoformat()
        changes = TrackerEntryFields(
            description, accuracy, f1_score, date, extra_performance or {}, extra or {}
        ).to_entry()

        with registry_lock(self.root) as data:
            entry = data.entry(parsed)
            if entry is not None and not update:
                raise VersionError(
                    f"{self.path} has an entry of {parsed} already. "
                    "Update it (--update), or choose another version."
                )
            if entry is None and update:
                raise unknown_version(version, data.versions, str(self.path))
            config = self.root / str(parsed) / CONFIG_NAME
            if (entry is None or entry.sha256 is None) and config.is_file():
                changes.setdefault("sha256", sha256(config))
            data = data.with_entry(parsed, changes, replace_figures=replace_figures)
            if set_as_latest:
                data = data.with_latest(parsed, "set with its entry")
            write_tracker(self.root, data)
        return data

    def set_latest(
        self, version: str, reason: str = "promoted", judged: Mapping[str, Any] | None = None
    ) -> None:
        """Move ``latest`` to a version that has an entry, and record the move.

        Parameters
        ----------
        version : str
            ``v<major>.<minor>``.
        reason : str
            Why, for people who read the history.
        judged : dict, optional
            Comparison with the present latest, a `schemas.Judged`; recorded with the move.

        Raises
        ------
        VersionError, VersionNotFoundError
            If the version is malformed or has no entry, or another one has become latest since it
            was judged.
        TrackerError, StorageError
            If the tracker is not valid, cannot be written; it is left untouched.
        """
        parsed = Version.parse(version)
        with registry_lock(self.root) as data:
            if data.entry(parsed) is None:
                raise unknown_version(version, data.versions, str(self.path))
            if judged is not None and data.latest not in (None, judged["compared_with"]):
                raise VersionError(
                    f"latest has become {data.latest} while {version} was compared with "
                    f"{judged['compared_with']}. Promote {version} once more."
                )
            write_tracker(self.root, data.with_latest(parsed, reason, judged=judged))

    def rollback(self) -> str:
        """Move ``latest`` back to the version that was latest before, and return it.

        Raises
        ------
        VersionNotFoundError
            If no earlier latest is known, or none of them exists any more.
        TrackerError, StorageError
            If the tracker is not valid, cannot be written; it is left untouched.
        """
        with registry_lock(self.root) as data:
            target = data.rollback_target()
            if target is None:
                raise VersionNotFoundError(
                    f"{self.path} knows of no version that was latest before "
                    f"{data.latest or 'now'} and is still there. Promote one by its name."
                )
            write_tracker(self.root, data.rolled_back(target))
        return target

    def set_alias(self, name: str, version: str | None) -> None:
        """Give a version an alias, which works wherever a version does; None removes it.

        Raises
        ------
        ConfigError
            If the name is not a valid alias, or is to be removed and does not exist.
        VersionError, VersionNotFoundError
            If the version is malformed or has no entry.
        TrackerError, StorageError
            If the tracker is not valid, cannot be written; it is left untouched.
        """
        with registry_lock(self.root) as data:
            if version is not None:
                parsed = Version.parse(version)
                if data.entry(parsed) is None:
                    raise unknown_version(version, data.versions, str(self.path))
            elif name not in data.aliases:
                names = ", ".join(sorted(data.aliases)) or "none"
                raise ConfigError(f"no alias {name!r} in {self.path}; there are: {names}.")
            write_tracker(self.root, data.with_alias(name, version))


def unknown_version(
    version: str, existing: tuple[Version, ...], where: str
) -> VersionNotFoundError:
    """Return the error for a missing version; lists the existing ones, closest first."""
    if not existing:
        return VersionNotFoundError(
            f'no version "{version}" in {where}; it holds none. Train one, or name another folder.'
        )
    return VersionNotFoundError(
        f'no version "{version}" in {where}; closest: {named_versions(version, existing)}. '
        "Pass one of these."
    )


def named_versions(version: str, existing: tuple[Version, ...]) -> str:
    """Return the existing versions as text, closest first."""
    names = [str(each) for each in closest(version, existing)]
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
