"""Calls to a helper process, concurrent and bounded in time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from team5.errors import BusyError, DataError, LateError
from team5.serving.budget import Budget, Claim
from team5.serving.channel import encode, read_message
from team5.serving.messages import Call, Fault
from team5.serving.process import Process
from team5.serving.settings import Limits

_MAX_CALLS = 4
# Time that a call may take while others wait.
_TURN_S = 3.0
# Memory of a call in addition to the libraries: measured on the largest files, with a margin.
_CALL_BYTES, _BYTES_PER_BYTE = 50_000_000, 12
# Idle time after which the process is ended to free its memory.
_IDLE_S = 300.0


@dataclass(eq=False, slots=True)
class _Running:
    pid: int
    since: float = field(default_factory=time.monotonic)
    crowded_out: bool = False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Helper:
    """A helper process, started on first use and ended when idle.

    It loads the modules in ``load`` before the first call; each call claims memory of the budget.
    """

    def __init__(self, limits: Limits, budget: Budget, *load: str) -> None:
        self._limits = limits
        self._budget = budget
        self._load = load
        self._process: Process | None = None
        self._slots = asyncio.Semaphore(_MAX_CALLS)
        self._n_waiting = 0
        self._running: set[_Running] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def call(self, task: str, *arguments: Any, n_bytes: int) -> Any:
        """Return what the helper's function returns for ``n_bytes`` of input."""
        async with self._slot():
            claim = Claim(self._budget)
            claim.grow(_CALL_BYTES + _BYTES_PER_BYTE * n_bytes)
            try:
                # Here, as a child that is killed removes nothing.
                with TemporaryDirectory(prefix="team5-", ignore_cleanup_errors=True) as folder:
                    cpu_s = int(self._limits.read_s)
                    value = await self._run(Call(task, arguments, cpu_s, claim.n_bytes, folder))
            finally:
                claim.release()
        if isinstance(value, Fault):
            raise value.to_error()
        return value

    def start(self) -> None:
        """Start the process before it is needed."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_idle)
        if self._process is None:
            self._process = Process("team5.serving.helper", "--load", *self._load)

    async def close(self) -> None:
        """Stop the process."""
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    async def _run(self, call: Call) -> Any:
        """Run a call in a child of the helper; a helper that has died is restarted once."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.start()
            assert self._process is not None  # noqa: S101  (just started)
            try:
                socket.send_fds(self._process.socket, [b"."], [theirs.fileno()])
            except OSError:
                await self.close()
                self.start()
                socket.send_fds(self._process.socket, [b"."], [theirs.fileno()])
        reader, writer = await asyncio.open_connection(sock=ours)
        running: _Running | None = None
        try:
            running = _Running(await read_message(reader))
            self._running.add(running)
            writer.write(encode(call))
            value = await read_message(reader)
        except EOFError as error:
            if running is None or running.crowded_out:
                raise LateError(
                    f"this took longer than {_TURN_S:g} s while others were waiting. Send less at "
                    "once, or try again later."
                ) from error
            raise DataError(
                f"this could not be done within {call.cpu_s} s of processor time and the memory "
                "there is. Send less at once."
            ) from error
        except asyncio.CancelledError:
            if running is not None:
                running.kill()
            raise
        else:
            return value
        finally:
            if running is not None:
                self._running.discard(running)
            writer.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._n_waiting >= self._limits.queue_requests:
            raise BusyError(f"{self._n_waiting} files and drawings are waiting. Try again later.")
        self._n_waiting += 1
        acquiring = asyncio.ensure_future(self._slots.acquire())
        try:
            while not (await asyncio.wait({acquiring}, timeout=_TURN_S))[0]:
                self._crowd_out()
        except asyncio.CancelledError:
            if not acquiring.cancel():
                self._slots.release()
            raise
        finally:
            self._n_waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    def _crowd_out(self) -> None:
        """End the longest-running call, if it has used up its time."""
        had_turn = time.monotonic() - _TURN_S
        running = [call for call in self._running if not call.crowded_out]
        oldest = min(running, key=lambda call: call.since, default=None)
        if oldest is not None and oldest.since < had_turn:
            oldest.crowded_out = True
            oldest.kill()

    def _end_idle(self) -> None:
        if self._running or self._n_waiting:
            self.start()
        else:
            self._ending = asyncio.ensure_future(self.close())
