"""The model card of a version, rewritten without the version ever being half of one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from team5.errors import VersionError
from team5.registry.integrity import verify_folder, write_checksums
from team5.registry.staging import known_sha256s, registry_lock, stage
from team5.registry.versions import Version
from team5.runtime.storage import write_flushed

CARD_NAME = "README.md"


def rewrite_card(root: str | Path, version: str, rewrite: Callable[[str], str]) -> None:
    """Replace the model card of a version, its checksums and the tracker's with it.

    The version's hash changes, as its card is part of it; its weights do not.

    Parameters
    ----------
    root : path
        The registry.
    version : str
        ``v0.2``.
    rewrite : callable
        Gets the card as it is, empty if there is none, and returns the new one.

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
    root = Path(root)
    name = Version.parse(version)
    folder = root / str(name)
    with registry_lock(root) as data:
        if not folder.is_dir():
            raise VersionError(f"{root}/ has no {name}. Export it before its card is rewritten.")
        recorded = known_sha256s(root, name)
        verify_folder(folder, next(iter(recorded), None) if recorded else None)
        with stage(root, name) as staging:
            shutil.copytree(folder, staging.new)
            card = staging.new / CARD_NAME
            before = card.read_text() if card.exists() else ""
            write_flushed(card, rewrite(before).encode())
            changes = {"sha256": write_checksums(staging.new)}
            staging.commit(data.with_entry(name, changes, replace_figures=False))
