"""How far a build is, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from team5.runtime import progress as runtime

Show = Callable[[float, int], None]  # told the share done, 0 to 1, and records read so far


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show how far something is while it lasts."""
    with runtime.progress(title, 1.0, unit="records") as job:
        yield lambda share, n_records: job.update(share, count=n_records)
