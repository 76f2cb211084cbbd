"""Steps of tests in a real browser, before a real server with the repository's versions."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium", path=f"/usr/bin{os.pathsep}{os.environ.get('PATH', '')}")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; install Debian's"),
]
REPOSITORY = Path(__file__).resolve().parents[2]
FILES = REPOSITORY / "tests" / "files"
CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
ENPROFYLLINE = "CCCN1C2=C(NC=N2)C(=O)NC1=O"
PEAKS = "195.0877 100\n138.0662 75\n110.0713 22\n69.0447 11\n150.5 5"


def until(page: Any, condition: str) -> None:
    """Wait for a condition; the page's policy forbids playwright's own way of asking."""
    for _ in range(2400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never came true: {condition}")


def ask(page: Any, peaks: str = "", structures: str = "", **fields: str) -> None:
    """Fill the form and send it."""
    page.fill("#peaks", peaks)
    page.fill("#structures", structures)
    for name, value in fields.items():
        page.fill(f"#{name}", value)
    page.click("#run")


def wait_for_answer(page: Any) -> None:
    """Wait until all of an answer is there: table, drawing, prediction and its fragments."""
    until(
        page,
        """document.querySelector(".answers tbody tr") !== null
        && document.querySelector("[aria-busy], .result.old") === null""",
    )


def post(address: str, question: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{address}/predict", json.dumps(question).encode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def drop(page: Any, name: str, text: str) -> None:
    page.evaluate(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name));
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const options = {dataTransfer: data, bubbles: true, cancelable: true};
                document.body.dispatchEvent(new DragEvent(kind, options));
            }
        }""",
        [name, text],
    )


def download(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as started:
        page.click(f".actions >> text={button}")
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path
