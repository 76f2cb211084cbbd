"""The notebooks are kept twice, as text to read and with outputs to look at, and both agree.

That they run is for ``make notebooks``.
"""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat import NotebookNode

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 1_500_000
# Where systems keep users' and temporary files.
_PATH = re.compile(r"(?<![\w.:/])(?:/(?:home|Users|root|tmp|var|private|work|opt)/|[A-Z]:\\)")
_LOG = re.compile(r"\[(?:INFO|WARNING|ERROR|DEBUG)\]|it/s\b|Traceback")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def outputs(path: Path) -> list[NotebookNode]:
    return [output for cell in read(path).cells for output in cell.get("outputs", [])]


def texts(output: NotebookNode) -> list[str]:
    """Return all that an output holds, pictures left out."""
    data = output.get("data", {})
    return [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]


def sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_notebook_has_its_text() -> None:
    assert NOTEBOOKS
    assert {path.stem for path in NOTEBOOKS} == {path.stem for path in FOLDER.glob("*.py")}


@each
def test_notebook_and_text_say_the_same(path: Path) -> None:
    remedy = f"Run: jupytext --sync {path.relative_to(REPOSITORY)}, and execute it anew."
    assert sources(read(path)) == sources(jupytext.read(path.with_suffix(".py"))), remedy


@each
def test_both_know_that_they_are_a_pair(path: Path) -> None:
    for notebook in (read(path), jupytext.read(path.with_suffix(".py"))):
        assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"


@each
def test_every_cell_was_run_once_in_order(path: Path) -> None:
    counts = [cell.execution_count for cell in read(path).cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_outputs_are_pictures_and_tables(path: Path) -> None:
    found = outputs(path)
    assert {output.output_type for output in found} <= {"execute_result", "display_data"}
    assert any("image/png" in output.data for output in found)
    assert not [text for output in found for text in texts(output) if _LOG.search(text)]


@each
def test_outputs_name_no_place_of_a_machine(path: Path) -> None:
    places = (str(REPOSITORY), str(Path.home()))
    for text in (text for output in outputs(path) for text in texts(output)):
        assert not _PATH.search(text)
        assert not [place for place in places if len(place) > 1 and place in text]


@each
def test_links_lead_somewhere(path: Path) -> None:
    said = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", said)
    assert not [link for link in links if not (FOLDER / link).exists()]


@each
def test_notebook_is_small_enough_to_be_shown(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES
