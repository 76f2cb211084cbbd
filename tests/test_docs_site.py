"""`make docs`: the site is built without a warning, and looks at nothing outside itself."""

import re
import subprocess
import sys

import pytest

from tests.documents import REPOSITORY

# Of what a page loads; links that a reader may follow are not among them.
_LOADED = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="([^"]+)"|<link[^>]*\shref="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="needs the group docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "docs/build_site.py", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_pages_load_nothing_from_the_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    loaded = [a or b for page in pages for a, b in _LOADED.findall(page.read_text())]
    assert loaded
    assert [url for url in loaded if re.match(r"(?:https?:)?//", url)] == []


@pytest.mark.slow
def test_the_api_is_taken_from_docstrings(site):
    page = (site / "api" / "inference.html").read_text()
    assert "team5.inference.inference.load_model" in page
    assert "Compare the checksums of the version's files before anything is built from them" in page
