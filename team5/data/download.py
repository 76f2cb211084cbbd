"""Downloads, fetched once into a cache folder and verified by checksum."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from team5.errors import DownloadError
from team5.runtime.progress import Progress
from team5.runtime.progress import progress as show_progress
from team5.runtime.storage import sha256, storage_errors, write_whole

if TYPE_CHECKING:
    from requests.exceptions import RequestException

MASSBANK_RELEASE = "2025.05.1"

_MASSBANK_URL = (
    f"https://github.com/MassBank/MassBank-data/archive/refs/tags/{MASSBANK_RELEASE}.tar.gz"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_SIZE = 1 << 16  # bytes
_TIMEOUT_S = 30.0  # without a byte from the server
_RETRIES = 2

_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the cache folder; it may not exist yet.

    ``TEAM5_CACHE`` if that is set, else ``team5`` in the platform's folder for caches.
    """
    folder = os.environ.get("TEAM5_CACHE")
    return Path(folder).expanduser() if folder else Path(user_cache_dir("team5", appauthor=False))


def massbank_archive(*, progress: bool = True) -> Path:
    """Return the archive of `MASSBANK_RELEASE`, downloaded into the cache folder if missing.

    Raises
    ------
    DownloadError, StorageError
        As `download`.
    """
    return download(
        _MASSBANK_URL,
        cache_folder() / "massbank" / f"MassBank-data-{MASSBANK_RELEASE}.tar.gz",
        progress=progress,
        otherwise="Or get the archive by other means and pass data.archive=FILE.",
    )


def download(
    url: str, destination: str | Path, *, progress: bool = True, otherwise: str = ""
) -> Path:
    """Download a file once; later calls verify it and return it without the network.

    The file is written atomically. Its checksum is recorded in ``<destination>.sha256`` (the
    format of ``sha256sum``) and verified at each later use. Several processes may request the same
    file concurrently; one downloads it.

    Parameters
    ----------
    url : str
        http or https.
    destination : str or Path
        Path of the file; its folder is created.
    progress : bool, default True
        Show a progress bar on stderr.
    otherwise : str
        What the user can do instead, a sentence for the error.

    Returns
    -------
    Path
        `destination`.

    Raises
    ------
    DownloadError
        If the server cannot be reached, refuses or breaks off three times, or the file differs
        from the one downloaded before.
    StorageError
        If the folder cannot be written or the disk is full.
    """
    from filelock import FileLock  # here and below, so that programs without downloads start fast

    destination = Path(destination)
    with storage_errors(destination.parent):
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(destination.with_name(destination.name + ".lock"))
        lock.acquire()
    try:
        if destination.is_file():
            _check(destination)
        else:
            _fetch(url, destination, progress, otherwise)
    finally:
        lock.release()
    return destination


def _fetch(url: str, destination: Path, progress: bool, otherwise: str) -> None:
    import pooch
    from requests.exceptions import RequestException

    # It logs what the progress bar shows, and its advice is for programmers.
    pooch.get_logger().setLevel(logging.WARNING)
    name = destination.name
    files = pooch.create(
        destination.parent, "", registry={name: None}, urls={name: url}, retry_if_failed=_RETRIES
    )
    with storage_errors(destination), show_progress(name, unit="B", show=progress) as job:
        try:
            files.fetch(
                name, downloader=pooch.HTTPDownloader(_Bar(job), _CHUNK_SIZE, timeout=_TIMEOUT_S)
            )
        except RequestException as error:  # an OSError, too
            raise DownloadError(
                f"{url}: {_fault(error)}. Check the address and the network, or run again later. "
                f"{otherwise}".rstrip()
            ) from error
    fetched, recorded = sha256(destination), _recorded_sha256(destination)
    if recorded not in (None, fetched):
        _logger.warning(
            "%s: fetched anew and not the same file as before (sha256 %s, before %s)",
            destination, fetched, recorded,
        )  # fmt: skip
    with storage_errors(destination):
        _record_sha256(destination, fetched)


def _fault(error: RequestException) -> str:
    if error.response is not None:
        return f"the server answers HTTP {error.response.status_code} {error.response.reason}"
    # The libraries wrap the system's message in their own texts.
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return getattr(cause, "strerror", None) or str(cause)


def _check(path: Path) -> None:
    """Raise unless a file is the downloaded one."""
    try:
        present = sha256(path)
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read ({error.strerror}).") from error
    expected = _recorded_sha256(path)
    if expected is None:
        # A folder filled by others may be read-only; then they have to write the record.
        with contextlib.suppress(OSError):
            _record_sha256(path, present)
    elif present != expected:
        raise DownloadError(
            f"{path}: damaged or another file: expected sha256 {expected}, found {present}. "
            "Delete it and run again to fetch it anew."
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


def _record_sha256(path: Path, checksum: str) -> None:
    write_whole(_recorded_path(path), f"{checksum}  {path.name}\n".encode())


class _Bar:
    """A progress bar with the attributes that pooch uses; 0 stands for an unknown length."""

    total = 0  # bytes

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def update(self, n_bytes: int) -> None:
        self._progress.advance(n_bytes, total=self.total or None)

    def reset(self) -> None:
        self._progress.update(0)

    def close(self) -> None:
        pass  # the progress does
