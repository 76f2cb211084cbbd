"""Writing and reading of versions.

A version's folder holds ``config.json``, ``model.safetensors``, optionally ``optimizer.bin``, and
text for people. It contains no code, and reading it runs none.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from team5.errors import (
    CheckpointError,
    CheckpointFileNotFoundError,
    ConfigError,
    VersionError,
    VersionNotFoundError,
)
from team5.registry.integrity import (
    CONFIG_NAME,
    HASH_LENGTH,
    check_sha256,
    missing_file,
    parse_config,
    recorded_files,
    write_checksums,
)
from team5.registry.migration import SCHEMA, migrated
from team5.registry.schemas import MAX_CONFIG_BYTES
from team5.registry.staging import (
    is_moved_aside,
    known_sha256s,
    present,
    read_tracker,
    registry_lock,
    stage,
)
from team5.registry.tracker import named_versions, unknown_version
from team5.registry.tracker_format import TrackerData, TrackerEntryFields
from team5.registry.versions import Version, next_version
from team5.runtime.storage import as_path, is_remote, mark_as_read, sha256, write_flushed
from team5.runtime.strict_json import to_json

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_NAME = "model.safetensors"
OPTIMIZER_NAME = "optimizer.bin"

# Of one file; v0.2 has 4 MB of weights.
_MAX_BYTES = 2 * 2**30
_MAX_HEADER_BYTES = 2**20  # the header of a safetensors file; 12 kB for v0.2

# A version may be replaced while it is read. Then the checksums do not fit together, and reading
# again gives the new one; only one replaced twice in these milliseconds needs a third attempt.
_READ_ATTEMPTS = 3

# Exceptions seen from torch's reader on files with some bytes changed.
_UNREADABLE_STATE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version as read from disk.

    Attributes
    ----------
    version : str
        Its name.
    version_hash : str
        First 12 hex digits of config.json's SHA-256, which identify the content.
    folder : Path
        Its folder.
    config : dict
        Content of config.json.
    weights : dict
        Tensors on the CPU, by parameter name.
    """

    version: str
    version_hash: str
    folder: Path
    config: dict[str, Any] = field(repr=False)
    weights: dict[str, Tensor] = field(repr=False)


def export_version(
    root: str | Path,
    *,
    version: str | None = None,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes | str] | None = None,
    entry: TrackerEntryFields,
    set_as_latest: bool = False,
    replace: bool = False,
    after: str | None = None,
) -> str:
    """Write a version and its tracker entry: both, or neither.

    Parameters
    ----------
    root : path
        The registry, created if it does not exist.
    version : str, optional
        Its name; None takes the next minor version after the highest present.
    config : dict
        Everything needed to rebuild the model, JSON-serialisable. "schema", "version" and "files"
        (checksums) are added.
    weights : dict
        Tensors by parameter name, on any device.
    optimizer : dict, optional
        State dicts of plain values and tensors, to resume training.
    extra_files : dict, optional
        Further files by name, such as "README.md".
    entry : TrackerEntryFields
        The tracker entry; if a version is replaced, these metrics replace the old ones.
    set_as_latest : bool
        Move ``latest`` to it.
    replace : bool
        Replace an existing version of this name.
    after : str, optional
        A version, of any folder, whose number a new name must follow too: the one trained from.

    Returns
    -------
    str
        The version's name.

    Raises
    ------
    VersionError
        If ``version`` is malformed, or exists and ``replace`` is False.
    ConfigError
        If config, optimizer state, a file name or a figure cannot be stored.
    TrackerError, StorageError
        If the tracker is not valid, the disk full or the folder unwritable. What was there before
        is untouched.
    """
    root = as_path(root)
    requested = None if version is None else Version.parse(version)
    changes = {"date": dt.date.today().isoformat(), **entry.to_entry()}
    files = _encoded_files(extra_files or {})
    files[WEIGHTS_NAME] = _weights_to_bytes(weights)
    if optimizer is not None:
        files[OPTIMIZER_NAME] = _optimizer_to_bytes(optimizer)
    # Checked here rather than under the lock, which other trainings may be waiting for.
    to_json(config, "config")

    with registry_lock(root) as data:
        existing = present(root, data)
        # The name of a deleted version is not reused: answers may still carry it.
        used_names = existing | set(data.deleted) | ({Version.parse(after)} if after else set())
        name = requested or next_version(used_names)
        if name in existing and not replace:
            raise VersionError(f"{root}/ has a {name} already. Replace it, or choose another.")
        with stage(root, name) as staging:
            changes["sha256"] = _write_folder(staging.new, name, config, files, changes)
            data = data.with_entry(name, changes, replace_figures=True)
            staging.commit(data.with_latest(name, "exported") if set_as_latest else data)
    return str(name)


