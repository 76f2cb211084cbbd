"""Where versions are looked for, and where they are written to."""

import json
from pathlib import Path

import pytest

from team5.errors import TrackerError, VersionError, VersionNotFoundError
from team5.registry.export import resolve_version
from team5.registry.roots import checkpoints_to_write, find_checkpoints, first_registry
from team5.registry.tracker import Tracker
from team5.runtime import places
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder, with nothing in the environment."""
    monkeypatch.delenv(places.CHECKPOINTS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_versions(folder: Path, *versions: str, latest: str | None = None) -> Path:
    folder.mkdir(parents=True)
    entries = [{"version": version} for version in versions]
    (folder / places.TRACKER_NAME).write_text(
        json.dumps({"latest": latest, "checkpoints": entries})
    )
    return folder


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Team5 as a wheel installs it."""
    package = tmp_path / "site-packages" / "team5"
    monkeypatch.setattr(places, "_PACKAGE", package)
    monkeypatch.setattr(places, "_RELEASED", package / "released")
    return with_versions(package / "released" / "checkpoints", "v0.2", latest="v0.2")


def test_a_clone_has_its_own_versions_and_configs_from_any_folder():
    assert find_checkpoints() == REPOSITORY / "checkpoints"
    assert places.config_folder() == REPOSITORY / "configs"
    assert checkpoints_to_write() == REPOSITORY / "checkpoints"
    assert checkpoints_to_write("v0.2", update=True) == REPOSITORY / "checkpoints"
    assert checkpoints_to_write("v0.2") == checkpoints_to_write("v0.99") == Path("checkpoints")


def test_what_is_nearer_to_the_caller_comes_first(elsewhere, installed, monkeypatch):
    assert find_checkpoints() == installed
    with_versions(elsewhere / "checkpoints", "v0.3", latest="v0.3")
    assert find_checkpoints() == Path("checkpoints")
    monkeypatch.setenv(places.CHECKPOINTS_VARIABLE, "s3://bucket/versions")
    assert find_checkpoints() == first_registry() == "s3://bucket/versions"
    assert find_checkpoints("given") == "given"


def test_a_folder_hides_no_version_that_it_lacks(elsewhere, installed):
    (elsewhere / "checkpoints").mkdir()
    assert find_checkpoints() == first_registry() == installed
    (elsewhere / "checkpoints").rmdir()
    # As a training on computed spectra leaves it.
    with_versions(elsewhere / "checkpoints", "v0.3", latest=None)
    assert find_checkpoints() == find_checkpoints(version="v0.2") == installed
    assert find_checkpoints(version="v0.3") == first_registry() == Path("checkpoints")
    own = with_versions(elsewhere / "own", "v0.4")
    assert find_checkpoints(own, "v0.2", or_elsewhere=True) == installed
    assert find_checkpoints(own, "v0.4", or_elsewhere=True) == own


def test_nothing_is_written_into_the_package(elsewhere, installed):
    assert checkpoints_to_write() == Path("checkpoints")
    assert not (elsewhere / "checkpoints").exists()


@pytest.mark.parametrize(
    ("version", "kind"), [("v0.9", VersionNotFoundError), ("v0.2b", VersionError)]
)
def test_an_error_names_every_place_looked_at(elsewhere, installed, version, kind):
    with_versions(elsewhere / "checkpoints", "v0.3")
    with pytest.raises(kind) as error:
        find_checkpoints(version=version)
    assert f"{elsewhere / 'checkpoints'} (v0.3), {installed} (v0.2)" in str(error.value)
    for folder in (elsewhere / "checkpoints", installed):
        (folder / places.TRACKER_NAME).unlink()
    with pytest.raises(VersionNotFoundError) as error:
        find_checkpoints()
    assert f"{elsewhere / 'checkpoints'}, {installed}" in str(error.value)


def test_a_damaged_tracker_is_not_passed_over(elsewhere, installed):
    (with_versions(elsewhere / "checkpoints") / places.TRACKER_NAME).write_text("{")
    with pytest.raises(TrackerError):
        find_checkpoints()


def test_the_folder_of_one_version_is_told_from_that_of_all():
    folder = REPOSITORY / "checkpoints" / "v0.2"
    for use in (
        lambda: resolve_version(folder, "v0.2"),
        lambda: Tracker(folder).add("v0.3", "mistaken", accuracy=0.5, f1_score=0.5),
    ):
        with pytest.raises(VersionNotFoundError, match=f"Give its parent: {folder.parent}"):
            use()
    assert not list(folder.glob("*.lock"))
