"""Put what a program needs beside the code into the wheel: configs/ and the latest version.

All else of the build stands in pyproject.toml.
"""

import json
import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_REPOSITORY = Path(__file__).resolve().parent
_MAX_VERSION_BYTES = 5_000_000
_VERSION_FILES = ("README.md", "checksums.json", "config.json", "model.safetensors")

# The same files give the same wheel, whenever it is built.
os.environ.setdefault("SOURCE_DATE_EPOCH", "1577836800")  # 2020-01-01


class BuildWithData(build_py):
    """Copies configs/ and the latest version of checkpoints/ into the package as it is built."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "team5"
            shutil.rmtree(package / "released", ignore_errors=True)
            shutil.copytree(_REPOSITORY / "configs", package / "released" / "configs")
            _copy_latest(_REPOSITORY / "checkpoints", package / "released" / "checkpoints")


def _copy_latest(root: Path, target: Path) -> None:
    tracker = json.loads((root / "released.json").read_text(encoding="utf-8"))
    latest = tracker["latest"]
    folder = target / latest
    folder.mkdir(parents=True)
    for name in _VERSION_FILES:
        if (root / latest / name).exists():
            shutil.copyfile(root / latest / name, folder / name)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > _MAX_VERSION_BYTES:
        raise SystemExit(f"checkpoints/{latest} has {size:,} bytes; a wheel takes 5 MB at most.")
    entries = [entry for entry in tracker["checkpoints"] if entry["version"] == latest]
    released = {"latest": latest, "checkpoints": entries}
    (target / "checkpoint_tracker.json").write_text(
        json.dumps(released, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    shutil.copyfile(root / "README.md", target / "README.md")


setup(cmdclass={"build_py": BuildWithData})
