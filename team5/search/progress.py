"""How far a search is, on standard error: spectra done, their rate, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

_LINE_EVERY_S = 30.0  # where it is no terminal


@contextmanager
def progress(
    count: Callable[[], int | None], n_before: int, *, show: bool
) -> Iterator[Callable[[int], object]]:
    """Show how far a search is while it lasts.

    Parameters
    ----------
    count : callable
        Returns how many spectra there are, None where nobody knows.
    n_before : int
        Spectra that were done before; left out of rate and time left.
    show : bool

    Yields
    ------
    callable
        To be told how many spectra were done since the last call.
    """
    if not show:
        yield lambda n_spectra: None
        return
    is_terminal = sys.stderr.isatty()
    with tqdm(
        total=count(),
        initial=n_before,
        desc="Searching",
        unit=" spectra",
        mininterval=0.1 if is_terminal else _LINE_EVERY_S,
        delay=0 if is_terminal else _LINE_EVERY_S,
        dynamic_ncols=is_terminal,
        smoothing=0.05,
    ) as bar:
        yield bar.update
