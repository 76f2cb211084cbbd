"""How far a build is, on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_LINE_EVERY_S = 30.0

Show = Callable[[float, int], None]  # told the share done, 0 to 1, and records read so far


@contextmanager
def progress(title: str, *, began_at: float = 0.0, stream: TextIO | None = None) -> Iterator[Show]:
    """Show how far something is while it lasts.

    Parameters
    ----------
    title : str
    began_at : float
        Share that was done before, 0 to 1; left out of rate and time left.
    stream : text file, optional
        Standard error by default.

    Yields
    ------
    callable
        Takes the share done, 0 to 1, and how many records were done since it began.
    """
    stream = sys.stderr if stream is None else stream
    began = time.monotonic()

    def describe(share: float, n_records: int) -> str:
        elapsed_s = max(time.monotonic() - began, 1e-9)
        text = f"{title} {share:.1%}"
        if n_records:
            text += f", {n_records:,} records, {n_records / elapsed_s:,.0f}/s"
        if share > began_at:
            left_s = elapsed_s * (1 - share) / (share - began_at)
            text += f", {_duration(left_s)} left"
        return text

    if not stream.isatty():
        last = began

        def show_line(share: float, n_records: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_EVERY_S:
                last = time.monotonic()
                stream.write(f"{describe(share, n_records)}\n")
                stream.flush()

        yield show_line
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(
        BarColumn(), TextColumn("{task.description}"), console=Console(file=stream), transient=True
    ) as bar:
        task = bar.add_task(title, total=1.0)
        bar.update(task, completed=began_at)
        yield lambda share, n_records: bar.update(
            task, completed=share, description=describe(share, n_records)
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
