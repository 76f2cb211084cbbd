"""The server's access to the registry, in a separate thread with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Never, TypeVar

from team5.errors import StorageError
from team5.registry.export import resolve_version
from team5.registry.tracker import Tracker
from team5.registry.tracker_format import TrackerData, TrackerEntry
from team5.runtime.storage import is_remote
from team5.serving.backend import Backend
from team5.serving.background import BackgroundThread
from team5.serving.messages import Loaded
from team5.serving.settings import Settings

T = TypeVar("T")

# A refused version may be complete by now.
_RETRY_S = 10.0


class Registry:
    """Reads the versions in the tracker."""

    def __init__(self, settings: Settings) -> None:
        self._tracker = Tracker(settings.checkpoints_root)
        self._limit_s = settings.limits.registry_s
        self._thread = BackgroundThread()

    async def list_versions(self, current: Loaded | None) -> dict[str, Any]:
        """Return all versions in the format of GET /versions."""
        data = await self._read(self._tracker.read)
        return {
            "latest": data.latest,
            "serving": None if current is None else current.version,
            "versions": [_row(data, entry, current) for entry in data.entries],
        }

    async def read_version(self, version: str, current: Loaded | None) -> dict[str, Any]:
        """Return one version, by its name or an alias."""

        def read() -> dict[str, Any]:
            name = resolve_version(self._tracker.root, version)
            data = self._tracker.read()
            entry = data.entry(name) or TrackerEntry(name, "", "", {}, {})
            return _row(data, entry, current)

        return await self._read(read)

    async def watch(self, settings: Settings, backend: Backend) -> Never:
        """Have the backend check the versions whenever the tracker changes."""
        seen, waited_s = await self._signature(), 0.0
        while True:
            await asyncio.sleep(settings.poll_s)
            backend.end_if_stuck()
            waited_s += settings.poll_s
            signature = await self._signature()
            if signature != seen or (backend.refused is not None and waited_s >= _RETRY_S):
                seen, waited_s = signature, 0.0
                backend.renew()

    async def _signature(self) -> object:
        """Return what differs when the tracker has been written anew, or cannot be reached."""

        def read() -> object:
            try:
                if is_remote(self._tracker.root):
                    return self._tracker.path.read_bytes()
                state = self._tracker.path.stat()
            except OSError:
                return None
            return state.st_mtime_ns, state.st_size, state.st_ino

        try:
            return await self._read(read)
        except StorageError:
            return None

    async def _read(self, function: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._limit_s):
                result: T = await asyncio.wrap_future(self._thread.submit(function))
                return result
        except TimeoutError as error:
            raise StorageError(
                f"the folder of versions has not answered within {self._limit_s:g} s. Try again "
                "later."
            ) from error


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
