"""Provenance of a version: settings and data in words, code, versions of packages."""

from __future__ import annotations

import copy
import importlib.metadata
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from team5.errors import ConfigError
from team5.registry.export import StoredVersion
from team5.runtime.tables import counted

REPOSITORY = Path(__file__).resolve().parents[2]

# Packages whose versions can change results.
_RECORDED_PACKAGES = ("lightning", "numba", "numpy", "rdkit", "torch", "torchmetrics")
_RESOLVER = re.compile(r"\$\{[^}]*:")
_MACHINE = ("output_dir", "checkpoints_root")
_MISSING = "???"


def description(data: Mapping[str, Any], parent: StoredVersion | None, cfg: DictConfig) -> str:
    """Return the description of a version for the tracker, if the user gives none."""
    begun = (
        f"Resumed {parent.version}"
        if parent and cfg.resume
        else f"Fine-tuned {parent.version}"
        if parent
        else "Trained"
    )
    measured = "computed spectra, not measured ones," if data["computed"] else "spectra"
    return (
        f"{begun} on {data['train_spectra']:,} {measured} of "
        f"{counted(data['train_compounds'], 'compound')} "
        f"({'built-in demo set' if data['computed'] else data['source']})"
    )


def plain_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return a training's config as plain values, for a version to keep.

    Interpolations are resolved. Text from a resolver (for example an environment variable), or
    with a path of this machine, becomes None.
    """
    copied = copy.deepcopy(cfg)
    OmegaConf.set_struct(copied, False)
    for key in _MACHINE:
        copied[key] = _MISSING
    _blank_resolvers(copied)
    plain: dict[str, Any] = _plain(cfg, copied)
    return plain | dict.fromkeys((*_MACHINE, "resume"))


def _blank_resolvers(node: Any) -> None:
    raw: Any = OmegaConf.to_container(node, resolve=False)
    for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
        if isinstance(value, str) and _RESOLVER.search(value):
            node[key] = _MISSING
        elif isinstance(value, dict | list):
            _blank_resolvers(node[key])


def _plain(value: Any, known: Any) -> Any:
    if isinstance(value, DictConfig):
        return {str(key): _plain(_item(value, key), _item(known, key)) for key in value}
    if isinstance(value, ListConfig):
        return [_plain(_item(value, i), _item(known, i)) for i in range(len(value))]
    is_secret = isinstance(value, str) and known is None
    return None if is_secret else value


def _item(node: Any, key: Any) -> Any:
    try:
        return None if node is None else node[key]
    except OmegaConfBaseException:  # missing, or made of what is
        return None


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that can change results."""
    return {name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES}


def code_state(folder: Path = REPOSITORY) -> dict[str, Any]:
    """Return the git commit of the code and whether it has changes; None without git."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    # Code installed within another project's checkout does not belong to its commit.
    if top is None or Path(top).resolve() != folder.resolve():
        return {"commit": None, "dirty": None}
    commit = _git(folder, "rev-parse", "HEAD")
    # Files written by runs do not change the code.
    changed = _git(
        folder, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)checkpoints"
    )
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *words],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def check_part(part: int | None, facts: Mapping[str, Any], parent: StoredVersion) -> None:
    """Refuse weights that have learned from the part that is to be held out.

    Parameters
    ----------
    part : int, optional
        ``data.cross_fold``; None holds out none.
    facts : dict
        Of the data.
    parent : StoredVersion
        Whose weights are taken.

    Raises
    ------
    ConfigError
    """
    known = parent.config.get("data") or {}
    same = known.get("cross_fold"), known.get("folds_sha256")
    if part is not None and same != (part, facts["folds_sha256"]):
        raise ConfigError(
            f"{parent.version} has learned from compounds of part {part}. Start from a version "
            f"that was trained on these data with data.cross_fold={part}, or from scratch."
        )
