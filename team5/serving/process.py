"""A subprocess of the server, connected by a socket with which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from team5.serving.channel import encode, read_message

_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


class Process:
    """A module of team5 that runs in its own process and takes messages over a socket.

    Attributes
    ----------
    socket : socket.socket
        The server's end; `connect` makes streams of it.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        """Run ``python -m module --socket N arguments``."""
        self._writer: asyncio.StreamWriter | None = None
        self.socket, theirs = socket.socketpair()
        # The package is imported from the same place, whatever the working folder.
        paths = os.pathsep.join(path for path in sys.path if path)
        with theirs:
            number = theirs.fileno()
            self._child = subprocess.Popen(  # noqa: S603  (our own module; returns at once)
                [sys.executable, "-m", module, "--socket", str(number), *arguments],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self.socket)

    def send(self, message: Any) -> None:
        """Send a message; return whether it was delivered."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    async def receive(self) -> Any:
        """Return the next message; EOFError if the process has ended."""
        return await read_message(self._reader)

    def kill(self) -> None:
        """Kill the process."""
        self._child.kill()

    async def close(self) -> None:
        """Let the process end, and make sure that it has."""
        with contextlib.suppress(OSError):  # the other side has closed it already
            self.socket.shutdown(socket.SHUT_RDWR)
        if self._writer is None:
            self.socket.close()
        else:
            self._writer.close()
        try:
            await asyncio.to_thread(self._child.wait, _GRACE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)


def end_with_parent() -> None:
    """Have the system end this process together with its parent, whatever it is doing.

    Signals to the whole process group are left to the parent, which ends this process in time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
