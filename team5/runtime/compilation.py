"""Compiled functions, kept on disk for the next process where that is possible.

numba keeps what it compiles, and takes it again as long as the file of the function is unchanged. A
function may hold more, though: functions of other files that are compiled into it, and constants.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, serialize

from team5.errors import StorageError
from team5.runtime.storage import writing_whole

_log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parents[1]
# Of compiled functions and whatever they may hold.
_SOURCES = ("*.py", "chemistry/*.py", "data/*.py", "models/*.py")
_DIGEST_SIZE = 32


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with numba on its first call, or read it from disk.

    What is on disk is of use only to the sources it was made from; it is compiled again if it is
    damaged, and not kept where nothing can be written.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


@functools.cache
def _made_from() -> str:
    """Return a digest of Python, numba and all sources that a compiled function may hold."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__}".encode())
    for pattern in _SOURCES:
        for path in sorted(_PACKAGE.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class _Nowhere(caching._CacheLocator):
    """Place of what cannot be kept."""

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Nowhere:
        return cls()

    def get_cache_path(self) -> str:
        return ""

    def get_source_stamp(self) -> None:
        return None

    def get_disambiguator(self) -> str:
        return ""


class _Kind(caching.CompileResultCacheImpl):
    _locator_classes: list[Any] = [  # noqa: RUF012 - as numba declares it
        *caching.CompileResultCacheImpl._locator_classes,
        _Nowhere,
    ]


class _Files(caching.IndexDataCacheFile):
    """Files of one function, each with a digest of its contents: a crash may damage them."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = Path(folder)
        self._name = name

    def flush(self) -> None:
        """Forget nothing: what is stale is never read."""

    def load(self, key: object) -> Any:
        """Return what was kept, None if nothing or damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
        if hashlib.sha256(data).digest() != digest:
            return None
        return pickle.loads(data)  # noqa: S301 - whoever writes here can write the sources

    def save(self, key: object, data: object) -> None:
        """Keep what was compiled, in place of what was made from other sources."""
        content = serialize.dumps(data)
        path = self._path(key)
        with writing_whole(path) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
        for other in self._folder.glob(f"{self._name}.*.nbc"):
            if not other.name.startswith(f"{self._name}.{_made_from()}."):
                other.unlink(missing_ok=True)

    def _path(self, key: object) -> Path:
        stamp = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._name}.{_made_from()}.{stamp}.nbc"


class _Cache(caching.FunctionCache):
    _impl_class = _Kind

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        if not self.cache_path:
            _warn("no folder for it can be written")
            self.disable()
        else:
            self._cache_file = _Files(
                self.cache_path, f"{function.__module__}.{function.__qualname__}"
            )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        kept = super().load_overload(sig, target_context)
        if kept is None and sys.stderr.isatty():
            _announce()
        return kept

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except (OSError, StorageError) as error:
            _warn(f"{self.cache_path}: {error}")
            self.disable()


@functools.cache
def _announce() -> None:
    print("Compiling code for this machine, once: some 20 s", file=sys.stderr)


@functools.cache
def _warn(why: str) -> None:
    _log.warning(
        "Compiled code is not kept, so the next start compiles for some 20 s as well: %s. Set "
        "NUMBA_CACHE_DIR to a folder with room.",
        why,
    )
