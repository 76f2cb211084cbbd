"""Return of freed memory to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back_free_memory() -> None:
    """Return free heap pages to the system, where the C library can: glibc's malloc_trim.

    Cached data of some structures lies between temporary data of others. The allocator does not
    return such holes by itself, and the process would grow with every scored structure.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
