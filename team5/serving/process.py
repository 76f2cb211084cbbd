"""A process of the server: started with a socket between them, and ended with it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import Any

from team5.serving.channel import encode, read_message

_GRACE_S = 5.0


class Process:
    """A module of team5 that runs beside the server and takes messages.

    It ends when the socket is closed, so that none is left behind however the server ends.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Process:
        """Run ``python -m module --socket N arguments``."""
        ours, theirs = socket.socketpair()
        # The package is found where it was found here, whatever the folder.
        paths = os.pathsep.join(path for path in sys.path if path)
        with theirs:
            number = theirs.fileno()
            child = subprocess.Popen(  # noqa: S603  (our own module; returns at once)
                [sys.executable, "-m", module, "--socket", str(number), *arguments],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(child, reader, writer)

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, message: Any) -> None:
        """Send a message; whether it arrives, the answer tells."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def receive(self) -> Any:
        """Return the next message.

        Raises
        ------
        EOFError
            If the process has ended.
        """
        return await read_message(self._reader)

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._child.kill()

    async def close(self) -> None:
        """Let the process end, and see to it that it does."""
        self._writer.close()
        try:
            await asyncio.to_thread(self._child.wait, _GRACE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)
