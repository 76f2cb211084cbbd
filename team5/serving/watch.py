"""Notices that the tracker names another latest version, and that the worker is stuck."""

from __future__ import annotations

import asyncio
from typing import Never

from team5.registry.tracker import Tracker
from team5.runtime.storage import is_remote
from team5.serving.backend import Backend
from team5.serving.settings import Settings

# A version that was refused may be whole by now.
_RETRY_S = 10.0


async def watch(settings: Settings, backend: Backend) -> Never:
    """Have the backend look at the versions whenever the tracker has changed."""
    tracker = Tracker(settings.checkpoints_root)
    seen = await asyncio.to_thread(_signature, tracker)
    waited_s = 0.0
    while True:
        await asyncio.sleep(settings.poll_s)
        backend.end_if_stuck()
        waited_s += settings.poll_s
        found = await asyncio.to_thread(_signature, tracker)
        if found != seen or (backend.refused is not None and waited_s >= _RETRY_S):
            seen, waited_s = found, 0.0
            backend.renew()


def _signature(tracker: Tracker) -> object:
    """Return what differs when the tracker has been written anew."""
    try:
        if is_remote(tracker.root):
            return tracker.path.read_bytes()
        found = tracker.path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
