"""Calls to a helper process: one at a time, bounded in time."""

from __future__ import annotations

import asyncio
from typing import Any

from team5.errors import DataError
from team5.serving.messages import Fault
from team5.serving.process import Process

# How long what is under way may go on when its caller has gone: a new process costs more.
_PATIENCE_S = 1.0
# Then the process is ended, and its memory given back.
_IDLE_S = 300.0


class Aside:
    """A helper process, started when it is first needed and ended when nobody needs it.

    Parameters
    ----------
    task : {"read", "draw"}
        See `team5.serving.helper`.
    limit_s : float
        Time a call may take; then the process is ended, and the next call has a new one.
    """

    def __init__(self, task: str, limit_s: float) -> None:
        self._task = task
        self._limit_s = limit_s
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def call(self, *arguments: Any) -> Any:
        """Return what the helper's function gives.

        Raises
        ------
        Team5Error
            What the function raises; DataError if it took too much memory or time.
        """
        async with self._turn:
            process = await self._started()
            process.send(arguments)
            receiving = asyncio.ensure_future(process.receive())
            try:
                async with asyncio.timeout(self._limit_s):
                    value = await asyncio.shield(receiving)
            except asyncio.CancelledError:
                await asyncio.wait({receiving}, timeout=_PATIENCE_S)
                raise
            except TimeoutError as error:
                raise DataError(
                    f"this took longer than {self._limit_s:g} s. Send less at once."
                ) from error
            except EOFError as error:
                raise DataError(
                    "this could not be done within the memory there is. Send less at once."
                ) from error
            finally:
                if not receiving.done() or receiving.exception() is not None:
                    receiving.cancel()
                    await self._end()
        if isinstance(value, Fault):
            raise value.to_error()
        return value

    async def warm(self) -> None:
        """Start the process before it is needed."""
        async with self._turn:
            await self._started()

    async def close(self) -> None:
        """Let the process go."""
        if self._idle is not None:
            self._idle.cancel()
        async with self._turn:
            await self._end()

    async def _started(self) -> Process:
        if self._process is None:
            self._process = await Process.start("team5.serving.helper", "--task", self._task)
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_idle)
        return self._process

    def _end_idle(self) -> None:
        self._ending = asyncio.ensure_future(self.close())

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.close()
