"""The process that owns the models and computes; the server talks to it over a socket.

It is a process of its own so that the server answers, refuses and reports while it computes, and
outlives it. It ends when the server's end of the socket is closed, however the server ended.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
import time
from typing import Any, Never

from team5.errors import Team5Error
from team5.inference.inference import LoadedModel
from team5.runtime.memory import give_back_free_memory
from team5.serving.batcher import Batcher
from team5.serving.channel import Channel
from team5.serving.messages import Answered, Ask, Cancel, Fault, Load, Loaded, Rank, Refused
from team5.serving.models import ModelPool
from team5.serving.process import end_with_parent

_TRIM_S = 3.0


class Worker:
    """Reads messages between batches, and answers them."""

    def __init__(self, channel: Channel, pool: ModelPool, batch_pairs: int) -> None:
        self._channel = channel
        self._pool = pool
        self._batcher = Batcher(channel.send, batch_pairs)
        self._parked: set[int] = set()
        self._trimmed_at = time.monotonic()

    def run(self) -> Never:
        """Work until the server is gone."""
        while True:
            wait_s = 0 if len(self._batcher) else 1 if self._pool.is_waiting else None
            for message in self._channel.receive(wait_s, wake=self._pool.wake):
                self._take(message)
            self._pool.collect()
            if len(self._batcher):
                self._batcher.step()
                self._give_back_memory()

    def _give_back_memory(self) -> None:
        """Let the system have what batches of many sizes have left in pieces, now and then."""
        if time.monotonic() - self._trimmed_at > _TRIM_S:
            give_back_free_memory()
            self._trimmed_at = time.monotonic()

    def _take(self, message: Any) -> None:
        match message:
            case Ask() | Rank():
                self._parked.add(message.job)
                self._pool.get(message.version, lambda model: self._begin(message, model))
            case Cancel():
                self._parked.discard(message.job)
                self._batcher.cancel(message.job)
            case Load():
                self._pool.renew(message.version, lambda model: self._report(message, model))

    def _begin(self, request: Ask | Rank, model: LoadedModel | Team5Error) -> None:
        if request.job not in self._parked:
            return  # cancelled while its version was loading
        self._parked.remove(request.job)
        if isinstance(model, Team5Error):
            self._channel.send(Answered(request.job, Fault.of(model)))
        else:
            self._batcher.add(request, model)

    def _report(self, load: Load, model: LoadedModel | Team5Error) -> None:
        if isinstance(model, Team5Error):
            self._channel.send(Refused(load.version, Fault.of(model)))
        else:
            self._channel.send(Loaded(model.version, model.version_hash))


def main() -> Never:
    """Run as a process of the server, until that is gone."""
    parser = argparse.ArgumentParser(description="Started by serve.py.")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--max-versions", type=int, required=True)
    parser.add_argument("--batch-pairs", type=int, required=True)
    parser.add_argument("--registry-s", type=float, required=True)
    parser.add_argument("--allow", nargs="*", default=[])
    options = parser.parse_args()
    end_with_parent()
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s")
    gc.freeze()  # a collection does not look through the libraries' objects, which are many
    channel = Channel(socket.socket(fileno=options.socket))
    pool = ModelPool(
        options.root, options.device, options.max_versions, options.allow, options.registry_s
    )
    try:
        Worker(channel, pool, options.batch_pairs).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # whatever the other threads are waiting for


if __name__ == "__main__":
    main()
