"""A clone in which versions were trained still takes what is released: `git pull`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from team5.errors import TrackerError
from team5.registry.card import rewrite_card
from team5.registry.export import export_version, read_version
from team5.registry.removal import delete_version
from team5.registry.repair import repair
from team5.registry.report import format_version, version_rows
from team5.registry.tracker import Tracker
from team5.registry.tracker_format import TrackerEntryFields
from team5.runtime.storage import sha256
from tests.conftest import REPOSITORY

TINY = REPOSITORY / "tests" / "files" / "checkpoints"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=team5", "-c", "user.email=team5@example.org", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def export(root: Path, version: str | None = None, **options) -> str:
    stored = read_version(TINY, "v0.1")
    config = {key: value for key, value in stored.config.items() if key != "files"}
    entry = TrackerEntryFields("a version", 0.8, 0.8)
    return export_version(
        root, version=version, config=config, weights=stored.weights, entry=entry, **options
    )


def release(upstream: Path, version: str) -> None:
    """Export a version in the repository itself and make its tracker what is released."""
    export(upstream / "checkpoints", version, set_as_latest=True)
    publish(upstream, f"Release {version}")


def publish(upstream: Path, message: str) -> None:
    """Make the tracker of the repository what is released."""
    root = upstream / "checkpoints"
    (root / "checkpoint_tracker.json").replace(root / "released.json")
    (root / "checkpoint_tracker.json").symlink_to("released.json")
    git(upstream, "add", "checkpoints")
    git(upstream, "commit", "-qm", message)


@pytest.fixture
def upstream(tmp_path):
    """A repository with checkpoints/ laid out as ours, and a tiny v0.1."""
    folder = tmp_path / "upstream"
    root = folder / "checkpoints"
    shutil.copytree(TINY, root)
    move = {"at": "2026-01-01T00:00:00Z", "latest": "v0.1", "previous": None, "reason": "released"}
    tracker = json.loads((root / "checkpoint_tracker.json").read_text())
    (root / "checkpoint_tracker.json").unlink()
    (root / "released.json").write_text(json.dumps({**tracker, "history": [move]}))
    link = REPOSITORY / "checkpoints" / "checkpoint_tracker.json"
    mode, blob = git(REPOSITORY, "ls-files", "-s", str(link)).split()[:2]
    assert mode == "120000", "no link any more; see CONTRIBUTING.md, Release a version"
    (root / link.name).symlink_to(git(REPOSITORY, "cat-file", "blob", blob))
    shutil.copy(REPOSITORY / ".gitignore", folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Begin")
    return folder


@pytest.fixture
def clone(upstream, tmp_path):
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(upstream), str(folder))
    return folder


def names(root: Path) -> list[str]:
    return [row["version"] for row in version_rows(root)]


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_pull_after_a_training_brings_what_was_released(upstream, clone, how):
    root = clone / "checkpoints"
    tracker = root / "checkpoint_tracker.json"
    assert json.loads(tracker.read_text())["latest"] == "v0.1"  # a fresh clone shows it
    if how == "rebase":  # as `make setup` leaves a clone
        git(clone, "update-index", "--skip-worktree", "checkpoints/checkpoint_tracker.json")
    assert export(root) == "v0.2"
    written = json.loads(tracker.read_text())
    assert [entry["version"] for entry in written["checkpoints"]] == ["v0.1", "v0.2"]
    assert git(clone, "diff", "--name-only", "--", "checkpoints/released.json") == ""

    release(upstream, "v1.0")
    git(clone, "pull", "-q", *(["--rebase"] if how == "rebase" else ["--ff-only"]))
    assert names(root) == ["v0.1", "v0.2", "v1.0"]
    assert Tracker(root).latest() == "v1.0"  # nothing was promoted here
    assert read_version(root, "v0.2").version == "v0.2"
    assert read_version(root).version == "v1.0"
    assert export(root) == "v1.1"
    assert json.loads(tracker.read_text())["latest"] == "v1.0"


def test_what_was_done_here_stands_after_a_pull(upstream, clone):
    root = clone / "checkpoints"
    export(root, set_as_latest=True)
    delete_version(root, "v0.1")
    release(upstream, "v1.0")
    git(clone, "pull", "-q", "--ff-only")
    assert names(root) == ["v0.2", "v1.0"]
    assert Tracker(root).latest() == "v0.2"
    Tracker(root).set_latest("v1.0")
    assert Tracker(root).rollback() == "v0.2"


@pytest.mark.parametrize("change", ["card", "weights"])
def test_a_released_version_that_was_changed_here_stays_whole(upstream, clone, change):
    root = clone / "checkpoints"
    for _ in range(2):
        if change == "card":
            rewrite_card(root, "v0.1", lambda card: card + "\nMeasured here.\n")
        else:
            export(root, "v0.1", replace=True)
        assert read_version(root, "v0.1").version == "v0.1"
    changed = Tracker(root).read().entry("v0.1").sha256

    release(upstream, "v1.0")
    git(clone, "fetch", "-q")
    git(
        clone,
        "checkout",
        "-q",
        "origin/HEAD",
        "--",
        "checkpoints/released.json",
        "checkpoints/v1.0",
    )
    assert read_version(root, "v1.0").version == "v1.0"
    assert Tracker(root).read().entry("v0.1").sha256 == changed
    assert read_version(root, "v0.1").version == "v0.1"


def rewrite(root: Path, text: str) -> str:
    """Add a text to the card of v0.1 and to its entry; return the checksum of its config.json."""
    rewrite_card(root, "v0.1", lambda card: f"{card}{text}\n")
    Tracker(root).add("v0.1", description=text, update=True)
    return sha256(root / "v0.1" / "config.json")


def rerelease(upstream: Path, text: str) -> str:
    checksum = rewrite(upstream / "checkpoints", text)
    publish(upstream, text)
    return checksum


def test_a_version_whose_rewriting_was_undone_is_the_released_one_again(upstream, clone):
    root = clone / "checkpoints"
    released = sha256(root / "v0.1" / "config.json")
    rewrite(root, "Measured here.")
    assert "rewritten in this clone" in format_version(root, "v0.1")
    git(clone, "checkout", "--", "checkpoints/v0.1")
    entry = Tracker(root).read().entry("v0.1")
    assert (entry.sha256, entry.description) == (released, "Untrained, for tests")
    assert "rewritten in this clone" not in format_version(root, "v0.1")
    assert read_version(root, "v0.1").version == "v0.1"


@pytest.mark.parametrize("chosen", ["the release", "the rewriting"])
def test_the_entry_is_that_of_the_files_where_both_sides_rewrote_a_version(upstream, clone, chosen):
    root = clone / "checkpoints"
    rerelease(upstream, "First card.")
    git(clone, "pull", "-q", "--ff-only")
    git(clone, "update-index", "--skip-worktree", "checkpoints/checkpoint_tracker.json")
    here = rewrite(root, "Measured here.")
    released = rerelease(upstream, "Corrected.")
    git(clone, "pull", "-q", "--rebase", "--autostash")  # stops at a conflict in v0.1
    side = "--ours" if chosen == "the release" else "--theirs"
    git(clone, "checkout", side, "--", "checkpoints/v0.1")

    expected = {
        "the release": (released, "Corrected.", None),
        "the rewriting": (here, "Measured here.", released),
    }
    export(root)  # writes the merged tracker
    for _ in range(2):
        entry = Tracker(root).read().entry("v0.1")
        found = entry.sha256, entry.description, entry.extra.get("released_sha256")
        assert found == expected[chosen]
        assert read_version(root, "v0.1").version == "v0.1"


@pytest.mark.parametrize("content", ["{not", "", "[]", None])
def test_a_damaged_file_of_the_repository_is_named_with_its_remedy(clone, content):
    path = clone / "checkpoints" / "released.json"
    path.unlink()
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(TrackerError) as raised:
        Tracker(path.parent).latest()
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).endswith(f"It is the repository's own: git checkout -- {path}")


def test_a_repair_leaves_the_repositorys_file(clone):
    root = clone / "checkpoints"
    before = (root / "released.json").read_bytes()
    repair(root, replace=True)
    assert (root / "released.json").read_bytes() == before
    assert names(root) == ["v0.1"]
