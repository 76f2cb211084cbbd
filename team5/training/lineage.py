"""Where a version comes from: the code, the packages, what it was trained on from."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

# Packages whose versions can change a figure.
_RECORDED_PACKAGES = ("lightning", "numba", "numpy", "rdkit", "torch", "torchmetrics")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that can change a figure."""
    return {name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES}


def code_state(folder: Path = REPOSITORY) -> dict[str, Any]:
    """Return the git commit of the code and whether it was changed since.

    Both are None where the code is no git checkout, or git is not installed.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    # Installed somewhere below another project's checkout, its commit says nothing of this code.
    if top is None or Path(top).resolve() != folder.resolve():
        return {"commit": None, "dirty": None}
    commit = _git(folder, "rev-parse", "HEAD")
    # What a run writes is no change of the code.
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
