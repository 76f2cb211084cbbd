"""Versions are deleted by name or together; what is needed stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from team5.errors import ConfigError, StorageError, VersionError, VersionNotFoundError
from team5.registry.export import read_version
from team5.registry.removal import collect_garbage, delete_version
from team5.registry.tracker import Tracker

REPOSITORY = Path(__file__).resolve().parents[2]


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def test_a_deleted_version_is_gone_and_its_name_is_not_given_again(root, export):
    for _ in range(3):
        export()
    assert delete_version(root, "v0.3") > 0
    assert folders(root) == ["v0.1", "v0.2"]
    assert [str(version) for version in Tracker(root).read().versions] == ["v0.1", "v0.2"]
    assert export() == "v0.4"
    with pytest.raises(VersionNotFoundError):
        delete_version(root, "v0.3")


def test_latest_and_aliases_are_not_deleted(root, export):
    export(set_as_latest=True)
    export()
    Tracker(root).set_alias("champion", "v0.2")
    for version, said in (("v0.1", "is latest"), ("v0.2", "alias champion")):
        with pytest.raises(VersionError, match=said):
            delete_version(root, version)
    assert folders(root) == ["v0.1", "v0.2"]


def test_gc_keeps_the_newest_latest_and_aliases(root, export):
    for _ in range(6):
        export()
    Tracker(root).set_latest("v0.1")
    Tracker(root).set_alias("champion", "v0.3")
    judged = collect_garbage(root, 2)
    going = [str(one.version) for one in judged if one.kept_because is None]
    assert going == ["v0.2", "v0.4"]
    assert len(folders(root)) == 6
    assert collect_garbage(root, 2, dry_run=False) == judged
    assert folders(root) == ["v0.1", "v0.3", "v0.5", "v0.6"]
    assert {str(version) for version in Tracker(root).read().versions} == set(folders(root))
    for version in folders(root):
        read_version(root, version)
    with pytest.raises(ConfigError):
        collect_garbage(root, -1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_a_version_that_another_process_reads_stays(root, export):
    export()
    export(set_as_latest=True)
    code = (
        "import sys; from pathlib import Path; from team5.runtime.storage import mark_as_read\n"
        f"with open({str(root / 'v0.1/config.json')!r}, 'rb') as file:\n"
        "    mark_as_read(file); print('reading', flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert reader.stdout.readline() == b"reading\n"
    with pytest.raises(StorageError, match="is being read"):
        delete_version(root, "v0.1")
    assert [one.kept_because for one in collect_garbage(root, 0, dry_run=False)] == [
        "is being read", "is latest",
    ]  # fmt: skip
    reader.communicate()
    assert delete_version(root, "v0.1") > 0


def test_gc_counts_only_what_can_be_used(root, export):
    for _ in range(3):
        export()
    Tracker(root).set_latest("v0.1")
    (root / "v0.9").mkdir()
    judged = {str(one.version): one.kept_because for one in collect_garbage(root, 1)}
    assert judged["v0.3"] == "is among the newest 1"
    assert judged["v0.2"] is None
    assert all(one.kept_because for one in collect_garbage(root, 4)[:3])


def test_a_linked_version_is_unlinked_and_its_target_stays(root, export, tmp_path):
    export()
    export(set_as_latest=True)
    (root / "v0.1").rename(tmp_path / "elsewhere")
    (root / "v0.1").symlink_to(tmp_path / "elsewhere")
    delete_version(root, "v0.1")
    assert folders(root) == ["v0.2"]
    assert (tmp_path / "elsewhere/config.json").is_file()
