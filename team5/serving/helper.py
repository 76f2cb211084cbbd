"""The process that reads files or draws structures for callers.

Both are done by libraries that were not written for what strangers send. What makes them take too
much memory or time ends this process, which is then started anew, and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from team5.errors import DataError, Team5Error
from team5.serving.channel import Channel
from team5.serving.messages import Fault

# Beyond what the libraries themselves take.
_MEMORY_BYTES = 2_000_000_000
# What a helper does, and what it loads for that beforehand.
TASKS = {
    "read": ("team5.serving.reading", "read_uploads", "matchms.importing"),
    "draw": ("team5.serving.drawing", "draw_structure", "rdkit.Chem.Draw"),
}


def main() -> int:
    """Run as a process of the server; returns the exit code."""
    parser = argparse.ArgumentParser(description="Started by serve.py.")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--task", choices=TASKS, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    module, name, library = TASKS[given.task]
    function = getattr(importlib.import_module(module), name)
    importlib.import_module(library)
    _bound_memory()
    channel = Channel(socket.socket(fileno=given.socket))
    while True:
        try:
            for arguments in channel.receive():
                channel.send(_call(function, arguments))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return 0


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Team5Error as error:
        return Fault.of(error)
    except MemoryError:
        return Fault.of(DataError("this takes too much memory. Send less at once."))


def _bound_memory() -> None:
    if sys.platform != "linux":  # elsewhere address space says little about memory
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


if __name__ == "__main__":
    sys.exit(main())
