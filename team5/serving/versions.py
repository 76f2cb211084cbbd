"""The versions of the registry as GET /versions shows them."""

from __future__ import annotations

from typing import Any

from team5.registry.export import resolve_version
from team5.registry.tracker import Tracker
from team5.registry.tracker_format import TrackerData, TrackerEntry
from team5.serving.messages import Loaded
from team5.serving.settings import Settings


def read_versions(settings: Settings, current: Loaded | None) -> dict[str, Any]:
    """Return all versions that the tracker names.

    Raises
    ------
    TrackerError
        If the tracker is not valid.
    """
    data = Tracker(settings.checkpoints_root).read()
    return {
        "latest": data.latest,
        "serving": None if current is None else current.version,
        "versions": [_row(data, entry, current) for entry in data.entries],
    }


def read_entry(settings: Settings, current: Loaded | None, version: str) -> dict[str, Any]:
    """Return one version, by its name or an alias.

    Raises
    ------
    VersionError, VersionNotFoundError, TrackerError
    """
    name = resolve_version(settings.checkpoints_root, version)
    data = Tracker(settings.checkpoints_root).read()
    entry = data.entry(name) or TrackerEntry(name, "", "", {}, {})
    return _row(data, entry, current)


def _row(data: TrackerData, entry: TrackerEntry, current: Loaded | None) -> dict[str, Any]:
    return {
        "version": entry.version,
        "date": entry.date,
        "description": entry.description,
        "performance": dict(entry.performance),
        "is_latest": entry.version == data.latest,
        "is_serving": current is not None and entry.version == current.version,
        "aliases": sorted(name for name, of in data.aliases.items() if of == entry.version),
        "sha256": entry.sha256,
    }
