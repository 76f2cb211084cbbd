"""Reports on stderr of records left out: the first ones in full, all of them counted."""

from __future__ import annotations

import sys

from team5.runtime.tables import print_text

_SHOWN = 10


class Problems:
    """Takes reports of spectra and structures that were left out."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, text: str) -> None:
        self.count += 1
        if self.count <= _SHOWN:
            print_text(text, to_stderr=True)
        elif self.count == _SHOWN + 1:
            print("Further ones are counted only.", file=sys.stderr)

    def summarise(self, *, answered: int, withheld: int = 0, output: str | None = None) -> None:
        """Print the total, if anything was left out."""
        parts = [f"{answered:,} answered"]
        if withheld:
            parts.append(f"{withheld:,} withheld")
        if self.count:
            parts.append(f"{self.count:,} reported as left out")
        if output is not None:
            parts.append(f"written to {output}")
        if len(parts) > 1 or not answered:
            print(", ".join(parts) + ".", file=sys.stderr)
