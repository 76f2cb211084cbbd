"""Build the documentation site, without any network.

python docs/build_site.py [FOLDER]    default: outputs/site
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Files of the repository outside docs/, which the site does not hold.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)")


def main() -> int:
    """Build the pages with links to files outside the site replaced by the names of the files."""
    site = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "outputs" / "site").absolute()
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(folder) / "docs"
        shutil.copytree(REPOSITORY / "docs", docs, ignore=shutil.ignore_patterns("*.py"))
        for page in docs.rglob("*.md"):
            text = page.read_text(encoding="utf-8")
            page.write_text(_OUTSIDE.sub(r"`\1`", text), encoding="utf-8")
        config = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
        (Path(folder) / "mkdocs.yml").write_text(config, encoding="utf-8")
        # The API pages import team5 from the repository.
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet",
             "--config-file", f"{folder}/mkdocs.yml", "--site-dir", str(site)],
            cwd=REPOSITORY, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False,
        )  # fmt: skip
    if done.returncode == 0:
        place = os.path.relpath(site)
        print(f"Open {place}/index.html; to search in it: python -m http.server -d {place}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
