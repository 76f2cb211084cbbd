"""The versions that are loaded: one answers where none is named, others beside it."""

from __future__ import annotations

import logging
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from team5.errors import CheckpointError, Team5Error, VersionNotFoundError
from team5.inference.inference import LoadedModel, infer, load_model
from team5.inference.results import Match
from team5.registry.export import resolve_version
from team5.registry.integrity import CONFIG_NAME
from team5.runtime.storage import as_path, is_remote

log = logging.getLogger(__name__)

Then = Callable[["LoadedModel | Team5Error"], None]
# What identifies the files a version was loaded from.
Signature = tuple[int, ...]


@dataclass(frozen=True)
class _Kept:
    model: LoadedModel
    signature: Signature | None


class ModelPool:
    """Loads versions in a thread of its own, so that those loaded go on answering.

    All methods are for the thread that scores.

    Parameters
    ----------
    root : str
        The registry.
    device : str
    allow : sequence of str
        As for `load_model`.
    max_versions : int
        How many are kept loaded; the least recently used go first.
    """

    def __init__(
        self, root: str, device: str, max_versions: int, allow: Sequence[str] = ()
    ) -> None:
        self.root = root
        self.device = device
        self.allow = allow
        self.max_versions = max_versions
        self.current: LoadedModel | None = None
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._loading: dict[str, tuple[Future[_Kept], list[Then]]] = {}
        self._thread = ThreadPoolExecutor(1, "load")
        self._wake_reader, self._wake_writer = os.pipe()

    @property
    def wake(self) -> int:
        """A file descriptor that can be read when something has been loaded."""
        return self._wake_reader

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(self._kept)

    def get(self, version: str | None, then: Then) -> None:
        """Call ``then`` with a version's model, or the error; at once if it is loaded."""
        if version is None:
            then(self.current or VersionNotFoundError("no version is loaded yet. Try again soon."))
            return
        try:
            name = version if version in self._kept else resolve_version(self.root, version)
            kept = self._kept.get(name)
            if kept is None or kept.signature != self._signature(name):
                self._load(resolve_version(self.root, name), then)
                return
        except Team5Error as error:
            then(error)
            return
        self._kept.move_to_end(name)
        then(kept.model)

    def renew(self, version: str | None, then: Then) -> None:
        """Load a version, the latest by default, and let it answer where none is named."""

        def use(found: LoadedModel | Team5Error) -> None:
            if isinstance(found, LoadedModel):
                self.current = found
            then(found)

        self.get(version or "latest", use)

    def collect(self) -> None:
        """Hand over what has been loaded by now."""
        for name, (future, waiting) in list(self._loading.items()):
            if not future.done():
                continue
            os.read(self._wake_reader, 1)
            del self._loading[name]
            error = future.exception()
            if error is not None and not isinstance(error, Team5Error):
                log.error("%s cannot be loaded", name, exc_info=error)
                error = CheckpointError(f"{name} cannot be loaded: {error}.")
            if error is None:
                self._kept[name] = future.result()
                self._kept.move_to_end(name)
            for then in waiting:
                then(error or future.result().model)
        self._unload()

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self, name: str, then: Then) -> None:
        if name in self._loading:
            self._loading[name][1].append(then)
            return
        future = self._thread.submit(self._load_warm, name)
        self._loading[name] = future, [then]
        future.add_done_callback(lambda _: os.write(self._wake_writer, b"."))

    def _load_warm(self, name: str) -> _Kept:
        signature = self._signature(name)
        model = load_model(name, device=self.device, root=self.root, verify=True, allow=self.allow)
        for adduct in ("[M+H]+", "[M-H]-"):
            matches = infer(model, None, ["CCO", "c1ccccc1O"], [47.0], [1.0], adduct=adduct)
            if not all(math.isfinite(match.probability) for match in cast("list[Match]", matches)):
                raise CheckpointError(f"{name} answers with no number. Use another version.")
        return _Kept(model, signature)

    def _signature(self, name: str) -> Signature | None:
        if is_remote(self.root):
            return None
        try:
            found = (as_path(self.root) / name / CONFIG_NAME).stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _unload(self) -> None:
        for name in list(self._kept):
            if len(self._kept) <= self.max_versions:
                return
            if self._kept[name].model is not self.current:
                del self._kept[name]
