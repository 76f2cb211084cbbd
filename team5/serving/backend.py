"""The server's side of the computing process: its queue and its lifecycle."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Never

from team5.errors import BusyError, OverloadedError, Team5Error, TooLargeError, WorkerError
from team5.serving.budget import Claim
from team5.serving.items import Item
from team5.serving.messages import (
    Answered,
    Ask,
    Cancel,
    Contents,
    Counted,
    Load,
    Loaded,
    Piece,
    Progress,
    Query,
    Rank,
    Refused,
)
from team5.serving.metrics import Metrics
from team5.serving.process import Process
from team5.serving.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_RETRY_S = 60
# Delay between restarts of a process that ends at once, doubled each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
# After which its end says nothing about the next one.
_LONG_LIFE_S = 30.0


@dataclass(frozen=True, slots=True)
class Caller:
    """An admitted request: the number by which its jobs take turns, and its memory claim."""

    number: int
    claim: Claim


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[Answered]
    caller: Caller
    n_pairs: int
    pieces: list[bytes] = field(default_factory=list)
    n_bytes: int = 0
    n_done: int = 0
    n_admitted: int = 0

    @property
    def n_queued(self) -> int:
        """Pairs that count in the queue: isomers that were made for it refuse nobody else."""
        return min(self.n_pairs, self.n_admitted)

    def add(self, piece: bytes) -> None:
        """Add a piece of the answer; its memory was claimed with what the answer takes."""
        n_known = min(len(piece), self.n_bytes)
        self.caller.claim.grow(len(piece) - n_known)
        self.n_bytes -= n_known
        self.pieces.append(piece)

    def fail(self, error: Team5Error) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Backend:
    """Passes jobs to the worker, and restarts it when it ends.

    Attributes
    ----------
    current : Loaded or None
        The default version; None while no worker is ready.
    refused : Refused or None
        The newest latest version, if it could not be loaded.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.current: Loaded | None = None
        self.refused: Refused | None = None
        self._settings = settings
        self._metrics = metrics
        self._numbers = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        self._n_requests = self._n_pairs = 0
        self._pairs_per_s = 50.0
        self._process: Process | None = None
        self._task: asyncio.Task[Never] | None = None
        self._last_good: Loaded | None = None
        self._first: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._last_sign = time.monotonic()

    async def start(self) -> Loaded:
        """Start the worker and return what it has loaded."""
        self._task = asyncio.create_task(self._keep_alive())
        self._task.add_done_callback(self._give_up)
        return await self._first

    async def answer(self, item: Item, version: str | None, caller: Caller) -> list[bytes]:
        """Return the answer to an item as pieces of JSON; ``caller`` comes from `room`."""
        request = Ask(next(self._numbers), caller.number, item.question, version)
        return (await self._ask(request, item.n_pairs, caller))[0]

    async def rank(
        self, query: Query, contents: Contents, version: str | None, caller: Caller
    ) -> tuple[list[bytes], tuple[str, ...]]:
        """Return a ranking as pieces of JSON, and what was left out of it."""
        request = Rank(
            next(self._numbers),
            caller.number,
            query,
            contents.keep,
            contents.max_error,
            version,
        )
        return await self._ask(request, query.n_pairs, caller)

    def renew(self) -> None:
        """Check for a new latest version; the outcome is in the attributes."""
        if self._first.done():
            self._send(Load(self._settings.version))

    def end_if_stuck(self) -> None:
        """End a worker that has work and gives no sign of life; it is restarted."""
        silent_s = time.monotonic() - self._last_sign
        if self._waiting and self._process is not None and silent_s > self._settings.stuck_s:
            log.error("the process that computes has been silent for %.0f s; ended", silent_s)
            self._process.kill()

    def refuse_beyond(self, seconds: float) -> None:
        """Refuse requests that cannot be answered in the time left, the largest first."""
        pairs: Counter[Caller] = Counter()
        for waiting in self._waiting.values():
            pairs[waiting.caller] += waiting.n_pairs
        left = seconds * self._pairs_per_s
        refused = set()
        for caller, n_pairs in sorted(pairs.items(), key=lambda item: item[1]):
            left -= n_pairs
            if left < 0:
                refused.add(caller)
        for waiting in self._waiting.values():
            if waiting.caller in refused:
                waiting.fail(WorkerError("the server is stopping. Send the request again soon."))

    @contextmanager
    def room(self, n_pairs: int, claim: Claim) -> Iterator[Caller]:
        """Admit a request."""
        limits = self._settings.limits
        if self.current is None:
            raise WorkerError("the process that computes is starting. Send the request again soon.")
        too_many = self._n_requests >= limits.queue_requests
        too_much = self._n_pairs + n_pairs > limits.queue_pairs
        if self._n_requests and (too_many or too_much):
            raise BusyError(
                f"{self._n_requests:,} requests with {self._n_pairs:,} pairs are waiting. "
                f"Send the request again in {self.retry_after_s} s."
            )
        self._n_requests += 1
        self._metrics.queue_requests.set(self._n_requests)
        try:
            yield Caller(next(self._numbers), claim)
        finally:
            self._n_requests -= 1
            self._metrics.queue_requests.set(self._n_requests)

    def progress(self, claim: Claim) -> tuple[int, int]:
        """Return how many of a request's pairs are scored, and how many there are."""
        jobs = [waiting for waiting in self._waiting.values() if waiting.caller.claim is claim]
        return sum(job.n_done for job in jobs), sum(job.n_pairs for job in jobs)

    @property
    def retry_after_s(self) -> int:
        """Estimated seconds until the queue is done, for ``Retry-After``."""
        return max(1, min(math.ceil(self._n_pairs / self._pairs_per_s), _LONGEST_RETRY_S))

    async def close(self) -> None:
        """Stop the worker, which ends with its socket."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            await self._process.close()

    async def _ask(
        self, request: Ask | Rank, n_pairs: int, caller: Caller
    ) -> tuple[list[bytes], tuple[str, ...]]:
        if self.current is None:
            raise _ended()
        if not self._waiting:
            self._last_sign = time.monotonic()
        waiting = _Waiting(
            asyncio.get_running_loop().create_future(), caller, 0, n_admitted=n_pairs
        )
        self._waiting[request.job] = waiting
        answered = None
        try:
            self._note(waiting, Counted(request.job, n_pairs))
            self._send(request)
            answered = await waiting.future
        finally:
            del self._waiting[request.job]
            self._note(waiting, Counted(request.job, 0))
            if answered is None:
                self._send(Cancel(request.job))
        if answered.fault is not None:
            raise answered.fault.to_error()
        return waiting.pieces, answered.left_out

    def _note(self, waiting: _Waiting, counted: Counted) -> None:
        """Record the size of a job once it is known."""
        n_before = waiting.n_queued
        waiting.n_pairs, waiting.n_done = counted.n_pairs, counted.n_done
        self._n_pairs += waiting.n_queued - n_before
        self._metrics.queue_pairs.set(self._n_pairs)
        waiting.caller.claim.grow(counted.n_bytes - waiting.n_bytes)
        waiting.n_bytes = counted.n_bytes

    def _with(self, job: int, change: Callable[[_Waiting], None]) -> None:
        """Make a change to a job, if it is there; it fails if that takes too much memory."""
        waiting = self._waiting.get(job)
        if waiting is not None and not waiting.future.done():
            try:
                change(waiting)
            except (OverloadedError, TooLargeError) as error:
                waiting.fail(error)

    def _send(self, message: object) -> None:
        if self._process is not None:
            self._process.send(message)

    async def _keep_alive(self) -> Never:
        pause_s = _FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            await self._run_worker()
            if not self._first.done():
                raise WorkerError("the process that computes ended before it had loaded a version.")
            log.error("the process that computes has ended; it is started again")
            self._metrics.restarts.inc()
            pause_s = _FIRST_PAUSE_S if time.monotonic() - started > _LONG_LIFE_S else pause_s * 2
            await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    def _give_up(self, task: asyncio.Task[Never]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._first.done():
            self._first.set_exception(error)

    async def _run_worker(self) -> None:
        """Run a worker until it ends."""
        settings = self._settings
        self._process = Process(
            "team5.serving.worker",
            *("--root", settings.checkpoints_root, "--device", settings.device),
            *("--max-versions", str(settings.max_versions)),
            *("--batch-pairs", str(settings.batch_pairs)),
            *("--registry-s", str(settings.limits.registry_s), "--allow", *settings.allow),
        )
        await self._process.connect()
        # After a restart the previous version is loaded first, whatever is latest now.
        if self._last_good is not None:
            self._send(Load(self._last_good.version))
        self._send(Load(settings.version))
        try:
            while True:
                self._take(await self._process.receive())
        except EOFError:
            self.current = None
            self._metrics.ready.set(0)
            for waiting in self._waiting.values():
                waiting.fail(_ended())
            await self._process.close()
            self._process = None

    def _take(self, message: object) -> None:
        self._last_sign = time.monotonic()
        match message:
            case Piece():
                self._with(message.job, lambda waiting: waiting.add(message.json))
            case Answered():
                self._with(message.job, lambda waiting: waiting.future.set_result(message))
            case Counted():
                self._with(message.job, lambda waiting: self._note(waiting, message))
            case Progress():
                if message.n_pairs:
                    rate = message.n_pairs / max(message.seconds, 1e-6)
                    self._pairs_per_s += 0.1 * (rate - self._pairs_per_s)
                    self._metrics.batch_pairs.observe(message.n_pairs)
                    self._metrics.batch_items.observe(message.n_jobs)
                    self._metrics.batch_seconds.observe(message.seconds)
            case Loaded():
                if message != self.current:
                    names = {"version": message.version, "hash": message.version_hash}
                    self._metrics.version.info(names)
                    self._metrics.ready.set(1)
                self.current = self._last_good = message
                self.refused = None
                if not self._first.done():
                    self._first.set_result(message)
            case Refused():
                if message != self.refused:
                    log.error("version refused: %s: %s", message.fault.type, message.fault.message)
                    self._metrics.load_failures.inc()
                self.refused = message
                if not self._first.done():
                    self._first.set_exception(message.fault.to_error())


def _ended() -> Team5Error:
    return WorkerError(
        "the process that computes has ended and is started again. Send the request again."
    )
