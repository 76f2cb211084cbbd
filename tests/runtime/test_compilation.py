"""Compiled functions on disk: whole, of the same sources, or compiled again."""

import logging
import resource

import numba
import pytest

from team5.runtime import compilation
from team5.runtime.compilation import compiled


def add_one(x):
    return x + 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    compilation._warn.cache_clear()
    compilation._announce.cache_clear()
    return tmp_path


def kept(folder):
    return list(folder.rglob("*.nbc"))


def is_read_from_disk() -> bool:
    """Call the function as a new process would, and tell where its code came from."""
    function = compiled()(add_one)
    assert function(1) == 2
    return bool(function.stats.cache_hits)


def test_what_is_compiled_is_kept_for_the_next_process(folder):
    assert not is_read_from_disk()
    assert is_read_from_disk()
    assert len(kept(folder)) == 1


def test_on_a_terminal_the_wait_is_announced_once(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for _ in range(2):
        assert not is_read_from_disk()
        (file,) = kept(folder)
        file.unlink()
    assert capsys.readouterr().err == "Compiling code for this machine, once: some 20 s\n"
    compilation._announce.cache_clear()
    assert not is_read_from_disk()
    assert is_read_from_disk()
    assert capsys.readouterr().err.count("Compiling") == 1


def test_what_other_sources_gave_is_compiled_again_and_replaced(folder, monkeypatch):
    assert not is_read_from_disk()
    monkeypatch.setattr(compilation, "_made_from", lambda: "others")
    assert not is_read_from_disk()
    (file,) = kept(folder)
    assert ".others." in file.name
    assert is_read_from_disk()


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:100], lambda data: data[:-200] + bytes(200)],
    ids=["empty", "cut off", "overwritten"],
)
def test_what_is_damaged_is_compiled_again(folder, damage):
    assert not is_read_from_disk()
    (file,) = kept(folder)
    file.write_bytes(damage(file.read_bytes()))
    assert not is_read_from_disk()
    assert is_read_from_disk()


def test_without_a_folder_it_is_compiled_each_time_and_said_once(folder, monkeypatch, caplog):
    monkeypatch.setattr(compilation._Kind, "_locator_classes", [compilation._Nowhere])
    with caplog.at_level(logging.WARNING):
        assert not is_read_from_disk()
        assert not is_read_from_disk()
    (record,) = caplog.records
    assert "NUMBA_CACHE_DIR" in record.getMessage()


def test_a_full_disk_stops_no_answer(folder, caplog):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # bytes; as if no more had room
    try:
        assert not is_read_from_disk()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(folder) in caplog.records[-1].getMessage()
    assert not kept(folder)
    assert not list(folder.rglob("*.tmp"))


def test_a_change_of_any_source_a_compiled_function_may_hold_is_seen(tmp_path, monkeypatch):
    digests = set()
    monkeypatch.setattr(compilation, "_PACKAGE", tmp_path)
    for name in ("constants.py", "chemistry/a.py", "data/a.py", "models/a.py", "viz/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("A = 1")
        digests.add(compilation._made_from.__wrapped__())
    assert len(digests) == 4  # viz/ holds nothing that is compiled
