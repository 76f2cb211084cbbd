"""Watched worker processes: an item that kills one, or hangs, is lost and nothing else is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from team5.errors import StorageError, Team5Error, WorkerError

if sys.platform != "win32":
    import fcntl

Task = TypeVar("Task")
Result = TypeVar("Result")
OnItem = Callable[[int], None]

_STRIKES = 2  # an item that kills so many workers is left out
_IDLE_DEATHS = 3  # workers that end before they start an item: the fault is elsewhere
_LOOK_S = 1.0  # between checks of silent workers
_NO_ITEM = -1


def work_in_processes(
    tasks: Iterable[Task],
    make_work: Callable[[], Callable[[Task, OnItem], Result]],
    *,
    n_workers: int,
    leave_out: Callable[[Task, int, str], Task],
    item_timeout_s: float,
) -> Generator[tuple[Task, Result]]:
    """Run tasks in several processes, and yield each with its result, in any order.

    A task is drawn only when a worker is idle, so no more tasks than workers are in memory. If a
    worker dies on an item of a task, or the item takes too long, it is retried once in a new
    worker; if that fails too, the task is done without the item. Workers end with this process,
    even when it is killed.

    Parameters
    ----------
    tasks : iterable
        Picklable.
    make_work : callable
        Called once in each worker; returns the function that runs tasks there. That function takes
        a task and a callback, which it calls with the index of each item before starting it.
        Must be picklable.
    n_workers : int
        At least 1; workers are started as tasks arrive.
    leave_out : callable
        Takes a task, the index of an item and why it cannot be done; returns the task without it.
    item_timeout_s : float
        The longest that one item may take.

    Raises
    ------
    Team5Error
        As raised by a worker; a StorageError for an OSError.
    WorkerError
        If workers end before they start.
    """
    # Forked processes would hold one another's pipes open, and so outlive this one; and what
    # runs threads, as torch does, is not safely forked.
    context = multiprocessing.get_context("spawn")
    pool = _Pool(context, make_work, leave_out, item_timeout_s)
    waiting = iter(tasks)
    try:
        while True:
            idle = [worker for worker in pool.workers if not worker.is_busy]
            while idle or len(pool.workers) < n_workers:
                try:
                    task = next(waiting)
                except StopIteration:
                    break
                pool.give(idle.pop() if idle else pool.add(), task)
            if not any(worker.is_busy for worker in pool.workers):
                return
            yield from pool.wait()
    finally:
        pool.stop()


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    pipe: Connection
    at: Any  # shared number: index of the item under way
    is_busy: bool = False
    task: Any = None
    seen_at: int = _NO_ITEM
    since: float = 0.0
    strikes: Counter[int] = field(default_factory=Counter)  # by item of the task


class _Pool:
    def __init__(
        self,
        context: Any,
        make_work: Callable[[], Any],
        leave_out: Callable[[Any, int, str], Any],
        item_timeout_s: float,
    ) -> None:
        self._context = context
        self._make_work = make_work
        self._leave_out = leave_out
        self._timeout_s = item_timeout_s
        self._idle_deaths = 0
        self.workers: list[_Worker] = []

    def add(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        at = self._context.RawValue("q", _NO_ITEM)
        process = self._context.Process(
            target=_work, args=(theirs, at, self._make_work), name="team5 worker", daemon=True
        )
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours, at))
        return self.workers[-1]

    def give(self, worker: _Worker, task: Any, strikes: Counter[int] | None = None) -> None:
        worker.at.value = _NO_ITEM
        worker.is_busy, worker.task, worker.strikes = True, task, strikes or Counter()
        worker.seen_at, worker.since = _NO_ITEM, time.monotonic()
        try:
            worker.pipe.send(task)
        except OSError:  # it has ended; the next look replaces it
            return

    def wait(self) -> list[tuple[Any, Any]]:
        """Wait for the next event and return the finished tasks."""
        busy = [worker for worker in self.workers if worker.is_busy]
        ready = wait(
            [one for worker in busy for one in (worker.pipe, worker.process.sentinel)], _LOOK_S
        )
        done = []
        for worker in busy:
            if worker.pipe in ready:
                try:
                    answer, error = worker.pipe.recv()
                except (EOFError, OSError):
                    self._replace(worker, how_it_ended(worker.process))
                    continue
                if error is not None:
                    raise error
                self._idle_deaths = 0
                worker.is_busy = False
                done.append((worker.task, answer))
            elif worker.process.sentinel in ready:
                self._replace(worker, how_it_ended(worker.process))
            elif self._is_late(worker):
                worker.process.kill()
                worker.process.join()
                self._replace(worker, f"takes longer than {self._timeout_s:g} s")
        return done

    def _is_late(self, worker: _Worker) -> bool:
        at = worker.at.value
        if at != worker.seen_at:
            worker.seen_at, worker.since = at, time.monotonic()
        return bool(at != _NO_ITEM and time.monotonic() - worker.since > self._timeout_s)

    def _replace(self, worker: _Worker, why: str) -> None:
        """Give the task of a dead worker to a new one, if need be without an item."""
        task, item = worker.task, int(worker.at.value)
        worker.pipe.close()
        self.workers.remove(worker)
        if item == _NO_ITEM:
            self._idle_deaths += 1
            if self._idle_deaths >= _IDLE_DEATHS:
                raise WorkerError(
                    f"{self._idle_deaths} worker processes ended before they began ({why}). See "
                    "what they wrote above; a script that calls this needs "
                    'if __name__ == "__main__": around the call.',
                    code="worker_ended",
                )
        else:
            worker.strikes[item] += 1
            if worker.strikes[item] >= _STRIKES:
                worker.strikes.clear()  # the items behind it move up
                task = self._leave_out(task, item, why)
        self.give(self.add(), task, worker.strikes)

    def stop(self) -> None:
        for worker in self.workers:
            # What they write is whole or absent, at whatever moment they end.
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def how_it_ended(process: Any) -> str:
    """Return how a process ended, for people; waits for its end."""
    process.join()
    exit_code = process.exitcode
    if exit_code is not None and exit_code < 0:
        return f"ends the worker process ({signal.Signals(-exit_code).name})"
    return f"ends the worker process (exit code {exit_code})"


def end_with_parent() -> None:
    """Let the kernel end this spawned process when its parent ends, whatever it is doing.

    A thread that watches the parent would not work: code that hangs in C holds the interpreter.
    On Windows a process whose parent was killed ends after its current item.
    """
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform == "win32":
        return
    # The parent holds the other end of this pipe and writes nothing more to it. When it closes,
    # however the parent ends, SIGIO is raised here and ends the process.
    pipe = parent.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():  # it ended a moment before
        os._exit(1)


def _work(pipe: Connection, at: Any, make_work: Callable[[], Callable[..., Any]]) -> None:
    """Do tasks until the pipe is closed."""
    # Ctrl-C reaches all processes of a terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()

    def on_item(index: int) -> None:
        at.value = index

    work: Callable[..., Any] | None = None
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):  # the first process has ended
            return
        answer: Any = None
        error: Team5Error | None = None
        try:
            work = work or make_work()
            answer = work(task, on_item)
        except Team5Error as raised:
            error = raised
        except OSError as raised:
            error = StorageError(str(raised))
        at.value = _NO_ITEM
        try:
            pipe.send((answer, error))
        except OSError:  # nobody waits any more
            return
