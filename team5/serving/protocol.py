"""HTTP protocol with time limits for callers that send or read nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from team5.serving.settings import Limits

_CROWDED = "crowded"
# Connections beyond the limit that are told so; still further ones would take all file descriptors.
_MOST_TOLD = 64


def is_crowded(scope: Any) -> bool:
    """Whether a request comes over a connection above the server's limit."""
    return _CROWDED in scope.get("state", {})


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits without end for headers and for slow readers.

    Requests over connections beyond ``limits.connections`` are marked. uvicorn's own limit refuses
    them in plain text, and those that were there before along with them.
    """

    limits: Limits
    _headers_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections + _MOST_TOLD:
            transport.abort()
            return
        if len(self.connections) > self.limits.connections:
            self.app_state = {**self.app_state, _CROWDED: True}
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_busy() and self._headers_timer is None:
            self._await_headers()
        super().data_received(data)
        if self._is_busy() and self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def pause_writing(self) -> None:
        """Watch a caller that reads the answer too slowly."""
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_headers(self) -> None:
        self._headers_timer = self.loop.call_later(self.limits.headers_s, self.transport.abort)

    def _watch_writing(self, n_bytes: int) -> None:
        self._stall_timer = self.loop.call_later(
            self.limits.stalled_s, self._check_writing, n_bytes
        )

    def _check_writing(self, n_before: int) -> None:
        n_bytes = self.transport.get_write_buffer_size()
        if n_bytes >= n_before:
            self.transport.abort()
        else:
            self._watch_writing(n_bytes)

    def _stop_timers(self) -> None:
        for timer in (self._headers_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
