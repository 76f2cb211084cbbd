"""An argparse parser whose help opens with examples, and whose errors say where they are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn


class ExamplesParser(argparse.ArgumentParser):
    """Takes ``examples``, command lines, beside what `argparse.ArgumentParser` takes.

    Commands below it, made by ``add_subparsers``, are parsers like it.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})
        self.examples = tuple(examples)

    def format_help(self) -> str:
        lines = [f"    {example}\n" for example in self.examples]
        return "".join([*lines, "\n" if lines else "", super().format_help()])

    def error(self, message: str) -> NoReturn:
        """Say in a line what is wrong with the call and end with 2."""
        self.exit(2, f"ConfigError: {message}. {self.prog} --help shows examples.\n")
