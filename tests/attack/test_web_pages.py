"""A page of another origin asks a server of this machine, in a real browser."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Running, running

playwright = pytest.importorskip(
    "playwright.sync_api", reason="pages are tested in a browser: make setup"
)
CHROMIUM = shutil.which("chromium", path=f"/usr/bin{os.pathsep}{os.environ.get('PATH', '')}")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; install Debian's"),
]
QUESTION = {"smiles": "CCO"}
ASK = """async ([url, mode, kind]) => {
    const init = {method: "POST", mode, headers: {"Content-Type": kind},
                  body: '{"smiles": "CCO"}'};
    try {
        const answer = await fetch(url + "/predict", init);
        return `${answer.type} ${answer.status}`;
    } catch (error) {
        return "no answer";
    }
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as one:
        yield one


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The address of a page that is none of ours."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{other.server_port}"
        other.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for which attacker.example is this machine, as a rebinding name server has it."""
    rule = "--host-resolver-rules=MAP attacker.example 127.0.0.1"
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rule])
        yield browser
        browser.close()


class TestInBrowser:
    pytestmark = IN_BROWSER

    @pytest.mark.parametrize("mode", ["cors", "no-cors"])
    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json"]
    )
    def test_page_elsewhere_is_answered_nothing(self, server, elsewhere, browser, mode, kind):
        page = browser.new_page()
        page.goto(elsewhere)
        answered = server.metric("team5_batch_items_sum")
        seen = page.evaluate(ASK, [server.url, mode, kind])
        assert seen in ("no answer", "opaque 0")
        assert server.metric("team5_batch_items_sum") == answered
        page.close()

    def test_form_elsewhere_is_refused(self, server, elsewhere, browser):
        page = browser.new_page()
        page.goto(elsewhere)
        for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
            page.set_content(
                f"<form method=post enctype={kind} action={server.url}/predict>"
                """<input name='{"smiles": "CCO", "x' value='"}'></form>"""
            )
            with page.expect_navigation() as navigation:
                page.evaluate("document.forms[0].submit()")
            assert navigation.value.status == 403
            page.goto(elsewhere)
        page.close()

    def test_name_that_is_pointed_at_this_machine_is_refused(self, server, browser):
        page = browser.new_page()
        answer = page.goto(f"http://attacker.example:{server.port}/")
        assert answer.status == 403
        here = f"http://attacker.example:{server.port}"
        assert page.evaluate(ASK, [here, "cors", "application/json"]) == "basic 403"
        page.close()

    def test_own_page_is_answered_by_every_name_of_this_machine(self, server, browser):
        for name in ("127.0.0.1", "localhost"):
            page = browser.new_page()
            here = f"http://{name}:{server.port}"
            assert page.goto(here).status == 200
            assert page.evaluate(ASK, [here, "cors", "application/json"]) == "basic 200"
            page.close()


@pytest.mark.parametrize(("headers", "status"), [
    ({"Host": "attacker.example"}, 403),
    ({"Host": "localhost.attacker.example"}, 403),
    ({"Host": "127.0.0.1.attacker.example"}, 403),
    ({"Host": ""}, 403),
    ({"Host": "LOCALHOST:80"}, 200),
    ({"Host": "[::1]:80"}, 200),
    ({"Host": "192.0.2.7"}, 200),
    ({"Origin": "http://attacker.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "text/html"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"}, 415),
])  # fmt: skip
def test_who_asks_and_how(server: Running, headers, status):
    sent = {"Content-Type": "application/json", **headers}
    answer = server.http.post("/predict", json=QUESTION, headers=sent)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["code"] in ("forbidden", "media_type_unsupported")


def test_names_and_origins_may_be_added_and_a_token_makes_them_needless():
    with running("names=[lab-server]", "cors_origins=[https://lab.example.org]") as server:
        for headers in ({"Host": "lab-server:8000"}, {"Origin": "https://lab.example.org"}):
            answer = server.http.post("/predict", json=QUESTION, headers=headers)
            assert answer.status_code == 200
    with running(token="secret") as server:
        headers = {"Host": "behind.example.org", "Origin": "https://behind.example.org"}
        assert server.http.post("/predict", json=QUESTION, headers=headers).status_code == 200
        with httpx.Client(base_url=server.url) as stranger:
            answer = stranger.post("/predict", json=QUESTION, headers=headers)
            assert answer.status_code == 401
