from pathlib import Path

import pytest

from team5.errors import VersionNotFoundError
from team5.runtime import places
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder, with nothing in the environment."""
    monkeypatch.delenv(places.CHECKPOINTS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_tracker(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / places.TRACKER_NAME).write_text('{"latest": null, "checkpoints": []}')
    return folder


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Team5 as a wheel installs it."""
    package = tmp_path / "site-packages" / "team5"
    monkeypatch.setattr(places, "_PACKAGE", package)
    monkeypatch.setattr(places, "_RELEASED", package / "released")
    return with_tracker(package / "released" / "checkpoints")


def test_a_clone_has_its_own_versions_and_configs_from_any_folder():
    assert places.find_checkpoints() == REPOSITORY / "checkpoints"
    assert places.config_folder() == REPOSITORY / "configs"
    assert places.checkpoints_to_write() == REPOSITORY / "checkpoints"


def test_what_is_nearer_to_the_caller_comes_first(elsewhere, installed, monkeypatch):
    assert places.find_checkpoints() == installed
    with_tracker(elsewhere / "checkpoints")
    assert places.find_checkpoints() == Path("checkpoints")
    monkeypatch.setenv(places.CHECKPOINTS_VARIABLE, "s3://bucket/versions")
    assert places.find_checkpoints() == "s3://bucket/versions"
    assert places.find_checkpoints("given") == "given"


def test_a_folder_without_a_tracker_hides_nothing(elsewhere, installed):
    (elsewhere / "checkpoints").mkdir()
    assert places.find_checkpoints() == installed


def test_nothing_is_written_into_the_package(elsewhere, installed):
    assert places.checkpoints_to_write() == Path("checkpoints")
    assert not (elsewhere / "checkpoints").exists()


def test_an_error_names_every_place_looked_at(elsewhere, installed):
    (installed / places.TRACKER_NAME).unlink()
    with pytest.raises(VersionNotFoundError) as error:
        places.find_checkpoints()
    assert str(elsewhere / "checkpoints") in str(error.value)
    assert str(installed) in str(error.value)
