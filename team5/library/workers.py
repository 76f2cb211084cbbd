"""Chunks done in processes of their own; one that ends or hangs costs a record, not the build."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from team5.errors import StorageError, Team5Error, WorkerError
from team5.library.chunks import Chunk

Act = Callable[[Chunk, Callable[[int], None]], None]

_STRIKES = 2  # a record that ends so many workers is left out
_IDLE_DEATHS = 3  # workers that end without a record begun: the fault is elsewhere
_LOOK_S = 1.0  # between looks at workers that say nothing
_NO_RECORD = -1


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    at: Any  # shared number: index of the record being looked at
    chunk: Chunk | None = None
    seen_at: int = _NO_RECORD
    since: float = 0.0


def do_chunks(
    chunks: Iterable[Chunk], act: Act, *, n_workers: int, record_timeout_s: float
) -> Generator[Chunk]:
    """Do chunks in several processes, and yield each when it is done, in any order.

    A record during which a worker ends, or that takes too long, is tried once more in a new
    worker; if that fails too, the chunk is done without it and has it among its faults.

    Parameters
    ----------
    chunks : iterable of Chunk
    act : callable
        Takes a chunk and a callable to be told the index of each record before it is looked at.
        Must be picklable.
    n_workers : int
        0 does all in this process, where nothing is watched.
    record_timeout_s : float
        The longest that one record may take.

    Raises
    ------
    StorageError
        If a worker cannot write.
    WorkerError
        If workers end before they begin.
    """
    if n_workers == 0:
        for chunk in chunks:
            act(chunk, lambda index: None)
            yield chunk
        return
    team = _Team(act, record_timeout_s)
    try:
        waiting = iter(chunks)
        team.start(n_workers)
        while True:
            for worker in team.idle():
                if (following := next(waiting, None)) is not None:
                    team.give(worker, following)
            if not team.busy():
                return
            yield from team.finished()
    finally:
        team.stop()


class _Team:
    def __init__(self, act: Act, record_timeout_s: float) -> None:
        # Forked processes would hold one another's pipes open, and so outlive this one.
        self._context = multiprocessing.get_context("spawn")
        self._act = act
        self._timeout_s = record_timeout_s
        self._strikes: Counter[tuple[int, int]] = Counter()
        self._idle_deaths = 0
        self.workers: list[_Worker] = []

    def start(self, n_workers: int) -> None:
        self.workers = [self._new_worker() for _ in range(n_workers)]

    def idle(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.chunk is None]

    def busy(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.chunk is not None]

    def _new_worker(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        at = self._context.RawValue("q", _NO_RECORD)
        process = self._context.Process(
            target=_work, args=(theirs, at, self._act), name="team5 library worker", daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours, at)

    def give(self, worker: _Worker, chunk: Chunk) -> None:
        worker.at.value = _NO_RECORD
        worker.chunk, worker.seen_at, worker.since = chunk, _NO_RECORD, time.monotonic()
        try:
            worker.pipe.send(chunk)
        except OSError:  # it has ended; the next look replaces it
            return

    def finished(self) -> list[Chunk]:
        """Wait for what happens next and return the chunks that are done."""
        busy = self.busy()
        ready = wait(
            [one for worker in busy for one in (worker.pipe, worker.process.sentinel)], _LOOK_S
        )
        done = []
        for worker in busy:
            if worker.pipe in ready:
                chunk = self._receive(worker)
                if chunk is not None:
                    done.append(chunk)
            elif worker.process.sentinel in ready:
                self._replace(worker, _how_it_ended(worker.process))
            elif self._is_late(worker):
                worker.process.kill()
                worker.process.join()
                self._replace(worker, f"takes longer than {self._timeout_s:g} s")
        return done

    def _receive(self, worker: _Worker) -> Chunk | None:
        try:
            error = worker.pipe.recv()
        except (EOFError, OSError):
            self._replace(worker, _how_it_ended(worker.process))
            return None
        if error is not None:
            raise error
        self._idle_deaths = 0
        chunk, worker.chunk = worker.chunk, None
        return chunk

    def _is_late(self, worker: _Worker) -> bool:
        at = worker.at.value
        if at != worker.seen_at:
            worker.seen_at, worker.since = at, time.monotonic()
        return at != _NO_RECORD and time.monotonic() - worker.since > self._timeout_s

    def _replace(self, worker: _Worker, why: str) -> None:
        """Give the chunk of a worker that has ended to a new one, if need be without a record."""
        chunk, at = worker.chunk, int(worker.at.value)
        worker.pipe.close()
        if chunk is None:
            return
        if at == _NO_RECORD:
            self._idle_deaths += 1
            if self._idle_deaths >= _IDLE_DEATHS:
                raise WorkerError(
                    f"{chunk.source}: {self._idle_deaths} worker processes ended before their "
                    f"first structure ({why}). See what they wrote above; a script that builds "
                    'needs if __name__ == "__main__": around the call.'
                )
        else:
            record = (chunk.number, chunk.records[at].number)
            self._strikes[record] += 1
            if self._strikes[record] >= _STRIKES:
                chunk = chunk.without(at, why)
        new = self._new_worker()
        self.workers[self.workers.index(worker)] = new
        self.give(new, chunk)

    def stop(self) -> None:
        for worker in self.workers:
            # What they write is whole or absent, at whatever moment they end.
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()


def _how_it_ended(process: Any) -> str:
    process.join()
    exit_code = process.exitcode
    if exit_code is not None and exit_code < 0:
        return f"ends the worker process ({signal.Signals(-exit_code).name})"
    return f"ends the worker process (exit code {exit_code})"


def _work(pipe: Connection, at: Any, act: Act) -> None:
    """Do chunks until the pipe is closed."""
    # Ctrl-C reaches all processes of a terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def on_record(index: int) -> None:
        at.value = index

    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, OSError):  # the first process has ended
            return
        error: Team5Error | None = None
        try:
            act(chunk, on_record)
        except Team5Error as raised:
            error = raised
        except OSError as raised:
            error = StorageError(str(raised))
        at.value = _NO_RECORD
        try:
            pipe.send(error)
        except OSError:  # nobody waits any more
            return
