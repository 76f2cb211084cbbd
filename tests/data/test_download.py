import errno
import hashlib
import os
import random
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from team5.data import download as download_module
from team5.data.download import cache_folder, download, massbank_archive
from team5.errors import DownloadError, StorageError

CONTENT = random.Random(0).randbytes(400_000)
OTHER_CONTENT = random.Random(1).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves one file over real sockets and misbehaves as a test says."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.chunked = False
        self.statuses = []  # answered first, one a request
        self.break_after = []  # bytes of the body after which each request's connection closes
        self.announced_too_much = 0  # bytes
        self.stalls = 0  # requests that get no answer
        self.released = threading.Event()
        self.n_requests = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/archive.bin"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        self.close_connection = True
        server.n_requests += 1
        if server.stalls:
            server.stalls -= 1
            server.released.wait()
            return
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        body = server.content
        self.send_response(200)
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) + server.announced_too_much))
        self.end_headers()
        end = server.break_after.pop(0) if server.break_after else None
        if server.chunked:
            for at in range(0, len(body[:end]), 10_000):
                piece = body[:end][at : at + 10_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if end is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body[:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Let pooch try again at once."""
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "cache" / "archive.bin"


def fetch(server, destination, **options):
    return download(server.url, destination, **{"progress": False, **options})


def files(destination):
    """What lies in the folder, but for the lock, which is never taken away."""
    return sorted(path.name for path in destination.parent.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once_and_its_checksum_recorded(server, destination):
    assert fetch(server, destination) == destination
    assert fetch(server, destination) == destination
    assert destination.read_bytes() == CONTENT
    assert server.n_requests == 1
    assert files(destination) == ["archive.bin", "archive.bin.sha256"]
    record = destination.with_name("archive.bin.sha256").read_text()
    assert record == f"{SHA256}  archive.bin\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_transfer_that_breaks_off_is_tried_again(server, destination, chunked):
    server.chunked = chunked
    server.break_after = [150_000, 100_000]
    fetch(server, destination)
    assert destination.read_bytes() == CONTENT
    assert server.n_requests == 3


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_that_always_breaks_off_is_given_up_with_what_to_do(server, destination, chunked):
    server.chunked = chunked
    server.break_after = [10_000] * 10
    with pytest.raises(DownloadError) as caught:
        fetch(server, destination, otherwise="Or pass data.archive=FILE.")
    assert server.url in str(caught.value)
    assert str(caught.value).endswith("Or pass data.archive=FILE.")
    assert server.n_requests == 3
    assert files(destination) == []


def test_a_wrong_length_is_an_error_and_leaves_no_file(server, destination):
    server.announced_too_much = 7
    with pytest.raises(DownloadError, match="7 more expected"):
        fetch(server, destination)
    assert files(destination) == []


def test_a_passing_error_of_the_server_is_tried_again(server, destination):
    server.statuses = [503, 429]
    fetch(server, destination)
    assert destination.read_bytes() == CONTENT
    assert server.n_requests == 3


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_named(server, destination, status):
    server.statuses = [status] * 9
    with pytest.raises(DownloadError, match=f"HTTP {status} .*Check the address"):
        fetch(server, destination)


def test_a_silent_server_is_left_after_the_timeout(server, destination, monkeypatch):
    monkeypatch.setattr(download_module, "_TIMEOUT_S", 0.2)
    server.stalls = 1
    fetch(server, destination)
    assert server.n_requests == 2


def test_no_server_at_all_is_a_download_error(destination, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DownloadError, match="Check the address and the network"):
            download(url, destination, progress=False)


def test_a_damaged_file_is_found_at_later_use(server, destination):
    fetch(server, destination)
    destination.write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match=rf"expected sha256 {SHA256}, found .*Delete it"):
        fetch(server, destination)
    destination.unlink()
    assert fetch(server, destination).read_bytes() == CONTENT


def test_a_file_put_there_by_hand_is_taken_and_recorded(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(CONTENT)
    fetch(server, destination)
    assert server.n_requests == 0
    destination.write_bytes(OTHER_CONTENT)
    with pytest.raises(DownloadError, match="damaged or another file"):
        fetch(server, destination)


def test_a_file_fetched_anew_that_differs_from_the_record_is_taken_with_a_warning(
    server, destination, caplog
):
    fetch(server, destination)
    destination.unlink()
    server.content = OTHER_CONTENT
    fetch(server, destination)
    assert "not the same file as before" in caplog.text
    assert fetch(server, destination).read_bytes() == OTHER_CONTENT


def test_a_record_that_holds_no_checksum_is_named(server, destination):
    fetch(server, destination)
    destination.with_name("archive.bin.sha256").write_text("what?")
    with pytest.raises(DownloadError, match=r"archive\.bin\.sha256: holds no sha256"):
        fetch(server, destination)


def test_an_unwritable_folder_is_a_storage_error(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "archive.bin")
    assert server.n_requests == 0


def test_a_disk_that_fills_up_is_a_storage_error(server, destination, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
    with pytest.raises(StorageError, match=r"archive\.bin: the disk is full"):
        fetch(server, destination)
    assert files(destination) == []


def test_several_callers_fetch_once(server, destination):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(server, destination).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 4
    assert server.n_requests == 1


def test_progress_goes_to_stderr_only(server, destination, capsys):
    fetch(server, destination, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "archive.bin" in captured.err


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "archive.tar.gz"])
def test_other_addresses_are_refused(destination, url):
    with pytest.raises(DownloadError, match=re.escape(url)):
        download(url, destination)


def test_the_cache_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TEAM5_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("TEAM5_CACHE")
    assert cache_folder().is_absolute()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="follows the XDG folders")
def test_the_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("TEAM5_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "team5"


def test_the_massbank_archive_is_fetched_into_the_cache_folder(server, tmp_path, monkeypatch):
    assert download_module._MASSBANK_URL == (
        "https://github.com/MassBank/MassBank-data/archive/refs/tags/2025.05.1.tar.gz"
    )
    monkeypatch.setenv("TEAM5_CACHE", str(tmp_path))
    monkeypatch.setattr(download_module, "_MASSBANK_URL", server.url)
    path = massbank_archive(progress=False)
    assert path == tmp_path / "massbank" / "MassBank-data-2025.05.1.tar.gz"
    assert path.read_bytes() == CONTENT
    assert massbank_archive(progress=False) == path
    assert server.n_requests == 1


def test_without_network_the_error_says_how_to_go_on(tmp_path, monkeypatch):
    def no_such_name(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TEAM5_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(DownloadError, match=r"not known\. .*pass data\.archive=FILE"):
        massbank_archive(progress=False)
