"""Run the examples of docs/pictures.md and make the pictures that stand below them.

python docs/make_pictures.py
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "pictures.md"
DPI = 110
# A block of code, and the picture that stands below it, if one does.
_EXAMPLE = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n!\[[^\]]+\]\((?P<picture>[^)]+)\))?", re.DOTALL | re.M
)


def run_examples(page: Path = PAGE) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Run the page's blocks of code one after the other, in the repository's folder.

    Yields
    ------
    picture : str or None
        What stands below the block, relative to the page.
    names : dict
        What the blocks so far have defined; ``figure`` is the picture.
    """
    text = page.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(REPOSITORY)
    try:
        for example in _EXAMPLE.finditer(text):
            line = text.count("\n", 0, example.start("code"))
            # Lines of errors are then those of the page.
            code = compile("\n" * line + example["code"], str(page), "exec")
            exec(code, names)  # noqa: S102 - the page is ours
            yield example["picture"], names
    finally:
        os.chdir(before)


def main() -> None:
    """Make every picture."""
    for picture, names in run_examples():
        if picture is not None:
            path = PAGE.parent / picture
            path.parent.mkdir(exist_ok=True)
            names["figure"].savefig(path, dpi=DPI, metadata={"Software": None})
            print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
