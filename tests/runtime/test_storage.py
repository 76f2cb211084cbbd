import os
import signal
import subprocess
import sys

import pytest

from team5.runtime.storage import put_in_place, sha256, write_whole, writing_whole


def test_a_file_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "file"
    for data in (b"one", b"two"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail() -> None:
        with writing_whole(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_changes_nothing(tmp_path):
    with writing_whole(tmp_path / "file"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_link_stays_one_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    write_whole(link, b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    staged = tmp_path / "staged"
    staged.write_bytes(b"later")
    put_in_place(staged, link)
    assert link.is_symlink()
    assert target.read_bytes() == b"later"
    assert not staged.exists()


def test_a_link_to_another_disk_is_written_too(tmp_path, monkeypatch):
    target, link, staged = tmp_path / "target", tmp_path / "link", tmp_path / "staged"
    link.symlink_to(target)
    staged.write_bytes(b"content")
    replace = type(staged).replace

    def refuse(path, other):
        if path == staged:
            raise OSError(18, "Invalid cross-device link")
        return replace(path, other)

    monkeypatch.setattr(type(staged), "replace", refuse)
    put_in_place(staged, link)
    assert link.is_symlink()
    assert target.read_bytes() == b"content"
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_a_killed_writer_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from team5.runtime.storage import writing_whole\n"
        "with writing_whole(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"


def test_a_file_and_its_bytes_have_one_checksum(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20))
    assert sha256(path) == sha256(path.read_bytes())
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
