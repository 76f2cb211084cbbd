"""Files from the web, fetched once into a cache folder and checked by checksum."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from team5.errors import ConfigError, DownloadError, StorageError

MASSBANK_RELEASE = "2025.05.1"

_MASSBANK_URL = "https://github.com/MassBank/MassBank-data/archive/refs/tags/{release}.tar.gz"
_RELEASE = re.compile(r"\d{4}\.\d{2}(\.\d+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")
_CHUNK_SIZE = 1 << 16  # bytes
_LONGEST_PAUSE_S = 8.0
# What may be different a moment later: timeouts, too many requests, a server or gateway in trouble.
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder for what is fetched or computed once; it may not exist yet.

    ``TEAM5_CACHE`` if that is set, else ``team5`` in the platform's folder for caches.
    """
    named = os.environ.get("TEAM5_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(base) / "team5" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "team5"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "team5"


def massbank_archive(release: str = MASSBANK_RELEASE, *, progress: bool = True) -> Path:
    """Return the archive of a MassBank release, fetched into the cache folder if it is not there.

    Raises
    ------
    ConfigError
        If `release` is not written like ``2025.05.1``.
    DownloadError, StorageError
        As `download`.
    """
    if not _RELEASE.fullmatch(release):
        raise ConfigError(f"MassBank release {release!r} is not written like {MASSBANK_RELEASE}.")
    return download(
        _MASSBANK_URL.format(release=release),
        cache_folder() / "massbank" / f"MassBank-data-{release}.tar.gz",
        progress=progress,
        otherwise="Or get the archive by other means and pass data.archive=FILE.",
    )


def download(
    url: str,
    destination: str | Path,
    *,
    sha256: str | None = None,
    progress: bool = True,
    n_retries: int = 5,
    timeout_s: float = 30.0,
    pause_s: float = 0.5,
    otherwise: str = "",
) -> Path:
    """Fetch a file once; later calls check it and return it without the network.

    The transfer goes to ``<destination>.part`` and is renamed when it is whole. A broken transfer
    goes on where it ended, at once or in a later call, if the server can do that and says by ETag
    or Last-Modified that the file is still the same one; else it starts again. The checksum of
    what arrived is recorded in ``<destination>.sha256`` (the format of ``sha256sum``) and compared
    at each later use. Several processes may ask for the same file at once; one fetches it.

    Parameters
    ----------
    url : str
        http or https.
    destination : str or Path
        Where the file is to lie; its folder is made.
    sha256 : str, optional
        Checksum the file must have, where it is known beforehand.
    progress : bool, default True
        Show a progress bar on stderr.
    n_retries : int, default 5
        How often a broken transfer is taken up again in this call.
    timeout_s : float, default 30
        Longest silence of the server.
    pause_s : float, default 0.5
        Before the first retry; doubles with each, up to 8 s.
    otherwise : str
        What the user can do instead, a sentence for the error.

    Returns
    -------
    Path
        `destination`.

    Raises
    ------
    DownloadError
        If the server cannot be reached, refuses or keeps breaking off, or a checksum is wrong.
    StorageError
        If the folder cannot be written or the disk is full.
    """
    destination = Path(destination)
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"{url!r} is no http or https address. {otherwise}".rstrip())
    sha256 = sha256.lower() if sha256 is not None else None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ConfigError(f"sha256 {sha256!r} is not 64 hexadecimal digits.")
    if destination.is_file():
        _check_stored(destination, sha256)
        return destination

    with _only_one(destination):
        # Another process may have fetched it while this one waited.
        if destination.is_file():
            _check_stored(destination, sha256)
            return destination
        transfer = _Transfer(url, destination, timeout_s, otherwise)
        with _progress_bar(destination.name, progress) as show:
            transfer.run(n_retries, pause_s, show)
        return transfer.finish(sha256)


class _BrokenOffError(Exception):
    """A transfer ended early; trying again may help."""


@dataclass(frozen=True)
class _Origin:
    """Which file a ``.part`` is the beginning of; kept beside it as JSON."""

    url: str
    validator: str | None  # a strong ETag or a Last-Modified date
    total: int | None  # bytes


