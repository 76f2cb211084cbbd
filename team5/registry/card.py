"""Atomic rewriting of a version's model card or config."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from team5.errors import ConfigError, VersionError
from team5.registry.integrity import CONFIG_NAME, parse_config, verify_folder, write_checksums
from team5.registry.schemas import MAX_CONFIG_BYTES, ConfigSchema, fault_of
from team5.registry.staging import known_sha256s, registry_lock, stage
from team5.registry.versions import Version
from team5.runtime.storage import write_flushed
from team5.runtime.strict_json import parse_json, to_json

CARD_NAME = "README.md"


def rewrite_card(root: str | Path, version: str, rewrite: Callable[[str], str]) -> None:
    """Replace the model card of a version, together with its checksums and the tracker's.

    The version's hash changes, as its card is part of it; its weights do not.

    Parameters
    ----------
    root : path
        The registry.
    version : str
        ``v0.2``.
    rewrite : callable
        Takes the present card, empty if there is none, and returns the new one.

    Raises
    ------
    VersionError
        If there is no such version.
    CheckpointError
        If it is damaged: a new checksum would hide that.
    TrackerError, StorageError
        If the tracker is not valid, the disk full or the folder unwritable. What was there before
        is untouched.
    """
    with _copy(root, version) as folder:
        card = folder / CARD_NAME
        before = card.read_text() if card.exists() else ""
        write_flushed(card, rewrite(before).encode())


def rewrite_config(root: str | Path, version: str, changes: dict[str, Any]) -> None:
    """Replace top-level values of a version's ``config.json``.

    The version's hash changes, its weights do not.

    Raises
    ------
    ConfigError
        If the version could not be read with these values, or they name another one.
    Team5Error
        As `rewrite_card`.
    """
    with _copy(root, version) as copied:
        path = copied / CONFIG_NAME
        before = parse_config(path, path.read_bytes())
        config = {**before, **changes}
        data = to_json(config, CONFIG_NAME)
        fixed = {"schema": before.get("schema", 1), "version": str(Version.parse(version))}
        faults = [
            f'"{key}" is {value!r} and cannot become {changes[key]!r}'
            for key, value in fixed.items()
            if changes.get(key, value) != value
        ]
        if fault := fault_of(ConfigSchema, parse_json(data)):
            faults.append(fault)
        if len(data) > MAX_CONFIG_BYTES:
            faults.append(f"it would be of {len(data)} bytes, and {MAX_CONFIG_BYTES} are read")
        if faults:
            folder = Path(root) / fixed["version"]
            raise ConfigError(
                f"{folder / CONFIG_NAME} is left as it was: {'; '.join(faults)}. Give other values."
            )
        write_flushed(path, data)


@contextmanager
def _copy(root: str | Path, version: str) -> Iterator[Path]:
    """Yield a copy of a version's folder, which replaces it once the block ends."""
    root = Path(root)
    name = Version.parse(version)
    folder = root / str(name)
    with registry_lock(root) as data:
        if not folder.is_dir():
            raise VersionError(f"{root}/ has no {name}. Export it before it is rewritten.")
        recorded = known_sha256s(root, name)
        verify_folder(folder, next(iter(recorded), None) if recorded else None)
        with stage(root, name) as staging:
            shutil.copytree(folder, staging.new)
            yield staging.new
            changes = {"sha256": write_checksums(staging.new)}
            staging.commit(data.with_entry(name, changes, replace_figures=False))
