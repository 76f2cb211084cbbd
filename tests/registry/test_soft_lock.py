"""A file system without flock: the lock is a file, and that is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")

# The system call answers as such a file system does.
WITHOUT_FLOCK = """
import errno, fcntl, os, sys
def no_flock(descriptor, operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = no_flock
from team5.registry.tracker import Tracker
"""


def start(code: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_FLOCK + code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_updates_of_several_processes_all_stand_and_the_soft_lock_is_warned_of(root):
    code = "for n in range(10): Tracker({root!r}).add(f'v{writer}.{{n}}', 'soft', 0.5, 0.5)"
    writers = [start(code.format(writer=i, root=str(root))) for i in range(4)]
    said = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, said
    from team5.registry.tracker import Tracker

    assert len(Tracker(root).read().entries) == 40
    assert any("flock" in text for text in said)


def test_a_killed_holder_of_a_soft_lock_blocks_nobody(root):
    code = (
        "from pathlib import Path\n"
        "from team5.registry.staging import registry_lock\n"
        f"with registry_lock(Path({str(root)!r})):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_FLOCK + code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    writer = start(f"Tracker({str(root)!r}).add('v0.1', 'after', 0.5, 0.5)")
    _, said = writer.communicate(timeout=60)
    assert writer.returncode == 0, said
