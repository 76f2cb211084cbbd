"""Versions go to a repository and come back; the stand-in is a folder with the Hub's methods."""

import inspect
import shutil
from pathlib import Path

import pytest

from team5.errors import CheckpointError, MissingExtraError, StorageError, VersionError
from team5.registry.export import read_optimizer, read_version
from team5.registry.sharing import Hub, pull, push
from team5.registry.tracker import Tracker


class FolderHub:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []

    def create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        self.private.setdefault(repo_id, private)
        (self.folder / repo_id).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        self.messages.append(commit_message)

    def snapshot_download(self, repo_id, *, revision, local_dir):
        shutil.copytree(self.folder / repo_id, local_dir, dirs_exist_ok=True)


@pytest.fixture
def hub(tmp_path) -> FolderHub:
    return FolderHub(tmp_path / "hub")


def test_a_pushed_version_is_a_model_repository_and_comes_back_as_it_was(
    root, export, hub, tmp_path
):
    export(number=4, optimizer={"step": 3}, extra_files={"README.md": "# card"})
    push(root, "v0.1", "me/model", hub=hub)
    assert hub.private == {"me/model": True}
    assert hub.messages == ["v0.1: A test"]
    names = {path.name for path in (hub.folder / "me/model").iterdir()}
    assert names == {"config.json", "model.safetensors", "optimizer.bin", "README.md"}

    other = tmp_path / "other"
    assert pull(other, "me/model", hub=hub) == "v0.1"
    one, two = read_version(root, "v0.1"), read_version(other, "v0.1")
    assert (one.version_hash, one.config) == (two.version_hash, two.config)
    assert read_optimizer(other, "v0.1") == {"step": 3}
    entry = Tracker(other).read().entry("v0.1")
    assert entry.performance == {"accuracy": 0.8, "f1_score": 0.7}
    assert entry.extra["pulled_from"] == "me/model"
    assert Tracker(other).latest() is None


def test_a_taken_name_is_kept_and_another_can_be_given(root, export, hub):
    export(number=1)
    push(root, "v0.1", "me/model", hub=hub)
    with pytest.raises(VersionError, match=r"--as v0\.2"):
        pull(root, "me/model", hub=hub)
    assert pull(root, "me/model", version="v0.2", hub=hub) == "v0.2"
    assert read_version(root, "v0.2").config["version"] == "v0.2"
    assert read_version(root, "v0.1").config["version"] == "v0.1"


def test_a_damaged_version_is_neither_pushed_nor_pulled(root, export, hub, tmp_path):
    export()
    push(root, "v0.1", "me/model", hub=hub)
    (hub.folder / "me/model/model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        pull(tmp_path / "other", "me/model", hub=hub)
    assert not list((tmp_path / "other").glob("v*"))
    (root / "v0.1/model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError):
        push(root, "v0.1", "me/second", hub=hub)
    assert not (hub.folder / "me/second").exists()


def test_a_repository_of_something_else_is_refused(tmp_path, hub):
    folder = hub.folder / "me/bert"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="no team5 version"):
        pull(tmp_path / "other", "me/bert", hub=hub)


def test_the_hub_has_the_methods_that_are_called():
    api = pytest.importorskip("huggingface_hub", reason="needs the extra hub").HfApi
    for name in ("create_repo", "upload_folder", "snapshot_download"):
        used = set(inspect.signature(getattr(Hub, name)).parameters)
        assert used <= set(inspect.signature(getattr(api, name)).parameters)


def test_without_the_extra_the_error_names_it(root, export, monkeypatch):
    export()
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match="needs the extra hub: pip install"):
        push(root, "v0.1", "me/model")


def test_versions_on_object_storage_are_read_and_not_written(root, export):
    upath = pytest.importorskip("upath", reason="needs the extra remote")
    export(number=5, optimizer={"step": 3}, set_as_latest=True)
    Tracker(root).set_alias("champion", "v0.1")
    remote = upath.UPath("memory://bucket/checkpoints")
    for path in root.rglob("*"):
        if path.is_file():
            target = remote / str(path.relative_to(root))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    where = "memory://bucket/checkpoints"
    for version in (None, "v0.1", "champion"):
        stored = read_version(where, version)
        assert stored.config["number"] == 5
        assert stored.version_hash == read_version(root).version_hash
    assert read_optimizer(where) == {"step": 3}
    assert Tracker(where).latest() == "v0.1"
    with pytest.raises(VersionError, match="closest"):
        read_version(where, "v0.3")
    with pytest.raises(StorageError, match="can only be read"):
        Tracker(where).set_latest("v0.1")
    (remote / "v0.1/model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_version(where)