def _write_folder(
    folder: Path,
    name: Version,
    config: Mapping[str, Any],
    files: Mapping[str, bytes],
    entry: Mapping[str, Any],
) -> str:
    """Write the files of a version and return the checksum of its config.json."""
    folder.mkdir()
    for file_name, content in files.items():
        write_flushed(folder / file_name, content)
    fixed = {"schema": SCHEMA, "version": str(name)}
    # These keys come first and override the caller's; `repair` reads the entry.
    complete = {**fixed, **config, **fixed, "entry": dict(entry)}
    (folder / CONFIG_NAME).write_bytes(to_json(complete, "config"))
    return write_checksums(folder)


def resolve_version(root: str | Path, version: str | None = None) -> str:
    """Return the name of an existing version.

    Parameters
    ----------
    root : path
        The registry.
    version : str, optional
        ``v<major>.<minor>``, or an alias; None and "latest" mean the tracker's latest.

    Raises
    ------
    VersionError
        If it is neither a well-formed version nor an alias.
    VersionNotFoundError
        If there is none of this name, or no latest. Both errors list the existing ones, closest
        first.
    TrackerError
        If the tracker is not valid.
    """
    root = as_path(root)
    data = read_tracker(root)
    existing = tuple(sorted(present(root, data)))
    if version is None or version == "latest":
        return _latest(root, data, existing)
    try:
        parsed = Version.parse(data.aliases.get(version, version))
    except VersionError as error:
        if not existing:
            raise
        names = named_versions(str(version), existing)
        aliases = f", and the aliases {', '.join(sorted(data.aliases))}" if data.aliases else ""
        raise VersionError(f"{error} {root}/ has, closest first: {names}{aliases}.") from error
    if parsed not in existing:
        raise unknown_version(version, existing, f"{root}/")
    return str(parsed)


def read_version(
    root: str | Path, version: str | None = None, *, verify: bool = True
) -> StoredVersion:
    """Read a version's config and weights.

    Parameters
    ----------
    root : path
        The registry.
    version : str, optional
        ``v<major>.<minor>``; None and "latest" mean the tracker's latest.
    verify : bool
        Compare every file with its checksum. Without it a damaged file, or one replaced while
        it is read, may go unnoticed.

    Raises
    ------
    VersionError, VersionNotFoundError, TrackerError
        As ``resolve_version``.
    CheckpointFileNotFoundError
        If a file is missing.
    CheckpointError
        If a file is damaged (names it, expected and found checksum) or was written by a later
        team5.
    """
    root = as_path(root)
    name = Version.parse(resolve_version(root, version))
    data, config, content = _read_files(root, name, WEIGHTS_NAME, verify)
    path = root / str(name) / WEIGHTS_NAME
    return StoredVersion(
        version=str(name),
        version_hash=sha256(data)[:HASH_LENGTH],
        folder=path.parent,
        config=config,
        weights=_weights_from_bytes(path, content),
    )


def read_optimizer(root: str | Path, version: str | None = None) -> dict[str, Any]:
    """Read the optimizer state for resuming a training, its tensors on the CPU.

    Raises
    ------
    VersionError, VersionNotFoundError, TrackerError, CheckpointError
        As ``read_version``; CheckpointFileNotFoundError for a version without ``optimizer.bin``.
    """
    root = as_path(root)
    name = Version.parse(resolve_version(root, version))
    if (root / str(name) / WEIGHTS_NAME).exists() and not (
        root / str(name) / OPTIMIZER_NAME
    ).exists():
        raise CheckpointFileNotFoundError(
            f"{root / str(name) / OPTIMIZER_NAME}: no such file; {name} does not hold the state of "
            f"its training. Start from its weights instead: from_version={name}."
        )
    _, _, content = _read_files(root, name, OPTIMIZER_NAME, verify=True)
    return _optimizer_from_bytes(root / str(name) / OPTIMIZER_NAME, content)


