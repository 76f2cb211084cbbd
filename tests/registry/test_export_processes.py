"""What holds while exports are killed, read and made at once, by real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("exporting_processes.py")
REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run(scenario: str, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, scenario, root],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_export_killed_at_some_line_is_whole_or_absent(root):
    run("killed_at_some_lines", root)


@pytest.mark.slow
def test_an_export_killed_at_any_line_is_whole_or_absent(root):
    run("killed_at_every_line", root)


def test_an_export_killed_at_any_moment_is_whole_or_absent(root):
    run("killed_at_random_moments", root)


def test_a_version_read_while_it_is_replaced_is_of_one_generation(root):
    run("read_while_replaced", root)


def test_a_version_read_while_it_is_deleted_is_whole_or_gone(root):
    run("read_while_deleted", root)


def test_exports_at_once_take_a_version_each(root):
    run("export_at_once", root)
