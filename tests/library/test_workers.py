"""A worker that ends or hangs costs one record, which is reported, and not the build."""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from team5.errors import StorageError, WorkerError
from team5.library.chunks import Chunk, Fault, Record
from team5.library.workers import do_chunks


def chunk(number: int, texts: list[str]) -> Chunk:
    records = [Record(line, text, None) for line, text in enumerate(texts, start=1)]
    return Chunk(number, "a.smi", 0, "line", False, records)


def act(folder: Path, chunk: Chunk, on_record: Callable[[int], None]) -> None:
    """Stands for parsing: some texts end the process, hang, or do so once."""
    for index, record in enumerate(chunk.records):
        on_record(index)
        if record.text == "abort":
            os.kill(os.getpid(), signal.SIGKILL)
        if record.text == "exit":
            os._exit(3)
        if record.text == "hang":
            signal.pause()
        if record.text == "full":
            raise StorageError("the disk is full")
        if record.text == "abort once" and not (folder / "aborted").exists():
            (folder / "aborted").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(chunk.number)).touch()


def end(chunk: Chunk, on_record: Callable[[int], None]) -> None:
    os._exit(1)


def do(folder: Path, chunks: list[Chunk], timeout_s: float = 60.0) -> dict[int, Chunk]:
    done = do_chunks(
        chunks, functools.partial(act, folder), n_workers=2, record_timeout_s=timeout_s
    )
    return {one.number: one for one in done}


def test_records_that_end_a_worker_are_left_out_and_the_rest_is_done(tmp_path):
    done = do(tmp_path, [chunk(0, ["a", "abort", "b", "exit"]), chunk(1, ["a", "abort once"])])
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "aborted"}
    assert [record.text for record in done[0].records] == ["a", "b"]
    assert list(done[0].faults) == [
        (2, Fault("ends the worker process (SIGKILL)", "abort")),
        (4, Fault("ends the worker process (exit code 3)", "exit")),
    ]
    assert list(done[1].faults) == []


def test_a_record_that_takes_too_long_is_left_out(tmp_path):
    done = do(tmp_path, [chunk(0, ["a", "hang", "b"])], timeout_s=0.2)
    assert list(done[0].faults) == [(2, Fault("takes longer than 0.2 s", "hang"))]


def test_a_worker_that_cannot_write_ends_the_build_with_its_error(tmp_path):
    with pytest.raises(StorageError, match="the disk is full"):
        do(tmp_path, [chunk(0, ["full"])])


def test_workers_that_never_begin_are_an_error(tmp_path):
    with pytest.raises(WorkerError, match=r"ended before their first structure \(.*exit code 1"):
        list(do_chunks([chunk(0, ["a"])], end, n_workers=1, record_timeout_s=60.0))
