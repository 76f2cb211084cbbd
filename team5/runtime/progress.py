"""Progress of long jobs on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_FIRST_LINE_AFTER_S = 3.0
_LINE_EVERY_S = 30.0
_SHARE_TO_JUDGE_BY = 0.002  # done, before the time left is estimated

_consoles: list[Console] = []  # of the bars that are shown now


class Progress:
    """Progress of one job, reported by whoever does it.

    Attributes
    ----------
    done, total : float, float or None
        In the same unit; None while unknown.
    """

    def __init__(
        self, title: str, total: float | None, unit: str, done: float, show: Callable[[], object]
    ) -> None:
        self.total = total
        self.done = done
        self._title = title
        self._unit = unit
        self._show = show
        self._done_before = done
        self._count: float | None = None
        self._began = time.monotonic()

    def advance(self, n: float = 1, total: float | None = None) -> None:
        """Report that so much more is done."""
        self.update(self.done + n, total=total)

    def update(
        self, done: float, *, total: float | None = None, count: float | None = None
    ) -> None:
        """Report how much is done in all; ``count`` of the unit, where that is something else."""
        self.done = done
        self.total = self.total if total is None else total
        self._count = count
        self._show()

    def __str__(self) -> str:
        elapsed_s = max(time.monotonic() - self._began, 1e-9)
        new = self.done - self._done_before
        parts = [self._title]
        is_done = self.total is not None and self.done >= self.total
        if self.total:
            parts[0] += " 100%" if is_done else f" {self.done / self.total:.1%}"
        count = self.done if self._count is None else self._count
        if self._unit and count:
            rate = (new if self._count is None else self._count) / elapsed_s
            amount = _amount(count, self._unit)
            if self._count is None and self.total:
                amount += f" of {_amount(self.total, self._unit)}"
            parts += [
                amount if self._unit == "B" else f"{amount} {self._unit}",
                f"{_rate(rate, self._unit)}/s",
            ]
        if is_done:
            parts.append(_duration(elapsed_s))
        elif self.total and new > _SHARE_TO_JUDGE_BY * self.total:
            parts.append(f"{_duration(elapsed_s * (self.total - self.done) / new)} left")
        return ", ".join(parts)


@contextmanager
def progress(
    title: str,
    total: float | None = None,
    *,
    unit: str = "",
    done: float = 0.0,
    show: bool = True,
    stream: TextIO | None = None,
) -> Iterator[Progress]:
    """Show the progress of a job while it runs; a bar disappears from the terminal afterwards.

    Elsewhere the last line gives the result, unless the job fails.

    Parameters
    ----------
    title : str
    total : float, optional
        May be reported later.
    unit : str
        ``spectra``; ``B`` shows megabytes. Without a unit only the share is shown.
    done : float
        Work done earlier; not counted for the rate and the time left.
    show : bool, default True
    stream : text file, optional
        Standard error by default.
    """
    stream = sys.stderr if stream is None else stream
    job = Progress(title, total, unit, done, lambda: None)
    if not show:
        yield job
        return
    if not stream.isatty():
        job._show = _lines(job, stream)
        yield job
        if job.done > done:
            print(job, file=stream, flush=True)
        return
    # Slow to import, and only needed on a terminal.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(file=stream)
    text = TextColumn("{task.description}", markup=False)
    _consoles.append(console)
    try:
        with Bars(BarColumn(), text, console=console, transient=True) as bars:
            task = bars.add_task(str(job), total=total, completed=int(done))
            job._show = lambda: bars.update(
                task, completed=job.done, total=job.total, description=str(job)
            )
            yield job
    finally:
        _consoles.remove(console)


class ConsoleHandler(logging.StreamHandler):
    """Writes log messages to stderr above a progress bar, rather than behind its end."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        if _consoles:
            _consoles[-1].print(self.format(record), markup=False, highlight=False, soft_wrap=True)
            return
        # Lightning's own bar; nothing else of team5 needs it.
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def _lines(job: Progress, stream: TextIO) -> Callable[[], None]:
    next_at = time.monotonic() + _FIRST_LINE_AFTER_S

    def show() -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + _LINE_EVERY_S
            stream.write(f"{job}\n")
            stream.flush()

    return show


def _amount(n: float | None, unit: str) -> str:
    return f"{(n or 0) / 1e6:,.1f} MB" if unit == "B" else f"{n or 0:,.0f}"


def _rate(n: float, unit: str) -> str:
    return f"{n:.1f}" if n < 10 and unit != "B" else _amount(n, unit)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
