"""Answers of `infer` on standard output, as text or JSON; what was left out on standard error."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from team5.cli.terminal import Terminal
from team5.inference.results import Answer, Simulation, is_ranking
from team5.search.text import format_answer, format_ranking, words_of_columns

# m/z and intensities.
Peaks = tuple[Sequence[float], Sequence[float]]
# Reasons shown; the file next to the output has all.
_MAX_REASONS = 8


def print_answers(
    answers: Answer | Sequence[Answer],
    *,
    as_json: bool = False,
    top: int = 20,
    peaks: Peaks | None = None,
) -> int:
    """Print answers; ranked candidates as one table.

    Parameters
    ----------
    answers : Match, Simulation, or a sequence of them
        Ranked candidates best first.
    as_json : bool, default False
        JSON instead of text: a value, or a list with one answer to a line.
    top : int, default 20
        Rows shown as text of each answer; JSON has all.
    peaks : pair of sequences of float, optional
        m/z and intensities of the query, if it is a single spectrum, drawn on a terminal.

    Returns
    -------
    int
        Number of answers.
    """
    listed = [answers] if isinstance(answers, Answer) else answers
    if as_json:
        values = ",\n".join(
            json.dumps(answer.to_dict(), ensure_ascii=False, allow_nan=False) for answer in listed
        )
        if not isinstance(answers, Answer):
            values = f"[\n{values}\n]" if answers else "[]"
        print(values)
        return len(listed)
    terminal = Terminal.here()
    if is_ranking(listed):
        sketch = _sketch(terminal, listed[0], peaks)
        terminal.print(format_ranking(listed, top, terminal.width, sketch))
        terminal.print(words_of_columns({True}))
        return len(listed)
    for number, answer in enumerate(listed):
        if number:
            print()
        sketch = _sketch(terminal, answer, peaks)
        terminal.print(format_answer(answer, top, terminal.width, sketch))
    return len(listed)


def _sketch(terminal: Terminal, answer: Answer, peaks: Peaks | None) -> list[str]:
    """Return the query's spectrum, or the predicted one, as lines for a terminal."""
    if isinstance(answer, Simulation):
        return terminal.sketch(answer.mzs, answer.intensities)
    if peaks is None:
        return []
    return terminal.sketch(*peaks, [peak.mz for peak in answer.peaks])


def report_left_out(left_out: Counter[str], path: Path) -> None:
    """Report on stderr what was left out by reason, and the file that names it if there is one."""
    for reason, count in left_out.most_common(_MAX_REASONS):
        print(f"  left out: {count:,}, {reason}", file=sys.stderr)
    if (n_more := len(left_out) - _MAX_REASONS) > 0:
        print(f"  and {n_more:,} more reasons", file=sys.stderr)
    if path.exists():
        print(f"Which ones: {path}", file=sys.stderr)
