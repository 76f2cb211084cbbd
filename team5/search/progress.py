"""How far a search is, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from team5.runtime import progress as runtime


@contextmanager
def progress(
    count: Callable[[], int | None], n_before: int, *, show: bool
) -> Iterator[Callable[[int], object]]:
    """Show how far a search is while it lasts; ``count`` returns how many spectra there are."""
    total = count() if show else None
    with runtime.progress("Searching", total, unit="spectra", done=n_before, show=show) as job:
        yield job.advance
