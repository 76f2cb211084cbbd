"""Answers on a real terminal (a pseudo-terminal), and what they are in a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from team5.cli.terminal import MARK, Terminal, coloured, sketch
from team5.runtime.tables import to_columns

pty = pytest.importorskip("pty", reason="there are pseudo-terminals on Linux and macOS only")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

ROOT = Path(__file__).resolve().parents[2]
LONG = "CC(=O)Oc1ccccc1C(=O)OCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"
PEAKS = ("mzs=[43.018,105.0335,121.0284,139.039]", "intensities=[10,5,100,35]")
RANK = ("smiles=CC(=O)Oc1ccccc1C(=O)O,O=C(O)c1ccc(OC(C)=O)cc1", *PEAKS)
ANSI = re.compile(r"\x1b\[[\d;]*m")
BRAILLE = re.compile(r"[\u2801-\u28ff]")


def environment(**changes: str | None) -> dict[str, str]:
    base = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        base.pop(name, None)
    return base | {"PYTHONIOENCODING": "utf-8"} | {k: v for k, v in changes.items() if v}


def command(*words: str) -> list[str]:
    return [sys.executable, "predict.py", "checkpoints_root=tests/files/checkpoints", *words]


def on_terminal(*words: str, columns: int = 80, **changes: str) -> str:
    """Run predict.py with standard output on a terminal so wide, and return what it wrote."""
    ours, its = pty.openpty()
    size = (50).to_bytes(2, sys.byteorder) + columns.to_bytes(2, sys.byteorder) + bytes(4)
    fcntl.ioctl(its, termios.TIOCSWINSZ, size)
    with subprocess.Popen(
        command(*words), cwd=ROOT, env=environment(**changes), stdout=its, stderr=subprocess.PIPE
    ) as process:
        os.close(its)
        written = b""
        # Linux ends a terminal whose other side has gone with EIO, macOS with nothing.
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:
            pass
        said = process.stderr.read().decode()
    os.close(ours)
    assert process.returncode == 0, said
    return written.decode().replace("\r\n", "\n")


def in_pipe(*words: str, **changes: str) -> str:
    done = subprocess.run(
        command(*words), cwd=ROOT, env=environment(**changes), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_terminal_shows_the_spectrum_in_colour_and_a_pipe_the_text_alone():
    shown, piped = on_terminal(*RANK, columns=100), in_pipe(*RANK)
    plain = ANSI.sub("", shown)
    assert ANSI.search(shown)
    assert not ANSI.search(piped)
    assert not BRAILLE.search(piped)
    drawn = [line for line in plain.splitlines() if BRAILLE.search(line)]
    assert 1 <= len(drawn) <= 4
    assert "43.02" in plain
    assert "139.04 m/z" in plain
    assert MARK in plain
    # Apart from the drawing both say the same.
    lines = plain.splitlines()
    end = next(i for i, line in enumerate(lines) if line.endswith("m/z")) + 2
    start = next(i for i, line in enumerate(lines) if BRAILLE.search(line))
    assert "\n".join([*lines[:start], *lines[end:]]).split() == piped.split()


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_nothing_is_wider_than_the_terminal(columns):
    structures = f"smiles={LONG},CC(=O)Oc1ccccc1C(=O)O"
    plain = ANSI.sub("", on_terminal(structures, *PEAKS, columns=columns))
    assert max(map(len, plain.splitlines())) <= columns
    assert "…" in plain
    assert LONG not in plain


def test_a_pipe_has_long_smiles_in_full():
    assert LONG in in_pipe(f"smiles={LONG},CC(=O)Oc1ccccc1C(=O)O", *PEAKS, COLUMNS="60")


@pytest.mark.parametrize(
    ("changes", "has_colours", "draws"),
    [
        ({"NO_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, False, False),
        ({"PYTHONIOENCODING": "ascii:replace"}, True, False),
    ],
)
def test_colour_and_drawing_are_what_the_environment_says(changes, has_colours, draws):
    shown = on_terminal(*RANK, **changes)
    assert bool(ANSI.search(shown)) is has_colours
    assert bool(BRAILLE.search(shown)) is draws
    assert (MARK in shown) is draws


def test_colour_is_forced_into_a_pipe_and_changes_no_character():
    forced = in_pipe(*RANK, FORCE_COLOR="1")
    assert ANSI.search(forced)
    assert ANSI.sub("", forced) == in_pipe(*RANK)


def test_peaks_stand_at_their_mz_as_high_as_they_are_and_marks_below_the_explained():
    lines = sketch([100.0, 150.0, 200.0], [100.0, 50.0, 0.001], [100.0], n_cells=21)
    assert len(lines) == 6
    rows, marks, axis = lines[:4], lines[4], lines[5]
    assert axis == "  100.00     200.00 m/z"
    filled = [[row.ljust(23)[column] != " " for row in rows] for column in (2, 12, 22)]
    assert filled == [[True] * 4, [False, False, True, True], [False, False, False, True]]
    assert marks == f"  {MARK}"


def test_a_spectrum_of_one_peak_has_one_column():
    rows = sketch([55.5], [3.0], [], n_cells=20)
    assert sum(len(BRAILLE.findall(row)) for row in rows) == 4
    assert rows[-1].strip() == "55.50 m/z"


def test_colours_change_no_character():
    text = "CCO\n  match: probability 0.9 (x)\n\n  ⣿⠀\n  ▴\n\n  Note: none"
    assert coloured(text).plain == text


def test_a_narrow_table_leaves_columns_out_by_name_and_a_wide_one_nothing():
    header = ("rank", "confidence", "score", "explained", "formula", "SMILES")
    row = ("1", "39 %", "-1.50", "100%", "C9H8O4", "CC(=O)Oc1ccccc1C(=O)O")
    *table, said = to_columns(header, [row], width=56)
    assert "explained" not in table[0]
    assert said == "  Not shown for lack of width: explained."
    assert all(len(line) <= 56 for line in table)
    whole = list(to_columns(header, [row]))
    assert len(whole) == 2
    assert whole[1].endswith(row[-1])


def test_notes_are_wrapped_and_smiles_cut():
    terminal = Terminal(width=30)
    assert terminal.fit("  Note: " + "word " * 12).count("\n") > 1
    assert terminal.fit(LONG).endswith("…")
    assert Terminal().fit(LONG) == LONG
