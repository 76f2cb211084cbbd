"""The reports of a training and of an evaluation, opened from their file in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.inference.queries import write_queries

playwright = pytest.importorskip(
    "playwright.sync_api", reason="reports are tested in a browser: make setup"
)
CHROMIUM = shutil.which("chromium", path=f"/usr/bin{os.pathsep}{os.environ.get('PATH', '')}")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; install Debian's"),
]

ROOT = Path(__file__).resolve().parents[2]
# What a picture has that can be seen: drawn elements that cover some of the page.
SEEN = """pictures => pictures.map(picture => {
    const box = picture.getBoundingClientRect();
    const drawn = [...picture.querySelectorAll("path, use, text")].filter(element => {
        const { width, height } = element.getBoundingClientRect();
        return width + height > 0;
    });
    return [picture.getAttribute("aria-label"), box.width, box.height, drawn.length];
})"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def run(program: str, *words: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / program), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def training(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("training")
    run("train.py", "experiment=debug", f"checkpoints_root={folder / 'checkpoints'}",
        f"data.cache_dir={folder / 'cache'}", "~callbacks.progress", folder=folder)  # fmt: skip
    (report,) = folder.glob("outputs/*/*/report.html")
    return report


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    queries = write_queries(folder / "queries.parquet")
    output = folder / "report.html"
    run("evaluate.py", f"checkpoints_root={ROOT / 'tests/files/checkpoints'}",
        f"data.queries={queries}", f"output={output}", folder=folder)  # fmt: skip
    return output


@pytest.fixture(params=["training", "evaluation"])
def report(request: Any) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file; nothing is logged there, and nothing else is asked for."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(path: Path, width: int, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url))
        page.goto(path.as_uri())
        faults.remove(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("width", [360, 1300])
def test_every_picture_is_drawn_and_nothing_is_wider_than_the_page(visit, report, width):
    page = visit(report, width)

    pictures = page.eval_on_selector_all("svg", SEEN)
    assert len(pictures) > 8
    for label, wide, high, n_drawn in pictures:
        assert wide > 150, label
        assert high > 60, label
        assert n_drawn > 0, label  # a structure has one path for each colour
    labels = [label for label, *_ in pictures]
    # The training is on the demo set, the spectra of which are computed.
    spectra = "computed" if "training" in str(report) else "measured"
    assert f"{spectra} and predicted spectrum, true structure" in labels
    assert ("losses and validation metrics" in labels) == ("training" in str(report))
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_settings_unfold_without_a_script_and_fit_a_telephone(visit, report):
    page = visit(report, 360)

    settings = page.locator("details pre")
    assert not settings.is_visible()
    page.click("summary")
    assert settings.is_visible()
    assert "checkpoints_root:" in settings.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.scripts.length") == 0


def test_a_dark_page_has_light_text_and_light_plots(visit, report):
    bright, dark = visit(report, 800), visit(report, 800, "dark")

    assert bright.evaluate(BACKGROUND) == "rgb(255, 255, 255)"
    assert dark.evaluate(BACKGROUND) == "rgb(22, 24, 27)"
    # Black is what a plot shows whose colour the page does not know.
    fills = "texts => texts.map(text => getComputedStyle(text).fill)"
    plots = "figure svg text"
    assert "rgb(0, 0, 0)" not in dark.eval_on_selector_all(plots, fills)
    assert "rgb(232, 232, 232)" in dark.eval_on_selector_all(plots, fills)
