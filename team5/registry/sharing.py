"""Push and pull of versions with the Hugging Face Hub: a version's folder is a model repository."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

from team5.errors import CheckpointError, MissingExtraError, VersionError
from team5.registry.export import resolve_version
from team5.registry.integrity import (
    CONFIG_NAME,
    parse_config,
    read_file,
    recorded_files,
    verify_folder,
)
from team5.registry.migration import migrated
from team5.registry.staging import present, read_tracker, registry_lock, stage
from team5.registry.tracker_format import entry_of_export
from team5.registry.versions import Version, next_version
from team5.runtime.storage import sha256, write_flushed
from team5.runtime.strict_json import to_json


class Hub(Protocol):
    """The methods of ``huggingface_hub.HfApi`` that are used."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Create a repository unless it exists."""

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        """Upload a folder's files to a repository in one commit."""

    def snapshot_download(self, repo_id: str, *, revision: str | None, local_dir: str) -> Any:
        """Download a repository's files into a folder."""


def push(
    root: str | Path, version: str, repository: str, *, public: bool = False, hub: Hub | None = None
) -> None:
    """Upload a version to a repository of the Hub in one commit, after verifying its checksums.

    Parameters
    ----------
    root : path
        The registry.
    version : str
        ``v<major>.<minor>``, or an alias.
    repository : str
        ``USER/NAME``; created, private unless ``public``, if it does not exist.
    hub : Hub, optional
        Replaces ``huggingface_hub.HfApi()``, which uses the login of ``hf auth login``.

    Raises
    ------
    VersionError, VersionNotFoundError
        If it is malformed or missing.
    CheckpointError
        If a file is damaged or missing.
    MissingExtraError
        If huggingface_hub is not installed.
    """
    root = Path(root)
    name = resolve_version(root, version)
    folder = root / name
    entry = read_tracker(root).entry(name)
    verify_folder(folder, entry.sha256 if entry else None)
    api = hub or _hub()
    api.create_repo(repository, private=not public, exist_ok=True)
    description = entry.description if entry else ""
    api.upload_folder(
        repo_id=repository,
        folder_path=str(folder),
        commit_message=f"{name}: {description}".rstrip(": "),
    )


def pull(
    root: str | Path,
    repository: str,
    *,
    revision: str | None = None,
    version: str | None = None,
    hub: Hub | None = None,
) -> str:
    """Download a version from a repository of the Hub into the registry and return its name.

    Parameters
    ----------
    root : path
        The registry. ``latest`` stays where it is.
    repository : str
        ``USER/NAME``.
    revision : str, optional
        A commit, branch or tag.
    version : str, optional
        A new name; the original one by default.
    hub : Hub, optional
        Replaces ``huggingface_hub.HfApi()``.

    Raises
    ------
    VersionError
        If the name is malformed, or taken by another version.
    CheckpointError
        If the download is not a version, or damaged.
    StorageError, TrackerError
        As for an export.
    """
    root = Path(root)
    requested = None if version is None else Version.parse(version)
    with tempfile.TemporaryDirectory(prefix="team5-pull-") as name:
        folder = Path(name)
        (hub or _hub()).snapshot_download(repository, revision=revision, local_dir=str(folder))
        path = folder / CONFIG_NAME
        config = migrated(path, parse_config(path, read_file(path)))
        if not isinstance(config.get("version"), str):
            raise CheckpointError(f"{repository} holds no team5 version. Name another repository.")
        verify_folder(folder)
        return _adopt(
            root, folder, config, requested or Version.parse(config["version"]), repository
        )


def _adopt(
    root: Path, folder: Path, config: dict[str, Any], version: Version, repository: str
) -> str:
    entry = {**entry_of_export(str(version), config), "pulled_from": repository}
    with registry_lock(root) as data:
        if version in present(root, data) or version in data.deleted:
            raise VersionError(
                f"{root}/ has, or had, a {version} already. Give this one another name: "
                f"--as {next_version(present(root, data) | set(data.deleted))}"
            )
        with stage(root, version) as staging:
            staging.new.mkdir()
            for name in recorded_files(folder / CONFIG_NAME, config):
                shutil.copyfile(folder / name, staging.new / name)
            content = (folder / CONFIG_NAME).read_bytes()
            if config["version"] != str(version):
                renamed = {**json.loads(content), "version": str(version)}
                content = to_json(renamed, CONFIG_NAME)
            write_flushed(staging.new / CONFIG_NAME, content)
            entry["sha256"] = sha256(staging.new / CONFIG_NAME)
            staging.commit(data.with_entry(version, entry, replace_figures=True))
    return str(version)


def _hub() -> Hub:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtraError.of("sharing versions", "hub") from error
    return HfApi()
