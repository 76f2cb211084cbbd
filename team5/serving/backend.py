"""The server's side of the process that computes: what waits for it, and its life."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from team5.data.spectrum import Spectrum
from team5.errors import BusyError, Team5Error, WorkerError
from team5.inference.batch import Candidate
from team5.serving.channel import encode, read_message
from team5.serving.items import Item
from team5.serving.messages import (
    Answered,
    Ask,
    Cancel,
    Load,
    Loaded,
    Progress,
    Rank,
    Refused,
)
from team5.serving.metrics import Metrics
from team5.serving.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_RETRY_S = 60
# Between restarts of a process that ends at once, doubled each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0


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
        self._n_pairs = 0
        self._pairs_per_s = 50.0
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._last_good: str | None = settings.version
        self._closing = False

    @property
    def worker_pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> Loaded:
        """Start the worker and return what it has loaded.

        Raises
        ------
        Team5Error
            If the version cannot be loaded.
        """
        self._task = asyncio.create_task(self._keep_alive())
        while self.current is None and self.refused is None:
            if self._task.done():
                await self._task
            await self._wait_for_news()
        if self.current is None and self.refused is not None:
            raise self.refused.fault.to_error()
        assert self.current is not None  # noqa: S101
        return self.current

    async def answer(self, item: Item, version: str | None) -> bytes:
        """Return the answer to an item as JSON.

        Raises
        ------
        Team5Error
            What `infer` raises; BusyError, WorkerError.
        """
        job = next(self._numbers)
        return (await self._ask(Ask(job, item.question, version), item.n_pairs))[0]

    async def rank(
        self,
        spectrum: Spectrum,
        candidates: Sequence[Candidate],
        max_error: float | None,
        version: str | None,
    ) -> tuple[bytes, tuple[str, ...]]:
        """Return a Ranking as JSON, and what was left out of it."""
        job = next(self._numbers)
        request = Rank(job, spectrum, candidates, max_error, version)
        return await self._ask(request, len(candidates))

    async def renew(self, version: str | None) -> None:
        """Let another version answer where none is named; the outcome is in the attributes."""
        self._send(Load(version))

    def check_room(self, n_requests: int, n_pairs: int) -> None:
        """Refuse work that the queue has no room for.

        Raises
        ------
        BusyError, WorkerError
        """
        limits = self._settings.limits
        if self.current is None:
            raise WorkerError("the process that computes is starting. Send the request again soon.")
        too_many = len(self._waiting) + n_requests > limits.queue_requests
        too_much = self._n_pairs + n_pairs > limits.queue_pairs
        if self._waiting and (too_many or too_much):
            raise BusyError(
                f"{len(self._waiting):,} requests with {self._n_pairs:,} pairs are waiting. "
                f"Send the request again in {self.retry_after_s} s."
            )

    @property
    def retry_after_s(self) -> int:
        """Seconds until what is waiting may be done, for those who are told to come back."""
        return max(1, min(math.ceil(self._n_pairs / self._pairs_per_s), _LONGEST_RETRY_S))

    async def close(self) -> None:
        """Let the worker go; it ends with its socket."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end_process()

    async def _ask(self, request: Ask | Rank, n_pairs: int) -> tuple[bytes, tuple[str, ...]]:
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
            if self._waiting.pop(request.job, None) is not None:
                self._count(-n_pairs)
        if answered.fault is not None:
            raise answered.fault.to_error()
        return answered.json or b"null", answered.left_out

    def _count(self, n_pairs: int) -> None:
        self._n_pairs += n_pairs
        self._metrics.queue(len(self._waiting), self._n_pairs)

    def _send(self, message: object) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))
        elif not isinstance(message, Cancel):
            raise _ended()

    async def _keep_alive(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing:
            started = time.monotonic()
            reader = await self._spawn()
            self._send(Load(self._last_good))
            try:
                while True:
                    self._take(await read_message(reader))
            except EOFError:
                pass
            first_start = self._last_good is None and self.current is None
            self._lost()
            await self._end_process()
            if first_start and self.refused is None:
                raise WorkerError("the process that computes ended before it had loaded a version.")
            log.error("the process that computes has ended; it is started again")
            self._metrics.worker_restarted()
            pause_s = _FIRST_PAUSE_S if time.monotonic() - started > 30 else pause_s * 2
            await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    async def _spawn(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        settings = self._settings
        command = [
            *(sys.executable, "-m", "team5.serving.worker"),
            *("--socket", str(theirs.fileno()), "--root", settings.checkpoints_root),
            *("--device", settings.device, "--max-versions", str(settings.max_versions)),
            *("--batch-pairs", str(settings.batch_pairs), "--threads", str(settings.threads)),
        ]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=_environment()
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        return reader

    def _take(self, message: object) -> None:
        match message:
            case Answered():
                waiting = self._waiting.get(message.job)
                if waiting is not None and not waiting.future.done():
                    waiting.future.set_result(message)
            case Progress():
                if message.n_pairs:
                    rate = message.n_pairs / max(message.seconds, 1e-6)
                    self._pairs_per_s += 0.1 * (rate - self._pairs_per_s)
                    self._metrics.batch(message.n_pairs, message.n_jobs, message.seconds)
            case Loaded():
                self.current, self.refused = message, None
                self._last_good = message.version
                self._metrics.version(message.version, message.version_hash)
                self._wake()
            case Refused():
                self.refused = message
                self._metrics.load_failed()
                self._wake()

    def _lost(self) -> None:
        self.current = None
        for waiting in list(self._waiting.values()):
            if not waiting.future.done():
                waiting.future.set_exception(_ended())
        self._wake()

    async def _end_process(self) -> None:
        process, writer = self._process, self._writer
        self._process = self._writer = None
        if writer is not None:
            writer.close()
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, 5)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    def _wake(self) -> None:
        self._news.set()

    async def _wait_for_news(self) -> None:
        self._news.clear()
        waiter = asyncio.ensure_future(self._news.wait())
        tasks = [waiter] if self._task is None else [waiter, self._task]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()


def _ended() -> Team5Error:
    return WorkerError(
        "the process that computes has ended and is started again. Send the request again."
    )


def _environment() -> dict[str, str]:
    # The package is found as it was found here, whatever the folder.
    paths = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
