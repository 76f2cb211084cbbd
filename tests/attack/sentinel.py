"""Notices whatever hostile input makes this process do: all of it names the mark."""

import contextlib
import os
import sys
from collections.abc import Iterator

from omegaconf import OmegaConf

MARK = "sentinel4711"
SECRET = "the-secret-of-this-machine"
_HARMLESS = {"object.__getattr__", "object.__setattr__", "sys._getframe", "compile", "exec"}
_watched: list[list[str]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watched and event not in _HARMLESS and MARK in repr(arguments):
        _watched[-1].append(f"{event}{arguments!r:.200}")


sys.addaudithook(_hook)  # stays for ever, and says nothing unless `watched` listens


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Give a list of what was opened, imported, sent or started under the mark meanwhile."""
    done: list[str] = []
    os.environ[MARK.upper()] = SECRET
    OmegaConf.register_new_resolver(
        MARK, lambda *_: done.append("resolved"), replace=True, use_cache=False
    )
    _watched.append(done)
    try:
        yield done
    finally:
        _watched.pop()
        OmegaConf.clear_resolver(MARK)
        del os.environ[MARK.upper()]
        if any(MARK in name for name in sys.modules):
            done.append("imported")
