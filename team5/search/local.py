"""Chunks done by processes of this machine, or by this one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from team5.errors import Team5Error, WorkerError
from team5.search.chunks import Result, Searcher
from team5.search.spectra import Chunk

MakeSearcher = Callable[[], Searcher]


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    chunk: Chunk | None = None


def search_here(chunks: Iterable[Chunk], make_searcher: MakeSearcher) -> Generator[Result]:
    """Search chunks in this process, with one thread as workers do it."""
    with _one_thread():
        searcher = make_searcher()
        for chunk in chunks:
            yield searcher.search(chunk)


def search_in_processes(
    chunks: Iterable[Chunk], make_searcher: MakeSearcher, n_workers: int
) -> Generator[Result]:
    """Search chunks in several processes, and yield what each gave, in any order.

    A chunk is drawn when a worker has nothing to do, so no more of them than workers are held.

    Parameters
    ----------
    chunks : iterable of Chunk
    make_searcher : callable
        Called once by each worker; must be picklable.
    n_workers : int

    Raises
    ------
    WorkerError
        If a worker ends.
    Team5Error
        What a worker raises.
    """
    # Forked processes would hold one another's pipes open, and so outlive this one; and what
    # runs threads, as torch does, is not safely forked.
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    waiting = iter(chunks)
    try:
        while True:
            idle = [worker for worker in workers if worker.chunk is None]
            while idle or len(workers) < n_workers:
                if (chunk := next(waiting, None)) is None:
                    break
                if not idle:
                    workers.append(_start(context, make_searcher))
                    idle.append(workers[-1])
                _give(idle.pop(), chunk)
            busy = {worker.pipe: worker for worker in workers if worker.chunk is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                yield _receive(busy[pipe])  # type: ignore[index]
    finally:
        for worker in workers:
            worker.process.kill()  # they write nothing
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def _start(context: Any, make_searcher: MakeSearcher) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, make_searcher), name="team5 search worker", daemon=True
    )
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _give(worker: _Worker, chunk: Chunk) -> None:
    worker.chunk = chunk
    try:
        worker.pipe.send(chunk)
    except OSError:  # it has ended, which its pipe says again when it is read
        return


def _receive(worker: _Worker) -> Result:
    assert worker.chunk is not None  # noqa: S101 - only busy ones are waited for
    try:
        answer = worker.pipe.recv()
    except (EOFError, OSError) as error:
        raise WorkerError(_how_it_ended(worker.process, worker.chunk)) from error
    if isinstance(answer, Team5Error):
        raise answer
    worker.chunk = None
    return answer


def _how_it_ended(process: Any, chunk: Chunk) -> str:
    process.join()
    code = process.exitcode
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    numbers = [each for each, _ in chunk.spectra] or [0]
    return (
        f"a worker process ended ({how}) while it was at spectra {numbers[0]:,} to "
        f"{numbers[-1]:,}. SIGKILL is mostly for want of memory: engine.workers=N with fewer helps."
    )


def _work(pipe: Connection, make_searcher: MakeSearcher) -> None:
    """Search chunks until the pipe is closed."""
    # Ctrl-C reaches all processes of a terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    searcher: Searcher | None = None
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, OSError):  # the first process has ended
            return
        answer: Result | Team5Error
        try:
            searcher = searcher or make_searcher()
            answer = searcher.search(chunk)
        except Team5Error as error:
            answer = error
        try:
            pipe.send(answer)
        except OSError:  # nobody waits any more
            return


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread for a while: with several the last digits differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
