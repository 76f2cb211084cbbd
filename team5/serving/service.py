"""Service behind the routes: from the body of a request to its answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request

from team5.errors import LateError, Team5Error, TooLargeError, WorkerError
from team5.serving.answers import ClientGone
from team5.serving.backend import Backend, Caller
from team5.serving.budget import Budget, Claim
from team5.serving.calls import Helper
from team5.serving.files import progress_line, rank_lines
from team5.serving.items import Item, Prepared, prepare, to_error_json
from team5.serving.libraries import open_libraries
from team5.serving.messages import Contents
from team5.serving.metrics import Metrics
from team5.serving.registry import Registry
from team5.serving.settings import Settings

T = TypeVar("T")

# Larger bodies are parsed outside the event loop.
_LARGE_BYTES = 100_000
# Memory of a body and of its parsed data.
_BYTES_PER_BYTE = 4
# Magic bytes of compressed files, which no text contains.
_PACKED = re.compile(rb"\x1f\x8b\x08|PK\x03\x04|BZh\d1AY|\xfd7zXZ|\x28\xb5\x2f\xfd")
# A search of a library takes as much memory as reading so many additional bytes.
_LIBRARY_BYTES = 25_000_000
# Seconds between two lines of progress.
_PROGRESS_S = 1.0
# Items of a request in progress at once: enough for any batch.
_ITEMS_AHEAD = 256


class Service:
    """State and steps that the routes share."""

    def __init__(
        self, settings: Settings, backend: Backend, metrics: Metrics, budget: Budget
    ) -> None:
        self.settings = settings
        self.backend = backend
        self.metrics = metrics
        self.registry = Registry(settings)
        self.libraries = open_libraries(settings.library)
        limits = settings.limits
        # Loading what reads files takes seconds, in which nothing else of that helper starts.
        self._files = Helper(limits, budget, "team5.serving.reading", "team5.data.readers")
        self._others = Helper(limits, budget, "team5.serving.drawing")
        self._stopped = asyncio.Event()

    async def prepare(self, request: Request) -> Prepared:
        """Return the questions of POST /predict."""
        body = await self.read_body(request)
        if len(body) <= _LARGE_BYTES:
            return prepare(body, self.settings.limits)
        return await self.while_wanted(request, self.call_helper("prepare", body))

    async def predict(self, prepared: Prepared, version: str | None, claim: Claim) -> list[bytes]:
        """Return the answer to POST /predict in pieces."""
        with self.backend.room(prepared.n_pairs, claim) as caller:
            if prepared.frame is None and isinstance(item := prepared.items[0], Item):
                return [*await self.backend.answer(item, version, caller), b"\n"]
            before, after = prepared.frame or (b"", b"")
            answers = await self._answer_all(prepared.items, version, caller)
            return [before, *answers, after, b"\n"]

    async def _answer_all(
        self, items: list[Item | bytes], version: str | None, caller: Caller
    ) -> list[bytes]:
        """Return the pieces of a list of answers."""
        answers: list[list[bytes]] = [[]] * len(items)

        async def answer_some(numbers: Iterator[int]) -> None:
            for number in numbers:
                item = items[number]
                try:
                    if isinstance(item, Item):
                        answer = await self.backend.answer(item, version, caller)
                        answers[number] = [b'{"answer": ', *answer, b"}"]
                    else:
                        answers[number] = [item]
                except Team5Error as error:
                    if error.exit_code != 2:
                        raise  # not the item's fault: none of them is answered
                    answers[number] = [to_error_json(error, number)]

        numbers = iter(range(len(items)))
        n_ahead = min(len(items), _ITEMS_AHEAD)
        tasks = [asyncio.create_task(answer_some(numbers)) for _ in range(n_ahead)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [piece for answer in answers for piece in (b", ", *answer)][1:]

    async def while_wanted(
        self, request: Request, work: Awaitable[T], until: float | None = None
    ) -> T:
        """Wait for work while the caller does and the server runs, until the time is up.

        ``until`` is on the monotonic clock; by default a request's time from now.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        stopped = asyncio.ensure_future(self._stopped.wait())
        left_s = self.settings.limits.request_s if until is None else until - time.monotonic()
        try:
            await asyncio.wait(
                {task, gone, stopped}, timeout=max(left_s, 0), return_when="FIRST_COMPLETED"
            )
            if task.done():
                return task.result()
            if gone.done():
                self.metrics.abandoned.inc()
                raise ClientGone
            if stopped.done():
                raise WorkerError("the server is stopping. Send the request again soon.")
            raise LateError(
                f"no answer within {self.settings.limits.request_s:g} s. Ask for fewer candidates "
                "at once, or try later."
            )
        finally:
            for future in (task, gone, stopped):
                future.cancel()
            await asyncio.gather(task, gone, stopped, return_exceptions=True)

    async def call_helper(self, task: str, body: bytes, *arguments: Any) -> Any:
        """Return the result of a helper process for a body."""
        helper = self._files if task.startswith("read") else self._others
        limits = self.settings.limits
        # Compressed files may expand up to the size limit of a body.
        n_bytes = limits.body_bytes if _PACKED.search(body) else len(body)
        if task == "read_for_ranking" and self.libraries and b"library" in body:
            n_bytes += _LIBRARY_BYTES
        return await helper.call(task, *arguments, body, limits, n_bytes=n_bytes)

    async def rank_file(
        self, request: Request, version: str | None, progress: bool
    ) -> AsyncGenerator[bytes]:
        """Yield the lines of POST /rank/file."""
        until = time.monotonic() + self.settings.limits.request_s
        reading = self.read_file(request, "read_for_ranking", self.libraries, until=until)
        contents: Contents = await reading
        if version is None and self.backend.current is not None:
            version = self.backend.current.version  # one for the whole file
        claim_of(request).grow(contents.n_bytes)
        with self.backend.room(contents.n_pairs, claim_of(request)) as caller:
            ranked = rank_lines(self.backend, contents, version, caller)
            async with aclosing(ranked) as lines:
                every_s = _PROGRESS_S if progress else None
                no_more: list[bytes] = []
                line = b"-"
                while line:
                    line, work = b"", anext(lines, no_more)
                    async for line in self.with_progress(request, work, until, every_s):
                        yield line

    async def with_progress(
        self,
        request: Request,
        work: Awaitable[list[bytes]],
        until: float | None = None,
        every_s: float | None = _PROGRESS_S,
    ) -> AsyncGenerator[bytes]:
        """Yield a line now and then that says how far a request is, then the pieces of its work."""
        task = asyncio.ensure_future(self.while_wanted(request, work, until))
        try:
            while not (await asyncio.wait({task}, timeout=every_s))[0]:
                yield progress_line(*self.backend.progress(claim_of(request)))
            for piece in await task:
                yield piece
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def read_file(
        self, request: Request, task: str, *arguments: Any, until: float | None = None
    ) -> Any:
        """Return what a helper process makes of uploaded files."""
        body = await self.read_body(request)
        content_type = request.headers.get("content-type", "")
        work = self.call_helper(task, body, *arguments, content_type)
        return await self.while_wanted(request, work, until)

    async def read_body(self, request: Request) -> bytes:
        """Return the body of a request."""
        limits, claim = self.settings.limits, claim_of(request)
        body = bytearray()
        try:
            async with asyncio.timeout(limits.body_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limits.body_bytes:
                        raise TooLargeError(
                            f"the body is larger than {limits.body_mb:g} MB. Send less at once."
                        )
                    claim.grow(_BYTES_PER_BYTE * len(chunk))
        except TimeoutError as error:
            raise LateError(f"the body did not come within {limits.body_s:g} s.") from error
        return bytes(body)

    async def warm(self) -> None:
        """Start what somebody who has opened the page will soon need."""
        self._files.start()
        self._others.start()

    def stop(self) -> None:
        """Answer what can be answered in the time there is to stop, and refuse the rest at once."""
        self.backend.refuse_beyond(self.settings.shutdown_s)
        asyncio.get_running_loop().call_later(self.settings.shutdown_s, self._stopped.set)

    async def close(self) -> None:
        """Let the helper processes go."""
        await asyncio.gather(self._files.close(), self._others.close())


def claim_of(request: Request) -> Claim:
    """Return a request's claim on the memory there is."""
    claim: Claim = request.scope["state"]["claim"]
    return claim


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
