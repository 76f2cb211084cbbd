"""Message channel between the server and its processes: length-prefixed pickles on a socket.

Both ends are team5's, and no other program can reach the socket, an unnamed pair; data from callers
is never unpickled.
"""

from __future__ import annotations

import asyncio
import pickle
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any

_LENGTH = struct.Struct("!Q")
_CHUNK_BYTES = 1 << 18


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield content in chunks of one size, so that nobody handles all of it at once."""
    chunk = bytearray()
    for piece in pieces:
        for at in range(0, len(piece), _CHUNK_BYTES):
            chunk += piece[at : at + _CHUNK_BYTES]
            if len(chunk) >= _CHUNK_BYTES:
                yield bytes(chunk[:_CHUNK_BYTES])
                del chunk[:_CHUNK_BYTES]
    yield bytes(chunk)


def encode(message: Any) -> bytes:
    """Return a message encoded for the socket."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def read_message(reader: asyncio.StreamReader) -> Any:
    """Return the next message; EOFError if the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))  # noqa: S301  (our own process)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError from error


class Channel:
    """The end of a single-threaded process that checks for messages between steps."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()

    def send(self, message: Any) -> None:
        """Send a message; waits while the other side is slow to read."""
        self._socket.sendall(encode(message))

    def receive(self, timeout_s: float | None = None, *, wake: int | None = None) -> list[Any]:
        """Return all pending messages, after waiting for one if there is none.

        ``wake`` is a file descriptor that also ends the waiting when it can be read.
        """
        watched = [self._socket.fileno(), *([] if wake is None else [wake])]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        while self._socket.fileno() in ready:
            received = self._socket.recv(1 << 20)
            if not received:
                raise EOFError
            self._buffer += received
            ready, _, _ = select.select([self._socket.fileno()], [], [], 0)
        return list(self._whole_messages())

    def _whole_messages(self) -> list[Any]:
        messages, start = [], 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            stop = start + _LENGTH.size + length
            if stop > len(self._buffer):
                break
            messages.append(pickle.loads(self._buffer[start + _LENGTH.size : stop]))  # noqa: S301
            start = stop
        del self._buffer[:start]
        return messages
