"""Helper process that handles data from callers, each call in a separate child.

Files are read and structures drawn by libraries that were not written for untrusted data. A
call that takes too much memory or CPU time ends only its child. Children are
forked from this process, which has the libraries loaded, so that they start in milliseconds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from team5.errors import DataError, Team5Error
from team5.serving.channel import Channel
from team5.serving.messages import Call, Fault
from team5.serving.process import end_with_parent

# Function by task; the libraries that a helper loads before it forks are arguments.
TASKS = {
    "prepare": ("team5.serving.items", "prepare"),
    "draw": ("team5.serving.drawing", "draw"),
    "read": ("team5.serving.reading", "read_spectra_as_json"),
    "read_for_ranking": ("team5.serving.reading", "read_for_ranking"),
}
# Predictions must not wait for the computations of other callers' files.
_NICENESS = 5


def main() -> int:
    """Fork a child for each socket that the server sends; returns the exit code."""
    parser = argparse.ArgumentParser(description="Started by serve.py.")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--load", nargs="*", default=[])
    options = parser.parse_args()
    end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave no zombies
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for module in options.load:
        importlib.import_module(module)
    os.nice(_NICENESS)
    sock = socket.socket(fileno=options.socket)
    while True:
        try:
            received, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
        except ConnectionError:
            return 0
        if not received:
            return 0
        if os.fork() == 0:
            sock.close()
            try:
                _answer(Channel(socket.socket(fileno=descriptors[0])))
            finally:
                os._exit(0)  # without the parent's exit handlers
        os.close(descriptors[0])


def _answer(channel: Channel) -> None:
    end_with_parent()
    channel.send(os.getpid())
    messages: list[Call] = []
    while not messages:
        messages = channel.receive()
    try:
        channel.send(_run(messages[0]))
    except MemoryError:
        channel.send(_too_much_memory())


def _run(call: Call) -> Any:
    module, name = TASKS[call.task]
    function = getattr(importlib.import_module(module), name)
    _bound(call)
    tempfile.tempdir = call.folder
    try:
        return function(*call.arguments)
    except Team5Error as error:
        return Fault.of(error)
    except MemoryError:
        return _too_much_memory()


def _too_much_memory() -> Fault:
    return Fault.of(DataError("this takes too much memory. Send less at once."))


def _bound(call: Call) -> None:
    # A forked process has used no processor time yet.
    resource.setrlimit(resource.RLIMIT_CPU, (call.cpu_s, call.cpu_s))
    if sys.platform == "linux":  # elsewhere address space says little about memory
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + call.n_bytes
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


if __name__ == "__main__":
    sys.exit(main())
