"""Loaded versions: the default one, and others by name."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

from team5.errors import CheckpointError, StorageError, Team5Error, VersionNotFoundError
from team5.inference.inference import LoadedModel, infer, load_model
from team5.inference.results import Match
from team5.registry.export import resolve_version
from team5.registry.integrity import CONFIG_NAME
from team5.runtime.storage import as_path, is_remote
from team5.serving.background import BackgroundThread

log = logging.getLogger(__name__)

Then = Callable[["LoadedModel | Team5Error"], None]
# Identity of the files a version was loaded from.
Signature = tuple[int, ...] | None


@dataclass(frozen=True)
class _Kept:
    model: LoadedModel
    signature: Signature


@dataclass(frozen=True)
class _Task:
    future: Future[Any]
    then: Callable[[Any], None]
    until: float


class ModelPool:
    """Finds and loads versions in other threads, so that loaded ones keep answering.

    All methods are for the scoring thread. At most ``max_versions`` stay loaded, the least
    recently used are dropped first; the registry has ``registry_s`` seconds to resolve a version.
    """

    def __init__(
        self,
        root: str,
        device: str,
        max_versions: int,
        allow: Sequence[str],
        registry_s: float,
    ) -> None:
        self.root = root
        self.device = device
        self.allow = allow
        self.max_versions = max_versions
        self.registry_s = registry_s
        self.current: LoadedModel | None = None
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._waiting: dict[str, list[Then]] = {}
        self._tasks: list[_Task] = []
        self._registry, self._loader = BackgroundThread(), BackgroundThread()
        self._wake_reader, self._wake_writer = os.pipe()

    @property
    def wake(self) -> int:
        """A file descriptor that can be read when something has been found or loaded."""
        return self._wake_reader

    @property
    def is_waiting(self) -> bool:
        """Whether a version is being looked for or loaded."""
        return bool(self._tasks)

    def get(self, version: str | None, then: Then) -> None:
        """Call ``then`` with a version's model or the error; at once for the default version."""
        if version is None:
            then(self.current or VersionNotFoundError("no version is loaded yet. Try again soon."))
            return

        def use(identity: tuple[str, Signature] | Team5Error) -> None:
            if isinstance(identity, Team5Error):
                then(identity)
                return
            name, signature = identity
            kept = self._kept.get(name)
            if kept is None or kept.signature != signature:
                self._load(name, then)
                return
            self._kept.move_to_end(name)
            then(kept.model)

        self._start(self._registry, lambda: self._identify(version), use, self.registry_s)

    def renew(self, version: str | None, then: Then) -> None:
        """Load a version, the latest by default, and make it the default."""

        def use(model: LoadedModel | Team5Error) -> None:
            if isinstance(model, LoadedModel):
                self.current = model
            then(model)

        self.get(version or "latest", use)

    def collect(self) -> None:
        """Deliver versions loaded so far, and give up on those that take too long."""
        for task in list(self._tasks):
            if task.future.done():
                os.read(self._wake_reader, 1)
                error = task.future.exception()
                result = error or task.future.result()
                if error is not None and not isinstance(error, Team5Error):
                    log.error("a version cannot be loaded", exc_info=error)
                    result = CheckpointError(f"the version cannot be loaded: {error}.")
            elif time.monotonic() > task.until:
                result = StorageError(
                    f"the folder of versions has not answered within {self.registry_s:g} s. Ask "
                    "without version=, or try again later."
                )
            else:
                continue
            self._tasks.remove(task)
            task.then(result)
        self._unload()

    def _start(
        self,
        thread: BackgroundThread,
        function: Callable[[], Any],
        then: Callable[[Any], None],
        limit_s: float = math.inf,
    ) -> None:
        future = thread.submit(function)
        self._tasks.append(_Task(future, then, time.monotonic() + limit_s))
        future.add_done_callback(lambda _: os.write(self._wake_writer, b"."))

    def _load(self, name: str, then: Then) -> None:
        if name in self._waiting:
            self._waiting[name].append(then)
            return
        self._waiting[name] = [then]

        def use(kept: _Kept | Team5Error) -> None:
            if isinstance(kept, _Kept):
                self._kept[name] = kept
                self._kept.move_to_end(name)
            for waiting in self._waiting.pop(name):
                waiting(kept.model if isinstance(kept, _Kept) else kept)

        self._start(self._loader, lambda: self._load_warm(name), use)

    def _identify(self, version: str) -> tuple[str, Signature]:
        name = resolve_version(self.root, version)
        return name, self._signature(name)

    def _load_warm(self, name: str) -> _Kept:
        signature = self._signature(name)
        model = load_model(name, device=self.device, root=self.root, verify=True, allow=self.allow)
        for adduct in ("[M+H]+", "[M-H]-"):
            matches = infer(model, None, ["CCO", "c1ccccc1O"], [47.0], [1.0], adduct=adduct)
            if not all(math.isfinite(match.probability) for match in cast("list[Match]", matches)):
                raise CheckpointError(f"{name} answers with no number. Use another version.")
        return _Kept(model, signature)

    def _signature(self, name: str) -> Signature:
        if is_remote(self.root):
            return None
        try:
            state = (as_path(self.root) / name / CONFIG_NAME).stat()
        except OSError:
            return ()
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _unload(self) -> None:
        for name in list(self._kept):
            if len(self._kept) <= self.max_versions:
                return
            if self._kept[name].model is not self.current:
                del self._kept[name]