class _Transfer:
    """One file on its way: a ``.part`` that grows over several requests."""

    def __init__(self, url: str, destination: Path, timeout_s: float, otherwise: str) -> None:
        self.url = url
        self.destination = destination
        self.timeout_s = timeout_s
        self.otherwise = otherwise
        self.part = destination.with_name(destination.name + ".part")
        self.origin_file = destination.with_name(destination.name + ".part.json")

    def run(self, n_retries: int, pause_s: float, show: Callable[[int, int | None], None]) -> None:
        """Request until the part is whole."""
        for attempt in range(n_retries + 1):
            try:
                self._request(show)
                return
            except _BrokenOffError as error:
                reason = str(error)
            if attempt < n_retries:
                _logger.info("%s: %s; trying again", self.url, reason)
                time.sleep(min(pause_s * 2**attempt, _LONGEST_PAUSE_S))
        raise self._error(
            f"gave up after {n_retries + 1} attempts, the last: {reason}",
            "Run again later; what has arrived is kept and used where the server allows it.",
        )

    def finish(self, sha256: str | None) -> Path:
        """Check the whole part, record its checksum and give it its name."""
        found = _sha256_of(self.part)
        if sha256 is not None and found != sha256:
            self._discard()
            raise self._error(
                f"the file has checksum {found}, expected {sha256}; it was discarded",
                "Run again, or correct the expected checksum.",
            )
        recorded = _recorded_sha256(self.destination)
        if recorded not in (None, found):
            _logger.warning(
                "%s: fetched anew and not the same file as before (sha256 %s, before %s)",
                self.destination,
                found,
                recorded,
            )
        try:
            _record_sha256(self.destination, found)
            self.part.replace(self.destination)
        except OSError as error:
            raise _storage_error(self.destination, error) from error
        self._discard()
        return self.destination

    def _request(self, show: Callable[[int, int | None], None]) -> None:
        origin, start = self._resumable()
        # identity: a length or range must count the bytes of the file, not of their compression.
        headers = {"User-Agent": "team5", "Accept-Encoding": "identity"}
        if origin is not None and origin.validator is not None:
            headers |= {"Range": f"bytes={start}-", "If-Range": origin.validator}
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 (http only)
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout_s)  # noqa: S310
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and origin:
                    if start == _content_range(error)[1] and origin.total in (None, start):
                        return
                    self._discard()
                    raise _BrokenOffError("what had arrived is not part of the file") from error
                if error.code in _PASSING_STATUS:
                    raise _BrokenOffError(f"HTTP {error.code} {error.reason}") from error
                raise self._error(
                    f"the server answers HTTP {error.code} {error.reason}",
                    "Check the address or release.",
                ) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, (socket.gaierror, ssl.SSLCertVerificationError)):
                raise self._error(str(error.reason), "Check the network connection.") from error
            raise _BrokenOffError(str(error.reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOffError(_text_of(error)) from error
        with response:
            self._receive(response, origin, start, show)

    def _receive(
        self,
        response: http.client.HTTPResponse,
        origin: _Origin | None,
        start: int,
        show: Callable[[int, int | None], None],
    ) -> None:
        validator = _validator(response)
        if response.status == http.client.PARTIAL_CONTENT:
            first, total = _content_range(response)
            # Not every server honours If-Range: never join parts of two files.
            if (
                origin is None
                or first != start
                or validator not in (None, origin.validator)
                or (total is not None and origin.total not in (None, total))
            ):
                self._discard()
                raise _BrokenOffError("the file was changed on the server meanwhile")
            total = total or origin.total
        else:
            length = response.headers.get("Content-Length", "")
            start, total = 0, int(length) if length.isdecimal() else None
            origin = _Origin(self.url, validator, total)
        self._check_space(total, start)
        received = start
        show(received, total)
        try:
            with self.part.open("ab" if start else "wb") as file:
                self.origin_file.write_text(json.dumps(asdict(origin)), encoding="utf-8")
                for chunk in _chunks(response):
                    file.write(chunk)
                    received += len(chunk)
                    show(received, total)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _storage_error(self.destination, error) from error
        # http.client notices only where the length is not announced.
        if total is not None and received != total:
            raise _BrokenOffError(f"the connection broke off at {received:,} of {total:,} bytes")

    def _resumable(self) -> tuple[_Origin | None, int]:
        """Return what the part is the beginning of and its length, if it can be gone on with."""
        try:
            origin = _Origin(**json.loads(self.origin_file.read_text()))
            start = self.part.stat().st_size
        except (OSError, ValueError, TypeError):
            return None, 0
        if origin.url != self.url or origin.validator is None or start == 0:
            return None, 0
        return origin, start

    def _check_space(self, total: int | None, start: int) -> None:
        if total is None:
            return
        needed, free = total - start, shutil.disk_usage(self.destination.parent).free
        if needed > free:
            raise StorageError(
                f"{self.destination.parent}: {needed / 1e6:,.0f} MB are needed and "
                f"{free / 1e6:,.0f} MB free. Make room, or set TEAM5_CACHE to another folder."
            )

    def _discard(self) -> None:
        for path in (self.part, self.origin_file):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _error(self, what: str, advice: str) -> DownloadError:
        return DownloadError(f"{self.url}: {what}. {advice} {self.otherwise}".rstrip())


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield what arrives; its own errors, so that they are not taken for those of the disk."""
    try:
        while chunk := response.read(_CHUNK_SIZE):
            yield chunk
    except http.client.IncompleteRead as error:
        yield error.partial
        raise _BrokenOffError("the connection broke off") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(_text_of(error)) from error


def _validator(response: http.client.HTTPResponse) -> str | None:
    """Return what tells whether the file is still the same, in the form If-Range takes."""
    etag = response.headers.get("ETag")
    # A weak ETag promises the same meaning, not the same bytes.
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _content_range(
    response: http.client.HTTPResponse | urllib.error.HTTPError,
) -> tuple[int | None, int | None]:
    """Return the first byte and the file's length, as far as the answer names them."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not found:
        return None, None
    start, total = found["start"], found["total"]
    return None if start is None else int(start), None if total == "*" else int(total)


def _check_stored(path: Path, sha256: str | None) -> None:
    """Raise unless a file is the one that was fetched, and the one that is wanted."""
    try:
        found = _sha256_of(path)
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read ({error.strerror}).") from error
    expected = sha256 or _recorded_sha256(path)
    if expected is None:
        # A folder that others fill may be read-only; the record is then theirs to write.
        with contextlib.suppress(OSError):
            _record_sha256(path, found)
    elif found != expected:
        raise DownloadError(
            f"{path}: damaged or another file: expected sha256 {expected}, found {found}. "
            f"Delete it and run again to fetch it anew."
        )


def _recorded_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _recorded_sha256(path: Path) -> str | None:
    record = _recorded_path(path)
    try:
        words = record.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DownloadError(f"{record}: cannot be read ({error}). Delete it.") from error
    if not words or not _SHA256.fullmatch(words[0]):
        raise DownloadError(f"{record}: holds no sha256 checksum. Delete it and run again.")
    return words[0]


def _record_sha256(path: Path, sha256: str) -> None:
    record = _recorded_path(path)
    temporary = record.with_name(f"{record.name}.{os.getpid()}.tmp")
    temporary.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    temporary.replace(record)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _storage_error(destination: Path, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        why, advice = "the disk is full", "Make room; what has arrived is kept."
    else:
        why, advice = f"cannot be written ({error.strerror or error})", "Check the folder."
    return StorageError(f"{destination}: {why}. {advice} Or set TEAM5_CACHE to another folder.")


def _text_of(error: Exception) -> str:
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _only_one(destination: Path) -> Iterator[None]:
    """Hold the lock of a destination, whose folder is made."""
    from filelock import FileLock

    lock = FileLock(destination.with_name(destination.name + ".lock"))
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise _storage_error(destination, error) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _progress_bar(name: str, enabled: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that shows how many bytes of how many have arrived."""
    if not enabled:
        yield lambda received, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)
