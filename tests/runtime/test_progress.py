import io
import logging
import time

import pytest

from team5.runtime import progress as module
from team5.runtime.progress import ConsoleHandler, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_where_there_is_no_terminal_a_line_comes_early_and_then_now_and_then(clock):
    stream = io.StringIO()
    with progress("Searching", 1000, unit="spectra", stream=stream) as job:
        for _ in range(100):
            clock(1)
            job.advance(10)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Searching 3.0%, 30 of 1,000 spectra, 10/s, 97 s left".replace(
        "97 s", "2 min"
    )
    assert len(lines) == 5
    assert lines[-1] == "Searching 100%, 1,000 of 1,000 spectra, 10/s, 2 min"


def test_what_was_done_before_is_no_part_of_the_rate(clock):
    stream = io.StringIO()
    with progress("Searching", 1000, unit="spectra", done=900, stream=stream) as job:
        clock(10)
        job.advance(50)
    assert stream.getvalue() == "Searching 95.0%, 950 of 1,000 spectra, 5.0/s, 10 s left\n" * 2


def test_the_first_of_many_say_nothing_of_the_time_left(clock):
    stream = io.StringIO()
    with progress("Reading", 40_000, unit="structures", stream=stream) as job:
        clock(5)
        job.advance()
    assert stream.getvalue() == "Reading 0.0%, 1 of 40,000 structures, 0.2/s\n" * 2


def test_a_share_may_come_with_a_count(clock):
    stream = io.StringIO()
    with progress("Standardising", 1.0, unit="records", stream=stream) as job:
        clock(10)
        job.update(0.25, count=5000)
    assert stream.getvalue() == "Standardising 25.0%, 5,000 records, 500/s, 30 s left\n" * 2


def test_a_download_of_unknown_length_shows_what_has_arrived(clock):
    stream = io.StringIO()
    with progress("archive.tar.gz", unit="B", stream=stream) as job:
        clock(4)
        job.advance(8_000_000)
    assert stream.getvalue() == "archive.tar.gz, 8.0 MB, 2.0 MB/s\n" * 2


def test_nothing_is_shown_unless_asked_for(clock):
    stream = io.StringIO()
    with progress("Reading", 1.0, show=False, stream=stream) as job:
        clock(100)
        job.update(0.5)
    assert stream.getvalue() == ""


def test_on_a_terminal_it_is_a_bar_and_log_messages_stand_above_it():
    stream = Terminal()
    handler = ConsoleHandler(stream)
    with progress("Reading [x]", 2, unit="files", stream=stream) as job:
        job.advance()
        handler.emit(logging.makeLogRecord({"msg": "a warning [y]"}))
    said = stream.getvalue()
    assert "Reading [x] 50.0%, 1 of 2 files" in said
    assert "a warning [y]\n" in said.replace("\r", "")
    assert not module._consoles
