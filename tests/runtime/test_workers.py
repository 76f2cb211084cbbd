"""A worker that ends or hangs costs one item, which is named, and not the work."""

import functools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from team5.errors import StorageError, WorkerError
from team5.runtime.workers import work_in_processes


@dataclass(frozen=True)
class Batch:
    number: int
    texts: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def without(batch: Batch, index: int, why: str) -> Batch:
    left = (*batch.left_out, (batch.texts[index], why))
    return replace(batch, texts=batch.texts[:index] + batch.texts[index + 1 :], left_out=left)


def make_work(folder: Path):
    """Stands for parsing: some texts end the process, hang, or do so once."""

    def work(batch: Batch, on_item) -> int:
        for index, text in enumerate(batch.texts):
            on_item(index)
            if text == "abort":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "exit":
                os._exit(3)
            if text == "hang":
                signal.pause()
            if text == "full":
                raise StorageError("the disk is full")
            if text == "no space":
                raise OSError("no space left")
            if text == "abort once" and not (folder / "aborted").exists():
                (folder / "aborted").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return len(batch.texts)

    return work


def end():
    os._exit(1)


def do(folder: Path, batches: list[Batch], timeout_s: float = 60.0, n_workers: int = 2):
    done = work_in_processes(
        batches, functools.partial(make_work, folder),
        n_workers=n_workers, leave_out=without, item_timeout_s=timeout_s,
    )  # fmt: skip
    return {batch.number: (batch, result) for batch, result in done}


def test_items_that_end_a_worker_are_left_out_and_the_rest_is_done(tmp_path):
    batches = [Batch(0, ("a", "abort", "exit", "b")), Batch(1, ("a", "abort once")), Batch(2, ())]
    done = do(tmp_path, batches)
    assert {number: result for number, (_, result) in done.items()} == {0: 2, 1: 2, 2: 0}
    assert done[0][0].left_out == (
        ("abort", "ends the worker process (SIGKILL)"),
        ("exit", "ends the worker process (exit code 3)"),
    )
    assert done[1][0].left_out == ()


def test_an_item_that_takes_too_long_is_left_out(tmp_path):
    done = do(tmp_path, [Batch(0, ("a", "hang", "b"))], timeout_s=0.2)
    assert done[0][0].left_out == (("hang", "takes longer than 0.2 s"),)


@pytest.mark.parametrize(("text", "said"), [("full", "the disk is full"), ("no space", "no space")])
def test_a_worker_that_cannot_write_ends_the_work_with_its_error(tmp_path, text, said):
    with pytest.raises(StorageError, match=said):
        do(tmp_path, [Batch(0, (text,))])


def test_workers_that_never_begin_are_an_error():
    done = work_in_processes(
        [Batch(0, ("a",))], end, n_workers=1, leave_out=without, item_timeout_s=60.0
    )
    with pytest.raises(WorkerError, match=r"ended before they began \(.*exit code 1"):
        list(done)


def hang(folder: Path):
    def work(batch: Batch, on_item) -> None:
        on_item(0)
        (folder / str(os.getpid())).touch()
        # As code in C that does not give the interpreter away.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        sum(iter(lambda: 0, 1))

    return work


PARENT = """
import functools, sys
from pathlib import Path
from tests.runtime.test_workers import Batch, hang, without
from team5.runtime.workers import work_in_processes
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    list(work_in_processes([Batch(0, ("a",)), Batch(1, ("b",))], functools.partial(hang, folder),
                           n_workers=2, leave_out=without, item_timeout_s=60.0))
"""


def test_workers_end_with_their_parent_even_when_it_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": root}
    ) as parent:
        while len(workers := [p.name for p in tmp_path.iterdir() if p.name.isdigit()]) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    for worker in workers:
        while Path("/proc", worker).exists() and "Z" not in _state(worker):
            time.sleep(0.05)


def _state(process: str) -> str:
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return "Z"
