"""The page where the adduct is typed: asked as it stands, refused where it is not understood."""

from __future__ import annotations

import pytest

from tests.serving.browser import (
    CAFFEINE,
    ENPROFYLLINE,
    IN_BROWSER,
    PEAKS,
    ask,
    download,
    wait_for_answer,
)
from tests.serving.test_page_lists import SUSPECTS, read_csv

pytestmark = IN_BROWSER


def test_an_adduct_that_is_not_known_is_found(visit, address, tmp_path):
    page = visit()
    sodium = 217.0696  # of caffeine
    page.fill("#adduct", "auto")
    assert "each answer says its own" in page.inner_text("#adduct-hint")
    ask(page, PEAKS, f"{CAFFEINE} caffeine\n{ENPROFYLLINE} enprofylline")
    assert "Give its m/z" in page.inner_text("#precursor_mz-error")
    page.fill("#precursor_mz", str(sodium))
    page.click("#run")
    wait_for_answer(page)
    assert "[M+Na]+" in page.inner_text(".facts")
    # Among a library, and for those spectra of a file that name none.
    page.fill("#structures", "")
    page.select_option("#library", "demo")
    page.click("#run")
    wait_for_answer(page)
    assert {"[M+Na]+"} <= set(
        page.locator(".answers .title .quiet").all_inner_texts()[0].split(", ")
    )
    (tmp_path / "two.mgf").write_text(
        f"BEGIN IONS\nPEPMASS={sodium}\nIONMODE=positive\n138.0662 9\nEND IONS\n"
        "BEGIN IONS\nPEPMASS=195.0877\nADDUCT=[M+H]+\n138.0662 9\nEND IONS\n"
    )
    page.fill("#adduct", "[M+H]+,[M+Na]+")
    page.set_input_files("#file", tmp_path / "two.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    assert page.input_value("#adduct") == "[M+H]+,[M+Na]+"
    page.click("text=Ask all 2")
    wait_for_answer(page)
    shown = page.locator(".of-series .title .quiet").all_inner_texts()
    assert [text.partition(",")[0] for text in shown] == ["[M+Na]+", "[M+H]+"]
    rows = read_csv(download(page, "All as CSV", tmp_path))
    assert {(row["spectrum"], row["adduct"]) for row in rows if row["name"] == "caffeine"} == {
        ("1", "[M+Na]+"),
        ("2", "[M+H]+"),
    }


@pytest.mark.parametrize("adduct", ["[M+Nah]+", "aut", "M+H]", "[M+H]+;[M+Na]+"])
@pytest.mark.parametrize("candidates", ["list", "library"])
def test_a_typed_adduct_that_is_not_understood_is_refused(visit, candidates, adduct):
    page = visit(may_log="422")
    if candidates == "list":
        page.set_input_files("#list", SUSPECTS)
    else:
        page.select_option("#library", "demo")
    page.fill("#peaks", PEAKS)
    page.fill("#precursor_mz", "195.0877")
    page.click("#run")
    wait_for_answer(page)
    page.fill("#adduct", adduct)
    page.click("#run")
    page.wait_for_selector("#adduct-error:not(:empty)")
    assert adduct in page.inner_text("#adduct-error")
    assert page.locator(".result.old").count() == 1
    page.fill("#adduct", "[M+H]+")
    page.click("#run")
    wait_for_answer(page)
    assert "[M+H]+" in page.inner_text(".facts")
    assert "assumed" not in page.inner_text("#answer")


def test_a_typed_adduct_holds_for_the_spectra_of_a_file_that_name_none(visit, tmp_path):
    sodium = 217.0696  # of caffeine
    blank = f"BEGIN IONS\nPEPMASS={sodium}\nIONMODE=positive\n138.0662 9\nEND IONS\n"
    (tmp_path / "two.mgf").write_text(blank + blank)
    page = visit(may_log="422")
    page.set_input_files("#file", tmp_path / "two.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.set_input_files("#list", SUSPECTS)
    page.fill("#adduct", "[M+Nah]+")
    page.click("text=Ask all 2")
    page.wait_for_selector("#adduct-error:not(:empty)")
    page.fill("#adduct", "[M+Na]+")
    for button in ("text=Ask all 2", "#run"):
        page.click(button)
        wait_for_answer(page)
        assert "[M+Na]+" in page.locator(".facts").first.inner_text()
    page.select_option("#spectra", index=[0, 1])
    page.fill("#adduct", "[M+Nah]+")
    page.click("#run")
    page.wait_for_selector("#adduct-error:not(:empty)")
