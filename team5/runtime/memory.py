"""Memory that is free again goes back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back_free_memory() -> None:
    """Return pages that hold nothing to the system, where its C library can: glibc's malloc_trim.

    What is kept of some structures lies between what was needed for a moment for others. The
    allocator does not give back such holes by itself, and the process would grow with every
    structure that is scored.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
