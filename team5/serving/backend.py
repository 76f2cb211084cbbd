"""The server's side of the process that computes: what waits for it, and its life."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Never

from team5.data.spectrum import Spectrum
from team5.errors import BusyError, Team5Error, WorkerError
from team5.search.reading import Candidate
from team5.serving.items import Item
from team5.serving.messages import (
    Answered,
    Ask,
    Cancel,
    Counted,
    Load,
    Loaded,
    Progress,
    Rank,
    Refused,
)
from team5.serving.metrics import Metrics
from team5.serving.process import Process
from team5.serving.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_RETRY_S = 60
# Between restarts of a process that ends at once, doubled each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
# After which its end says nothing about the next one.
_LONG_LIFE_S = 30.0


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[Answered]
    n_pairs: int


class Backend:
    """Hands jobs to the worker, and brings it back when it ends.

    Attributes
    ----------
    current : Loaded or None
        What answers where no version is named; None while no worker is ready.
    refused : Refused or None
        The newest latest, if it could not be taken.
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
        """Start the worker and return what it has loaded.

        Raises
        ------
        Team5Error
            If the version cannot be loaded.
        """
        self._task = asyncio.create_task(self._keep_alive())
        self._task.add_done_callback(self._give_up)
        return await self._first

    async def answer(self, item: Item, version: str | None, caller: int) -> bytes:
        """Return the answer to an item as JSON; ``caller`` is what `room` gave.

        Raises
        ------
        Team5Error
            What `infer` raises; BusyError, WorkerError.
        """
        job = next(self._numbers)
        return (await self._ask(Ask(job, caller, item.question, version), item.n_pairs))[0]

    async def rank(
        self,
        spectrum: Spectrum,
        candidates: Sequence[Candidate],
        max_error: float | None,
        version: str | None,
        caller: int,
    ) -> tuple[bytes, tuple[str, ...]]:
        """Return a Ranking as JSON, and what was left out of it."""
        job = next(self._numbers)
        request = Rank(job, caller, spectrum, candidates, max_error, version)
        return await self._ask(request, len(candidates))

    def renew(self) -> None:
        """Look whether another version is to answer; the outcome is in the attributes."""
        if self._first.done():
            self._send(Load(self._settings.version))

    def end_if_stuck(self) -> None:
        """End a worker that has work and gives no sign of life; it is started again."""
        silent_s = time.monotonic() - self._last_sign
        if self._waiting and self._process is not None and silent_s > self._settings.stuck_s:
            log.error("the process that computes has been silent for %.0f s; ended", silent_s)
            self._process.kill()

    @contextmanager
    def room(self, n_pairs: int) -> Iterator[int]:
        """Make room for a request, and give the number its jobs are asked under.

        Raises
        ------
        BusyError
            If as much is waiting as may.
        WorkerError
            If nothing can be answered at the moment.
        """
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
        try:
            yield next(self._numbers)
        finally:
            self._n_requests -= 1
            self._metrics.queue(self._n_requests, self._n_pairs)

    @property
    def retry_after_s(self) -> int:
        """Seconds until what is waiting may be done, for those who are told to come back."""
        return max(1, min(math.ceil(self._n_pairs / self._pairs_per_s), _LONGEST_RETRY_S))

    async def close(self) -> None:
        """Let the worker go; it ends with its socket."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            await self._process.close()

    async def _ask(self, request: Ask | Rank, n_pairs: int) -> tuple[bytes, tuple[str, ...]]:
        if self.current is None:
            raise _ended()
        if not self._waiting:
            self._last_sign = time.monotonic()
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[request.job] = _Waiting(future, n_pairs)
        self._count(n_pairs)
        try:
            self._send(request)
            answered = await future
        except asyncio.CancelledError:
            self._send(Cancel(request.job))
            raise
        finally:
            if (waiting := self._waiting.pop(request.job, None)) is not None:
                self._count(-waiting.n_pairs)
        if answered.fault is not None:
            raise answered.fault.to_error()
        return answered.json or b"null", answered.left_out

    def _count(self, n_pairs: int) -> None:
        self._n_pairs += n_pairs
        self._metrics.queue(self._n_requests, self._n_pairs)

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
            self._metrics.worker_restarted()
            pause_s = _FIRST_PAUSE_S if time.monotonic() - started > _LONG_LIFE_S else pause_s * 2
            await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    def _give_up(self, task: asyncio.Task[Never]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._first.done():
            self._first.set_exception(error)

    async def _run_worker(self) -> None:
        """Run a worker until it ends."""
        settings = self._settings
        self._process = await Process.start(
            "team5.serving.worker",
            *("--root", settings.checkpoints_root, "--device", settings.device),
            *("--max-versions", str(settings.max_versions)),
            *("--batch-pairs", str(settings.batch_pairs), "--threads", str(settings.threads)),
            *("--allow", *settings.allow),
        )
        # After a restart what answered before comes back first, whatever has become of the latest.
        if self._last_good is not None:
            self._send(Load(self._last_good.version))
        self._send(Load(settings.version))
        try:
            while True:
                self._take(await self._process.receive())
        except EOFError:
            self.current = None
            self._metrics.ready(False)
            for waiting in self._waiting.values():
                if not waiting.future.done():
                    waiting.future.set_exception(_ended())
            await self._process.close()
            self._process = None

    def _take(self, message: object) -> None:
        self._last_sign = time.monotonic()
        match message:
            case Answered():
                waiting = self._waiting.get(message.job)
                if waiting is not None and not waiting.future.done():
                    waiting.future.set_result(message)
            case Counted():
                if (waiting := self._waiting.get(message.job)) is not None:
                    self._count(message.n_pairs - waiting.n_pairs)
                    waiting.n_pairs = message.n_pairs
            case Progress():
                if message.n_pairs:
                    rate = message.n_pairs / max(message.seconds, 1e-6)
                    self._pairs_per_s += 0.1 * (rate - self._pairs_per_s)
                    self._metrics.batch(message.n_pairs, message.n_jobs, message.seconds)
            case Loaded():
                if message != self.current:
                    self._metrics.version(message.version, message.version_hash)
                    self._metrics.ready(True)
                self.current = self._last_good = message
                self.refused = None
                if not self._first.done():
                    self._first.set_result(message)
            case Refused():
                if message != self.refused:
                    log.error("version refused: %s: %s", message.fault.type, message.fault.message)
                    self._metrics.load_failed()
                self.refused = message
                if not self._first.done():
                    self._first.set_exception(message.fault.to_error())


def _ended() -> Team5Error:
    return WorkerError(
        "the process that computes has ended and is started again. Send the request again."
    )
