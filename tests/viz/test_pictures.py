"""docs/pictures.md tells the truth: its examples run, and their pictures are in the repository."""

import importlib.util
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "pictures.md"
LARGEST = 150_000  # bytes
SHOWN = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")


def load_script():
    spec = importlib.util.spec_from_file_location(
        "make_pictures", REPOSITORY / "docs" / "make_pictures.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.slow
def test_every_example_runs_and_gives_its_picture():
    sizes, drawn = {}, []
    for picture, names in load_script().run_examples():
        if picture is not None:
            assert isinstance(names["figure"], Figure)
            assert names["figure"] not in drawn
            drawn.append(names["figure"])
            sizes[picture] = names["figure"].get_size_inches() * load_script().DPI

    assert set(sizes) == set(SHOWN.findall(PAGE.read_text()))
    for picture, (width, height) in sizes.items():
        with Image.open(PAGE.parent / picture) as image:
            assert image.size == pytest.approx((width, height), abs=1)


def test_pictures_are_there_and_small():
    shown = SHOWN.findall(PAGE.read_text())

    assert shown
    for picture in shown:
        assert (PAGE.parent / picture).stat().st_size < LARGEST, picture


def test_examples_use_only_files_of_the_repository():
    text = PAGE.read_text()

    assert "/work" not in text
    for name in re.findall(r'"((?:docs|tests)/[^"]+)"', text):
        assert (REPOSITORY / name).is_file(), name
