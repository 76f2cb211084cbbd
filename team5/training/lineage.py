"""Provenance of a version: commit of the code and versions of packages."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

# Packages whose versions can change results.
_RECORDED_PACKAGES = ("lightning", "numba", "numpy", "rdkit", "torch", "torchmetrics")


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