def _latest(root: Path, data: TrackerData, there: tuple[Version, ...]) -> str:
    if data.latest is not None and Version.parse(data.latest) in there:
        return data.latest
    fault = (
        "names no latest version" if data.latest is None else f"has no {data.latest}, its latest"
    )
    remedy = f"Pass one of {named_versions('', there)}" if there else "Train one"
    raise VersionNotFoundError(
        f"{root if is_remote(root) else root.absolute()}/ {fault}. {remedy}, or name the folder "
        'of versions: checkpoints_root=FOLDER, in Python load_model(root="FOLDER").'
    )


def _read_files(
    root: Path, version: Version, file_name: str, verify: bool
) -> tuple[bytes, dict[str, Any], bytes]:
    if is_moved_aside(root, version) and not (root / str(version)).exists():
        with registry_lock(root):  # mends it
            pass
    for _ in range(_READ_ATTEMPTS - 1):
        try:
            return _read_files_once(root, version, file_name, verify)
        except CheckpointError:
            continue
    return _read_files_once(root, version, file_name, verify)


def _read_files_once(
    root: Path, version: Version, file_name: str, verify: bool
) -> tuple[bytes, dict[str, Any], bytes]:
    path = root / str(version) / CONFIG_NAME
    checksums = known_sha256s(root, version) if verify else None
    # Both are opened before either is read: if replaced afterwards, they stay readable.
    with _open(path) as config_file, _open(path.parent / file_name) as file:
        mark_as_read(config_file)
        data = _read_at_most(config_file, path, MAX_CONFIG_BYTES)
        content = _read_at_most(file, path.parent / file_name, _MAX_BYTES)

    if checksums is not None and sha256(data) not in checksums:
        checksums = known_sha256s(root, version) or checksums
        if sha256(data) not in checksums:
            check_sha256(path, sha256(data), min(checksums))
    config = migrated(path, parse_config(path, data))
    if verify:
        record = recorded_files(path, config).get(file_name)
        if record is None:
            raise CheckpointError(
                f'{path} records no checksum of {file_name} under "files". '
                "Copy the version's folder again from where it came, or use another version."
            )
        check_sha256(path.parent / file_name, sha256(content), record["sha256"])
    return data, config, content


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_file(path) from error
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}). Give yourself the right to read it."
        ) from error


def _read_at_most(file: io.BufferedReader, path: Path, limit: int) -> bytes:
    size = file.seek(0, os.SEEK_END)
    if size > limit:
        raise CheckpointError(
            f"{path}: {size:,} bytes; at most {limit:,} are read. Use another version."
        )
    file.seek(0)
    return file.read()


def _encoded_files(files: Mapping[str, bytes | str]) -> dict[str, bytes]:
    reserved = {CONFIG_NAME, WEIGHTS_NAME, OPTIMIZER_NAME}
    for name in files:
        if name in reserved or name.startswith(".") or not name or set(name) & set("/\\\0"):
            raise ConfigError(
                f"a version cannot hold a further file {name!r}. Give a plain file name other "
                f"than {', '.join(sorted(reserved))}."
            )
    return {
        name: content.encode() if isinstance(content, str) else bytes(content)
        for name, content in files.items()
    }


def _weights_to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    stored: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in weights.items():
        tensor = tensor.detach().to("cpu").contiguous()
        # safetensors does not store tied weights: those that two layers share are written twice.
        if tensor.untyped_storage().data_ptr() in storages:
            tensor = tensor.clone()
        storages.add(tensor.untyped_storage().data_ptr())
        stored[name] = tensor
    return save(stored, metadata={"format": "pt"})


def _weights_from_bytes(path: Path, content: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        if int.from_bytes(content[:8], "little") > _MAX_HEADER_BYTES:
            raise ValueError(f"a header of more than {_MAX_HEADER_BYTES:,} bytes")
        return load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file that can be read ({error}). Copy it again from where "
            "it came, or use another version."
        ) from error


def _optimizer_to_bytes(optimizer: Mapping[str, Any]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(dict(optimizer), buffer)
    content = buffer.getvalue()
    try:
        _optimizer_from_bytes(Path(OPTIMIZER_NAME), content)
    except CheckpointError as error:
        # Now rather than when the training is to go on.
        raise ConfigError(
            f"the optimizer state holds more than plain values and tensors: {error.__cause__}. "
            "Give state dicts."
        ) from error
    return content


def _optimizer_from_bytes(path: Path, content: bytes) -> dict[str, Any]:
    import torch

    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _UNREADABLE_STATE as error:
        raise CheckpointError(
            f"{path} cannot be read as state dicts alone. Train again from the weights, or use "
            "another version."
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds no state dict. Use another version.")
    return state
