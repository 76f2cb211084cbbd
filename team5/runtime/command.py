"""Command lines and exits of programs: examples, exit codes, errors on stderr."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

from team5.errors import ConfigError, StorageError, Team5Error
from team5.runtime.tables import print_text

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
TERMINATED = 143  # and for one that SIGTERM ended

_AS_JSON = ("format=json", "--json")
# Renamed settings, by their former names.
_RENAMED = {"first_look": "prefilter"}


def run_program(
    run: Callable[[], int | None],
    *,
    argv: Sequence[str] | None = None,
    explain: Callable[[Exception], Team5Error | None] = lambda error: None,
    go_on: str = "",
) -> int:
    """Call a function and return the exit code; errors become one or two lines on stderr.

    0 done, 1 the run failed, 2 the call was wrong, 130 ended by Ctrl-C. Any other exception is a
    bug of team5 and keeps its traceback; ``TEAM5_DEBUG=1`` and ``hydra.verbose=true`` print the
    traceback of expected errors too and change no exit code. With JSON output, an error is one line
    of JSON.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of this process by default.
    explain : callable
        Returns what an error of another library means, or None.
    go_on : str
        How to resume after an interruption or a full disk.
    """
    argv = sys.argv[1:] if argv is None else argv
    debug = wants_traceback(argv)
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough. What is buffered cannot be delivered any more,
        # and Python would complain about it once again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as interrupt:
        if debug:
            traceback.print_exception(interrupt)
        print(f"Interrupted.{go_on}", file=sys.stderr)
        return INTERRUPTED
    except Exception as raised:
        error = _as_team5_error(raised, explain)
        if error is None:
            raise
        if debug:
            traceback.print_exception(raised)
        if isinstance(error, StorageError) and go_on:
            error = error.reworded(f"{error}{go_on}")
        print_error(error, as_json=any(word in _AS_JSON for word in argv))
        return error.exit_code
    return code or 0


@contextlib.contextmanager
def raising_at_sigterm(exception: BaseException) -> Iterator[None]:
    """Raise an exception at SIGTERM, so that a half-written file is removed as after an error.

    The previous handler is restored at the end. Only the main thread may set handlers; in other
    threads nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise exception

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_error(error: Team5Error, *, as_json: bool = False) -> None:
    """Print what went wrong to stderr."""
    text = json.dumps({"error": error.to_dict()}) if as_json else f"{type(error).__name__}: {error}"
    print_text(text, to_stderr=True)


def wants_traceback(argv: Sequence[str]) -> bool:
    """Whether ``hydra.verbose=true`` or TEAM5_DEBUG=1 asks for tracebacks."""
    return os.environ.get("TEAM5_DEBUG", "0") not in ("", "0") or any(
        re.fullmatch(r"\+{0,2}hydra\.verbose=(true|yes|on|1|\[.*\])", word, re.IGNORECASE)
        for word in argv
    )


def _as_team5_error(
    raised: Exception, explain: Callable[[Exception], Team5Error | None]
) -> Team5Error | None:
    if isinstance(raised, Team5Error):
        return raised
    if isinstance(raised, OSError):
        return StorageError(f"{raised}. Check the disk and your rights.")
    return explain(raised)


def unknown_key(key: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a setting that does not exist, with the closest existing ones."""
    return ConfigError(_unknown_key_text(key, known), code="unknown_setting", argument=key)


def _unknown_key_text(key: str, known: Iterable[str]) -> str:
    if key in _RENAMED:
        return f"{key} is now called {_RENAMED[key]}. Write {_RENAMED[key]}=VALUE."
    known = sorted(other for other in set(known) if not key.startswith(f"{other}."))
    closest = difflib.get_close_matches(key, known, n=3)
    if not closest:
        last = key.rpartition(".")[2]
        by_last = {other.rpartition(".")[2]: other for other in known}
        closest = [by_last[name] for name in difflib.get_close_matches(last, by_last, n=3)]
    if closest:
        return f"no setting {key!r}; closest: {', '.join(closest)}. --help lists all."
    parent = key.rpartition(".")[0]
    beside = [other for other in known if parent and other.rpartition(".")[0] == parent]
    there_are = ", ".join(beside or [other for other in known if "." not in other])
    return f"no setting {key!r}; there are: {there_are}. --help shows examples."


class ExamplesParser(argparse.ArgumentParser):
    """An argparse parser whose help opens with examples, and whose errors point to them.

    Takes ``examples`` (command lines) and the arguments of `argparse.ArgumentParser`. Subcommands
    made by ``add_subparsers`` are parsers of the same class.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})
        self.examples = tuple(examples)

    def format_help(self) -> str:
        lines = [f"    {example}\n" for example in self.examples]
        return "".join([*lines, "\n" if lines else "", super().format_help()])

    def error(self, message: str) -> NoReturn:
        """Print one line about what is wrong with the call and exit with 2."""
        self.exit(2, f"ConfigError: {message}. {self.prog} --help shows examples.\n")


class Commands:
    """The commands of a parser, each with its function, a line of help, and examples by name."""

    def __init__(
        self,
        parser: ExamplesParser,
        examples: Mapping[str, Sequence[str]],
        parents: Sequence[ExamplesParser] = (),
    ) -> None:
        self._added = parser.add_subparsers(required=True, metavar="COMMAND")
        self._examples = examples
        self._parents = parents

    def add(
        self, name: str, act: Callable[[argparse.Namespace], int | None], text: str
    ) -> argparse.ArgumentParser:
        """Add a command that sets ``options.act`` to its function; return its parser."""
        added = self._added.add_parser(
            name, parents=self._parents, help=text, description=text, examples=self._examples[name]
        )
        added.set_defaults(act=act)
        return added
