import pytest

from team5.cli.terminal import Terminal
from team5.errors import DataError
from team5.runtime.command import print_error
from team5.runtime.problems import Problems
from team5.runtime.tables import counted, printable, to_columns

# Clears the screen, renames the window, writes over the line, turns the direction of writing.
HOSTILE = "a\x1b[2J\x1b]0;title\x07\rb\x9b31m\u202ec"
SPELLED = "a\\x1b[2J\\x1b]0;title\\x07\\rb\\x9b31m\\u202ec"


def test_what_steers_a_terminal_is_spelled_out_and_other_text_is_left_alone():
    assert printable(HOSTILE) == SPELLED
    text = "β-carotene\n\t日本 C₂H₆O"
    assert printable(text) == text


def test_a_name_cannot_break_a_table():
    header = ("name", "SMILES")
    lines = list(to_columns(header, [("a\nb\x1b[2J", "CCO")], left=header))
    assert lines == ["  name         SMILES", "  a\\nb\\x1b[2J  CCO"]


@pytest.mark.parametrize("terminal", [Terminal(), Terminal(80, colours=True)])
def test_answers_cannot_steer_a_terminal(terminal, capsys):
    terminal.print(HOSTILE)
    said = capsys.readouterr().out
    assert "[2J" in said
    assert "\x1b[2J" not in said
    assert "\x1b]" not in said


def test_errors_and_problems_cannot_steer_a_terminal(capsys):
    print_error(DataError(HOSTILE))
    Problems()(HOSTILE)
    assert capsys.readouterr().err == f"DataError: {SPELLED}\n{SPELLED}\n"


def test_a_table_without_a_width_is_as_wide_as_its_cells():
    rows = [("1", "22.5", "x"), ("10", "1", "longer")]
    assert list(to_columns(("n", "value", "what"), rows, left={"what"}, indent=0)) == [
        " n  value  what",
        " 1   22.5  x",
        "10      1  longer",
    ]


def test_a_number_is_followed_by_its_noun():
    assert [counted(n, "peak") for n in (0, 1, 2, 1000)] == [
        "0 peaks",
        "1 peak",
        "2 peaks",
        "1,000 peaks",
    ]
    assert counted(2, "query", "queries") == "2 queries"
