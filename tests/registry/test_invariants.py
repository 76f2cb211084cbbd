"""Any sequence of changes leaves a registry whose every promise holds."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from team5.errors import VersionError, VersionNotFoundError
from team5.registry.export import export_version, read_version
from team5.registry.integrity import verify_folder
from team5.registry.removal import collect_garbage, delete_version
from team5.registry.tracker import Tracker, TrackerEntryFields
from team5.registry.versions import Version

NAMES = st.sampled_from([f"v0.{minor}" for minor in range(1, 7)])
ALIASES = st.sampled_from(["champion", "candidate"])


class Registry(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.tracker = Tracker(self.root)
        self.given: set[str] = set()
        self.n_moves = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(as_latest=st.booleans())
    def export(self, as_latest: bool) -> None:
        version = export_version(
            self.root,
            config={},
            weights={"a": torch.zeros(2)},
            entry=TrackerEntryFields("new", 0.5, 0.5),
            set_as_latest=as_latest,
        )
        assert version not in self.given
        assert all(Version.parse(version) > Version.parse(other) for other in self.given)
        self.given.add(version)

    @rule(version=NAMES, accuracy=st.floats(0, 1))
    def update(self, version: str, accuracy: float) -> None:
        if self.is_there(version):
            self.tracker.add(version, accuracy=accuracy, update=True)
            assert self.tracker.read().entry(version).performance["accuracy"] == accuracy
        else:
            with pytest.raises(VersionNotFoundError):
                self.tracker.add(version, accuracy=accuracy, update=True)

    @rule(version=NAMES)
    def promote(self, version: str) -> None:
        if self.is_there(version):
            self.tracker.set_latest(version)
            assert self.tracker.latest() == version
        else:
            with pytest.raises(VersionNotFoundError):
                self.tracker.set_latest(version)

    @rule()
    def roll_back(self) -> None:
        before = self.tracker.latest()
        try:
            version = self.tracker.rollback()
        except VersionNotFoundError:
            assert self.tracker.latest() == before
        else:
            assert version == self.tracker.latest() != before

    @rule(name=ALIASES, version=NAMES)
    def alias(self, name: str, version: str) -> None:
        if self.is_there(version):
            self.tracker.set_alias(name, version)
            assert read_version(self.root, name).version == version

    @rule(version=NAMES)
    def delete(self, version: str) -> None:
        data = self.tracker.read()
        if not self.is_there(version) or version in (data.latest, *data.aliases.values()):
            with pytest.raises(VersionError):
                delete_version(self.root, version)
        else:
            delete_version(self.root, version)
            assert not self.is_there(version)

    @rule(keep=st.integers(0, 3))
    def collect(self, keep: int) -> None:
        newest = sorted(self.tracker.read().versions)[-keep:] if keep else []
        collect_garbage(self.root, keep, dry_run=False)
        assert set(newest) <= set(self.tracker.read().versions)

    def is_there(self, version: str) -> bool:
        return self.tracker.read().entry(version) is not None

    @invariant()
    def promises_hold(self) -> None:
        data = self.tracker.read()
        folders = {path.name for path in self.root.iterdir() if path.is_dir()}
        assert folders == {str(version) for version in data.versions}
        for entry in data.entries:
            verify_folder(self.root / entry.version, entry.sha256)
        named = [*data.aliases.values(), *([data.latest] if data.latest else [])]
        assert set(named) <= folders
        moves = data.history
        assert len(moves) >= self.n_moves
        self.n_moves = len(moves)
        for one, other in itertools.pairwise(moves):
            assert other.previous == one.latest
        assert (moves[-1].latest if moves else None) == data.latest


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
