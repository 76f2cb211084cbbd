"""Real servers: a process of its own, a free port, sockets."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from team5.inference.inference import load_model
from team5.library.build import build_library
from team5.models.heads import REFERENCE_FEATURES
from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields
from tests.serving.browser import CHROMIUM, until

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "tests/files/checkpoints"
# What shares a batch is padded to the largest of it, which changes the last digits of float32.
TOLERANCE = 1e-4
SMILES = "CC(=O)Oc1ccccc1C(=O)O"
ISOMER = "COC(=O)c1ccc(C(=O)O)cc1"
MZS = [65.0386, 93.0335, 121.0284, 139.039, 163.039]
INTENSITIES = [10.0, 20.0, 100.0, 35.0, 60.0]


@dataclass
class Running:
    """A server that runs."""

    process: subprocess.Popen
    url: str
    root: Path
    log: Path
    http: httpx.Client

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def children(self) -> list[int]:
        """The processes it has started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.http.get("/metrics").text, re.M)
        return float(found[1])


def copy_of_shipped() -> Path:
    return Path(shutil.copytree(SHIPPED, Path(tempfile.mkdtemp(prefix="team5-")) / "checkpoints"))


def export_comparing(root: Path) -> str:
    """Export a version that goes by the share of references a structure beats; not the latest."""
    stored = read_version(root, "v0.1")
    model = load_model("v0.1", root=root, device="cpu")
    for head in (model.candidate_head, model.isomer_head):
        head.weight[REFERENCE_FEATURES.index("share beaten")] = 4.0
        head.bias.fill_(-2.0)
    return export_version(
        root,
        config={key: value for key, value in stored.config.items() if key != "files"},
        weights=model.state_dict(),
        entry=TrackerEntryFields("compares", 0.5, 0.5),
        set_as_latest=False,
    )


@contextmanager
def running(
    *settings: str, root: Path | None = None, token: str | None = None
) -> Iterator[Running]:
    """Start serve.py with a copy of the small version, and end it."""
    folder = root or copy_of_shipped()
    log = folder.parent / "serve.log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("TEAM5_TOKEN", None)
    if token is not None:
        environment["TEAM5_TOKEN"] = token
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "serve.py"), f"checkpoints_root={folder}",
             "device=cpu", "port=0", *settings],
            stderr=subprocess.PIPE, stdout=stderr, env=environment, text=True,
        )  # fmt: skip
    url = None
    for line in process.stderr:
        if found := re.search(r"on (http://\S+)", line):
            url = found[1]
            break
    if url is None:
        raise AssertionError(f"the server has not started: {line}")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=url, timeout=60, headers=headers) as http:
            yield Running(process, url, folder, log, http)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        if root is None:
            shutil.rmtree(folder.parent, ignore_errors=True)


def lines_of(answer: httpx.Response) -> list[dict]:
    """The lines of POST /rank/file."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """A library of the structures of an example."""
    folder = tmp_path_factory.mktemp("libraries") / "small.library"
    build_library([REPOSITORY / "docs/examples/suspects.csv"], folder, n_workers=0)
    return folder


@pytest.fixture(scope="session")
def server(library: Path) -> Iterator[Running]:
    """One for all tests that leave it as it was; its v0.2, not the latest, compares structures."""
    root = copy_of_shipped()
    export_comparing(root)
    with running(f"library=[demo,{library}]", root=root) as one:
        yield one
    shutil.rmtree(root.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def model():
    return load_model(root=SHIPPED, device="cpu")


@pytest.fixture(scope="session")
def comparing(server):
    return load_model("v0.2", root=server.root, device="cpu")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """Of a server with the versions of the repository, to which nothing is written."""
    root = tmp_path_factory.mktemp("page") / "checkpoints"
    root.symlink_to(REPOSITORY / "checkpoints")
    with running("library=demo", root=root) as one:
        yield one.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs a browser: make setup")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page; whatever a test does there, nothing goes wrong unseen or goes elsewhere."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(path: str = "/", *, may_log: str = r"(?!)", **options: Any) -> Any:
        shown = {"viewport": {"width": 1300, "height": 950}, **options}
        context = browser.new_context(**shown)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)

        def note(message: Any) -> None:
            if message.type in ("error", "warning") and not re.search(may_log, message.text):
                faults.append(message.text)

        def watch(request: Any) -> None:
            if not request.url.startswith((address, "blob:", "data:")):
                faults.append(f"request to {request.url}")

        page.on("console", note)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", watch)
        page.goto(address + path)
        until(page, "document.querySelector('#serving').textContent !== ''")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
