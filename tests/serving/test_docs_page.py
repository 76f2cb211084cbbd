"""/docs in a real browser."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.serving.conftest import Running

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_every_operation_is_shown_and_its_example_is_answered(server: Running):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        faults, asked = [], []
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/docs")
        sections = page.locator("section")
        operations = server.http.get("/openapi.json").json()["paths"]
        expect(sections).to_have_count(len(operations))
        assert page.locator("#contents a").all_inner_texts() == list(operations)
        page.locator("#contents a", has_text="/draw").click()
        assert page.locator("section:target h2").inner_text().endswith("/draw")
        background = "e => getComputedStyle(e).backgroundColor"
        docs = page.locator("section").first.evaluate(background)
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.set_viewport_size({"width": 1280, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        home = browser.new_page()
        home.goto(server.url)
        assert home.locator("fieldset").first.evaluate(background) == docs  # one style for both
        home.close()
        for path, answer in {
            "/predict": "probability",
            "/draw": "<svg",
            "/versions": "v0.1",
        }.items():
            section = sections.filter(has=page.get_by_role("heading", name=path)).first
            section.get_by_role("button", name="Send").click()
            expect(section.locator("pre").nth(1)).to_contain_text(answer, timeout=30_000)
        browser.close()
    assert faults == []
    assert all(url.startswith(server.url) for url in asked)
