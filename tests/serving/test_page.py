"""The page in a real browser, before a real server with the repository's versions."""

from __future__ import annotations

import csv
import io
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from team5.chemistry.isomers import make_isomers
from team5.chemistry.molecule import parse_smiles
from team5.data.readers import read_spectra
from team5.inference.results import confidence_text
from team5.inference.tables import MATCH_COLUMNS
from tests.serving.browser import (
    CAFFEINE,
    ENPROFYLLINE,
    FILES,
    IN_BROWSER,
    PEAKS,
    REPOSITORY,
    ask,
    download,
    drop,
    post,
    until,
    wait_for_answer,
)

pytestmark = IN_BROWSER


def lit_mzs(page: Any, kind: str = "m") -> list[str]:
    """m/z of the measured (m) or predicted (p) peaks that stand out, as the table of peaks says."""
    if kind == "m":
        return page.locator(".peaks tr.lit td:first-child").all_inner_texts()
    return page.eval_on_selector_all(
        ".peak.lit[data-peak^=p]", "all => all.map(e => e.dataset.peak)"
    )


def marked_atoms(page: Any) -> set[int]:
    """Atoms that the drawing marks, by where the marks are."""
    found = page.evaluate("""() => {
        const place = (e) => `${e.getAttribute("cx")} ${e.getAttribute("cy")}`;
        const box = document.querySelector(".structure-place");
        const marks = new Set([...box.querySelectorAll(".mark-atom")].map(place));
        return [...box.querySelectorAll("[data-atom]")].filter((e) => marks.has(place(e)))
            .map((e) => Number(e.dataset.atom));
    }""")
    return set(found)


def test_example_ends_in_a_ranking_with_the_numbers_of_the_api(visit, address):
    page = visit()
    page.click("#example")
    wait_for_answer(page)
    smiles = [line.split()[0] for line in page.input_value("#structures").splitlines()]
    peaks = [line.split() for line in page.input_value("#peaks").splitlines()[1:]]
    expected = post(address, {
        "smiles": smiles, "mzs": [float(mz) for mz, _ in peaks],
        "intensities": [float(height) for _, height in peaks], "adduct": "[M+H]+",
        "precursor_mz": 195.0877, "collision_energy": "30 NCE", "instrument_type": "LC-ESI-QFT",
    })  # fmt: skip
    best_first = sorted(expected, key=lambda match: match["rank"])
    rows = page.locator(".answers tbody tr")
    assert rows.locator(".smiles").all_inner_texts() == [match["smiles"] for match in best_first]
    assert rows.locator(".rank").all_inner_texts() == ["1", "2", "3", "4", "5"]
    shown = rows.locator(".value").all_inner_texts()
    assert shown == [confidence_text(match["confidence"]).replace("-", "–") for match in best_first]
    assert page.inner_text("#answer h2") == "5 structures ranked"
    assert "first place: " in page.inner_text("#answer .facts")
    # Every candidate is drawn, and the spectrum stands above its prediction.
    page.locator(".answers tbody tr").last.scroll_into_view_if_needed()
    until(page, "document.querySelectorAll('.thumb svg path').length > 50")
    until(page, "document.querySelectorAll('.thumb svg').length === 5")
    assert page.locator(".peak[data-peak^=m]").count() == len(peaks)
    assert page.locator(".peak.explained").count() == len(best_first[0]["peaks"])
    assert page.locator(".peak[data-peak^=p]").count() > 3
    assert "caffeine" in page.inner_text("#announce")


def test_smiles_alone_show_the_simulated_spectrum(visit, address):
    page = visit()
    page.fill("#structures", f"{CAFFEINE} caffeine")
    assert page.inner_text("#run") == "Simulate spectrum"
    page.fill("#collision_energy", "35 eV")
    page.click("#run")
    wait_for_answer(page)
    expected = post(address, {"smiles": CAFFEINE, "collision_energy": "35 eV"})
    assert page.inner_text("#answer h2") == "Simulated spectrum"
    assert page.locator(".peak").count() == len(expected["mzs"])
    # The prediction says which atoms an ion has, too.
    highest = expected["intensities"].index(1.0)
    page.click(f".peaks tr[data-peak=p{highest}]")
    assert f"{expected['mzs'][highest]:.4f}" in page.inner_text(".readout")
    assert marked_atoms(page)


def test_pointing_at_a_peak_shows_its_fragment_and_back(visit, address):
    page = visit()
    ask(page, PEAKS, CAFFEINE, adduct="[M+H]+", collision_energy="30 NCE")
    wait_for_answer(page)
    mzs, heights = zip(*(map(float, line.split()) for line in PEAKS.splitlines()), strict=True)
    match = post(address, {"smiles": CAFFEINE, "mzs": mzs, "intensities": heights,
                           "adduct": "[M+H]+", "collision_energy": "30 NCE"})  # fmt: skip
    peaks = {peak["mz"]: peak for peak in match["peaks"]}
    assert 150.5 not in peaks

    for mz in sorted(peaks):  # by mouse, a few pixels beside the thin line
        line = page.locator(f".peak[data-peak=m{sorted(mzs).index(mz)}]")
        box = line.bounding_box()
        page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
        assert marked_atoms(page) == set(peaks[mz]["atoms"])
        assert page.locator(".mark-cut").count() == len(peaks[mz]["broken_bonds"])
        told = page.inner_text(".readout")
        assert f"{mz:.4f}" in told
        assert f"{abs(peaks[mz]['error_ppm']):.1f} ppm" in told
        assert lit_mzs(page) == [f"{mz:.4f}"]
    line = page.locator(f".peak[data-peak=m{sorted(mzs).index(150.5)}]")
    box = line.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 1)
    assert marked_atoms(page) == set()
    assert "no fragment" in page.inner_text(".readout")

    for atom in (0, 6, 13):
        page.hover(f"[data-atom='{atom}']")
        having = [f"{mz:.4f}" for mz in sorted(peaks) if atom in peaks[mz]["atoms"]]
        assert lit_mzs(page) == having
        assert lit_mzs(page, "p")  # the precursor, at least
    cut = {tuple(sorted(bond)) for peak in peaks.values() for bond in peak["broken_bonds"]}
    for a, b in sorted(cut)[:3]:
        target = page.locator(f"[data-bond='{a}-{b}'], [data-bond='{b}-{a}']")
        target.dispatch_event("pointerenter", {"pointerType": "mouse"})
        cutting = [
            f"{mz:.4f}"
            for mz in sorted(peaks)
            if (a, b) in map(tuple, map(sorted, peaks[mz]["broken_bonds"]))
        ]
        assert lit_mzs(page) == cutting


def test_touch_pins_a_peak(visit):
    page = visit(has_touch=True)
    ask(page, PEAKS, CAFFEINE)
    wait_for_answer(page)
    box = page.locator(".peak[data-peak=m2]").bounding_box()
    page.touchscreen.tap(box["x"] + 2, box["y"] + box["height"] / 2)
    assert "138.0662" in page.inner_text(".readout") or "110.0713" in page.inner_text(".readout")
    assert marked_atoms(page)


def test_a_bad_smiles_is_said_beside_its_line_and_can_be_left_out(visit):
    page = visit()
    typed = f"{CAFFEINE} caffeine\n# a remark\nC1CC(=O oops\n{ENPROFYLLINE}"
    ask(page, PEAKS, typed)
    page.wait_for_selector("#structures-error:not(:empty)")
    assert page.inner_text("#structures-error").startswith("Line 3: SMILES 'C1CC(=O'")
    assert page.get_attribute("#structures", "aria-invalid") == "true"
    assert page.input_value("#structures") == typed
    assert page.input_value("#peaks") == PEAKS
    assert page.evaluate("document.activeElement.id") == "structures"
    assert page.evaluate("getSelection().toString()") == "C1CC(=O oops"
    page.click("text=Leave this line out")
    assert page.inner_text("#structures-error") == ""
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert page.locator(".answers tbody tr").count() == 2


def test_all_lines_that_are_wrong_are_named_and_left_out_together(visit):
    page = visit()
    ask(page, PEAKS, f"C1CC\n{CAFFEINE} caffeine\n\nCC)O\n{ENPROFYLLINE}\nhello")
    page.wait_for_selector("#structures-error:not(:empty)")
    said = page.inner_text("#structures-error")
    assert [int(line) for line in re.findall(r"Line (\d+): SMILES", said)] == [1, 4, 6]
    page.click("text=Leave these 3 lines out")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert page.locator(".answers tbody tr").count() == 2


def test_an_empty_or_wrong_spectrum_is_said_beside_the_peaks(visit):
    page = visit()
    for peaks, expected in (
        ("mz intensity\n", "No peaks"),
        ("\t \n#", "No peaks"),
        ("100 0\n200 0", "all intensities are 0"),
        ("100 1\n-3 5", "not above 0"),
        ("100 1\n200", "Line 2 is no peak"),
        ("100 1\n200 1e999", "Line 2"),
    ):
        ask(page, peaks, CAFFEINE)
        until(page, f"document.querySelector('#peaks-error').textContent.includes('{expected}')")
        assert page.input_value("#peaks") == peaks
        assert page.get_attribute("#peaks", "aria-invalid") == "true"
    assert page.locator(".answers").count() == 0


def test_errors_stand_beside_the_fields_they_are_about(visit):
    page = visit(may_log="404")
    ask(page, PEAKS, "")
    assert "at least one SMILES" in page.inner_text("#structures-error")
    ask(page, PEAKS, CAFFEINE, precursor_mz="abc")
    assert "Not a number" in page.inner_text("#precursor_mz-error")
    ask(page, PEAKS, CAFFEINE, precursor_mz="", adduct="[M+Xx]+")
    page.wait_for_selector("#adduct-error:not(:empty)")
    assert page.inner_text("#precursor_mz-error") == ""
    page.evaluate("document.querySelector('#version').append(new Option('v9.9', 'v9.9'))")
    page.select_option("#version", "v9.9")
    ask(page, PEAKS, CAFFEINE, adduct="")
    page.wait_for_selector("#version-error:not(:empty)")
    assert "v0.1" in page.inner_text("#version-error")


def test_a_dropped_file_gives_a_list_of_spectra_to_choose_from(visit):
    page = visit(may_log="422")
    drop(page, "gnps.mgf", (FILES / "gnps.mgf").read_text())
    page.wait_for_selector("#spectra-box:not([hidden])")
    records = read_spectra(FILES / "gnps.mgf").records
    assert page.locator("#spectra option").count() == len(records)
    assert page.evaluate("document.activeElement.id") == "spectra"
    assert page.input_value("#structures") == CAFFEINE
    assert "left out" in page.inner_text("#spectra-hint")
    page.keyboard.press("ArrowDown")
    assert page.input_value("#adduct") == "[M-H]-"
    assert page.input_value("#collision_energy") == "30 eV"
    assert page.input_value("#precursor_mz") == "179.035"
    assert page.input_value("#structures") == "CC(=O)OC1=CC=CC=C1C(=O)O"
    page.click("#run")
    wait_for_answer(page)
    assert "aspirin, negative" in page.inner_text(".facts")
    # What is typed over a record's structure is kept when another spectrum is chosen.
    page.fill("#structures", f"{CAFFEINE} mine")
    page.select_option("#spectra", index=0)
    assert page.input_value("#structures") == f"{CAFFEINE} mine"

    drop(page, "two_scans.mzML", (FILES / "two_scans.mzML").read_text())
    until(page, "document.querySelector('#spectra-label').textContent.includes('mzML')")
    drop(page, "broken.mgf", "BEGIN IONS\nPEPMASS=1\nEND IONS\n")
    page.wait_for_selector("#file-error:not(:empty)")


def test_a_file_can_be_chosen_and_pasted_as_text(visit):
    page = visit()
    page.set_input_files("#file", FILES / "nist.msp")
    page.wait_for_selector("#spectra-box:not([hidden])")
    assert page.input_value("#collision_energy") == "NCE=35% 17eV"
    page.click("#file-close")
    assert page.locator("#spectra-box").is_hidden()
    page.fill("#peaks", (FILES / "gnps.mgf").read_text())
    page.click("#run")
    page.wait_for_selector("#spectra-box:not([hidden])")
    assert page.input_value("#peaks").startswith("69.0447\t")


def test_all_spectra_of_a_file_are_asked(visit, tmp_path, address):
    page = visit()
    page.set_input_files("#file", FILES / "gnps.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.click("text=Ask all 6")
    wait_for_answer(page)
    rows = page.locator(".of-series tbody tr")
    # Matched with the structures of their own records; what cannot be answered says why.
    assert page.inner_text("#answer h2 >> nth=0") == "5 of 12 spectra answered"
    assert rows.count() == 5
    assert "doubly charged" in rows.nth(2).inner_text()
    page.click("#answer .left-out summary")
    assert "no SMILES" in page.inner_text("#answer .left-out")
    records = read_spectra(FILES / "gnps.mgf").records
    expected = post(address, {
        "smiles": records[1].smiles, "mzs": records[1].spectrum.mzs.tolist(),
        "intensities": records[1].spectrum.intensities.tolist(), "adduct": "[M-H]-",
        "precursor_mz": 179.035, "collision_energy": "30 eV",
    })  # fmt: skip
    shown = float(rows.nth(1).locator(".value").inner_text())
    assert shown == pytest.approx(expected["probability"], abs=6e-4)
    rows.nth(0).focus()
    page.keyboard.press("ArrowDown")
    assert "aspirin, negative" in page.inner_text(".part .facts")

    page.fill("#structures", f"{CAFFEINE} caffeine\n{ENPROFYLLINE}")
    page.click("text=Ask all 6")
    until(page, "document.querySelector('.of-series').innerText.includes('first of 2')")
    assert rows.count() == 3  # of the mass, or of none that is known

    page.route("**/rank/file*", lambda route: None)  # no answer, ever
    page.click("text=Ask all 6")
    page.wait_for_selector("#working:not([hidden])")
    page.click("#cancel")
    page.wait_for_selector("#working", state="hidden")
    page.unroute_all(behavior="ignoreErrors")


def test_everything_works_with_the_keyboard_alone(visit):
    page = visit()
    press = page.keyboard.press
    focused = """() => {
        const at = document.activeElement;
        return at.id || at.className.baseVal || at.className || at.tagName;
    }"""
    has_ring = """() => {
        const at = document.activeElement;
        const style = getComputedStyle(at.id === "file" ? at.nextElementSibling : at);
        return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    }"""

    def tab_to(name: str) -> list[str]:
        passed = []
        for _ in range(40):
            press("Tab")
            passed.append(page.evaluate(focused))
            assert page.evaluate(has_ring), f"no visible focus on {passed[-1]}"
            if passed[-1] == name or (name == "tr" and passed[-1] == "TR"):
                return passed
        raise AssertionError(f"never came to {name}: {passed}")

    assert tab_to("peaks")[0] == "skip"
    page.keyboard.type(PEAKS)
    tab_to("structures")
    page.keyboard.type(f"{ENPROFYLLINE} enprofylline\n{CAFFEINE} caffeine")
    order = tab_to("run")
    assert order == ["library", "adduct", "collision_energy", "precursor_mz", "instrument_type",
                     "version", "max_error", "run"]  # fmt: skip
    press("Enter")
    wait_for_answer(page)
    tab_to("tr")
    assert page.inner_text(".detail h3") == "caffeine"
    press("ArrowDown")
    until(page, "document.querySelector('.detail h3').textContent === 'enprofylline'")
    assert page.get_attribute(".answers tbody tr:nth-child(2)", "aria-selected") == "true"
    press("Home")
    until(page, "document.querySelector('.detail h3').textContent === 'caffeine'")
    wait_for_answer(page)
    tab_to("plot")
    press("End")
    press("ArrowLeft")
    assert "150.5000" in page.inner_text(".readout")
    press("ArrowLeft")
    assert "138.0662" in page.inner_text(".readout")
    assert "138.0662" in page.inner_text("#announce")
    assert marked_atoms(page)
    press("ArrowDown")
    assert "predicted" in page.inner_text(".readout")
    press("Escape")
    assert marked_atoms(page) == set()
    tab_to("structure")
    press("ArrowRight")
    assert page.inner_text(".readout").startswith("Atom 1 ")
    press("ArrowDown")
    assert page.inner_text(".readout").startswith("Bond 1–2 ")
    # From within a field, the query is sent without leaving it.
    page.focus("#peaks")
    page.keyboard.type("\n1 x")
    press("Control+Enter")
    page.wait_for_selector("#peaks-error:not(:empty)")


def test_zoom_by_drag_and_keys(visit):
    page = visit()
    ask(page, PEAKS, CAFFEINE)
    wait_for_answer(page)
    n_peaks = lambda: page.locator(".peak[data-peak^=m]").count()  # noqa: E731
    assert n_peaks() == 5
    first = page.locator(".peak[data-peak=m1]").bounding_box()  # 110.0713
    last = page.locator(".peak[data-peak=m2]").bounding_box()  # 138.0662
    plot = page.locator(".plot").bounding_box()
    page.mouse.move(first["x"] - 15, plot["y"] + 60)
    page.mouse.down()
    page.mouse.move(last["x"] + 15, plot["y"] + 80, steps=4)
    page.mouse.up()
    assert n_peaks() == 2
    page.click("[aria-label='Show the whole spectrum']")
    assert n_peaks() == 5
    page.focus(".plot")
    for _ in range(3):
        page.keyboard.press("+")
    assert n_peaks() < 5
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert n_peaks() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_drawings_are_legible(visit, scheme):
    page = visit(color_scheme=scheme)
    ask(page, f"{PEAKS}\n300 9", f"{CAFFEINE} caffeine\nClc1ccc(Br)cc1S(=O)(=O)NP(=O)(F)I odd")
    wait_for_answer(page)
    page.locator(".answers tbody tr").nth(1).click()
    wait_for_answer(page)
    page.evaluate("document.querySelector('#adduct-error').textContent = 'An error'")
    luminance = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", luminance)[:3])) < 150) == (scheme == "dark")
    assert page.evaluate(CONTRASTS) == []


# After WCAG 2.2, 1.4.3 and 1.4.11: text 4.5, what else carries meaning 3.
CONTRASTS = """() => {
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const c = numbers(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] === 1) return c;
        }
        return [255, 255, 255];
    };
    const ratio = (a, b) => {
        const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05);
    };
    const poor = [];
    const check = (e, colour, least) => {
        const found = ratio(numbers(colour), ground(e));
        const name = `${e.tagName}.${e.className.baseVal ?? e.className}`;
        if (found < least) poor.push(`${name} ${colour} ${found.toFixed(2)}`);
    };
    const style = (e) => getComputedStyle(e);
    for (const e of document.querySelectorAll("body *")) {
        if (e.closest("[hidden], .unseen, noscript, svg") || !e.getClientRects().length) continue;
        const texts = [...e.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        if (texts.some((node) => node.textContent.trim())) check(e, style(e).color, 4.5);
    }
    for (const e of document.querySelectorAll(".plot text")) check(e, style(e).fill, 4.5);
    for (const e of document.querySelectorAll(".ink *")) check(e, style(e).color, 4.5);
    for (const e of document.querySelectorAll(".peak")) check(e, style(e).stroke, 3);
    return [...new Set(poor)];
}"""


def test_nothing_is_wider_than_a_telephone(visit):
    page = visit()
    page.set_viewport_size({"width": 360, "height": 740})
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == 360
    ask(page, PEAKS, f"{CAFFEINE} {'a-very-long-name' * 8}\nC1CC", adduct="")
    page.wait_for_selector("#structures-error:not(:empty)")
    assert page.evaluate(width) == 360
    ask(page, f"{PEAKS}\n400 9", f"{CAFFEINE} {'a-very-long-name' * 8}\n{'C' * 90}")
    wait_for_answer(page)
    page.click("text=Link")
    page.wait_for_selector(".link-place input")
    assert page.evaluate(width) == 360
    for part in (".answers .title", ".verdict", ".plot", ".structure-place", ".peaks"):
        box = page.locator(part).first.bounding_box()
        assert 0 <= box["x"] < box["x"] + box["width"] <= 360


def test_what_the_example_replaces_can_be_brought_back(visit):
    page = visit()
    page.fill("#peaks", PEAKS)
    page.fill("#structures", CAFFEINE)
    for button in ("#example", "#clear"):
        page.click(button)
        assert page.input_value("#peaks") != PEAKS
        page.click("#undo")
        assert page.input_value("#peaks") == PEAKS
        assert page.input_value("#structures") == CAFFEINE
        assert page.locator("#undo").is_hidden()
    page.click("#clear")
    page.click("#example")
    wait_for_answer(page)
    assert page.locator("#undo").is_hidden()  # nothing typed was lost


def test_motion_stops_where_it_is_not_wanted(visit):
    page = visit(reduced_motion="reduce")
    animation = "getComputedStyle(document.querySelector('.working-bar'), '::before').animationName"
    assert page.evaluate(animation) == "none"


def test_work_under_way_is_shown_and_can_be_cancelled(visit):
    page = visit()
    page.route("**/predict", lambda route: None)  # no answer, ever
    ask(page, PEAKS, CAFFEINE)
    page.wait_for_selector("#working:not([hidden])")
    assert "Matching" in page.inner_text("#working-text")
    assert page.is_disabled("#run")
    page.click("#cancel")
    page.wait_for_selector("#working", state="hidden")
    assert page.is_enabled("#run")
    assert page.input_value("#peaks") == PEAKS
    page.unroute_all(behavior="ignoreErrors")
    page.click("#run")
    wait_for_answer(page)


def test_a_link_asks_the_same_again(visit, address):
    page = visit()
    structures = f"{CAFFEINE} caffeine ñ→ü & <b>\n{ENPROFYLLINE}"
    ask(page, PEAKS, structures, collision_energy="35 eV", precursor_mz="195.0877")
    wait_for_answer(page)
    page.click("text=Link")
    link = page.input_value(".link-place input")
    assert link.startswith(f"{address}/#")
    again = visit(link.removeprefix(address))
    wait_for_answer(again)
    assert again.inner_text(".answers") == page.inner_text(".answers")
    for field in ("peaks", "structures", "collision_energy", "precursor_mz"):
        assert again.input_value(f"#{field}") == page.input_value(f"#{field}")
    # The version that answered, also if another is latest by then.
    assert f" {again.input_value('#version')} (" in page.inner_text(".facts")

    # Random digits do not shrink.
    peaks = "\n".join(
        f"{100 + (i * 7919 % 99991) / 1000} {i * 104729 % 9973 + 1}" for i in range(1500)
    )
    set_value = "text => { const e = document.querySelector('#peaks'); e.value = text; }"
    page.evaluate(set_value, peaks)  # typed, a long text takes long
    page.click("#run")
    until(page, "document.querySelector('.facts').textContent.includes('1,500 peaks')")
    page.click("text=Link")
    page.wait_for_selector(".link-place .error")
    assert "too long for a link" in page.inner_text(".link-place")

    damaged = visit(f"/#q={link.rpartition('=')[2][:20]}")
    damaged.wait_for_selector("#general-error:not(:empty)")
    assert "damaged" in damaged.inner_text("#general-error")


def test_downloads_hold_the_answer(visit, tmp_path, address):
    page = visit()
    ask(
        page, PEAKS, f'{ENPROFYLLINE} =HYPERLINK("x")\n{CAFFEINE} caffeine, "pure"', adduct="[M+H]+"
    )
    wait_for_answer(page)
    mzs, heights = zip(*(map(float, line.split()) for line in PEAKS.splitlines()), strict=True)
    expected = post(address, {"smiles": [ENPROFYLLINE, CAFFEINE], "mzs": mzs,
                              "intensities": heights, "adduct": "[M+H]+"})  # fmt: skip
    best_first = sorted(expected, key=lambda match: match["rank"])

    rows = list(csv.DictReader(io.StringIO(download(page, "CSV", tmp_path).read_text("utf-8-sig"))))
    assert [row["smiles"] for row in rows] == [match["smiles"] for match in best_first]
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        [match["probability"] for match in best_first], rel=1e-3
    )
    assert list(rows[0]) == list(MATCH_COLUMNS)  # one schema for every route
    assert rows[0]["name"] == 'caffeine, "pure"'
    assert rows[1]["name"] == '\'=HYPERLINK("x")'  # no spreadsheet runs it

    held = json.loads(download(page, "JSON", tmp_path).read_text())
    assert held["query"]["peaks"] == PEAKS
    assert held["spectrum"]["mzs"] == list(mzs)
    assert [one["number"] for one in held["results"]] == [2, 1]
    formulas = [peak["formula"] for peak in best_first[0]["peaks"]]
    assert [peak["formula"] for peak in held["results"][0]["peaks"]] == formulas

    measured, predicted = read_mgf(download(page, "MGF", tmp_path))
    assert measured["peaks"] == sorted(zip(mzs, heights, strict=True))
    assert "SMILES" not in measured
    assert predicted["SMILES"] == CAFFEINE
    assert "predicted by team5" in predicted["TITLE"]
    assert len(predicted["peaks"]) == page.locator(".peak[data-peak^=p]").count()


def read_mgf(path: Path) -> list[dict[str, Any]]:
    records = []
    for part in path.read_text().split("BEGIN IONS\n")[1:]:
        lines = part.partition("END IONS")[0].splitlines()
        record: dict[str, Any] = dict(line.split("=", 1) for line in lines if "=" in line)
        record["peaks"] = [tuple(map(float, line.split())) for line in lines if "=" not in line]
        records.append(record)
    return records


HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def test_what_users_type_is_never_markup(visit, address):
    page = visit(may_log="422")
    ask(page, PEAKS, f"{CAFFEINE} {HOSTILE}\n{ENPROFYLLINE} \"'&lt;b&gt;")
    wait_for_answer(page)
    assert page.inner_text(".answers .title strong >> nth=0") == HOSTILE
    assert HOSTILE in page.inner_text(".detail h3")
    ask(page, PEAKS, f"{HOSTILE.replace(' ', '')}\nCCO")
    page.wait_for_selector("#structures-error:not(:empty)")
    ask(page, f"100 1\n{HOSTILE}", CAFFEINE)
    page.wait_for_selector("#peaks-error:not(:empty)")
    ask(page, PEAKS, CAFFEINE, adduct=HOSTILE)
    page.wait_for_selector("#adduct-error:not(:empty)")
    ask(page, PEAKS, CAFFEINE, adduct="", collision_energy=HOSTILE)
    until(page, "document.querySelector('.facts').textContent.includes('onerror')")
    record = f"BEGIN IONS\nTITLE={HOSTILE}\nPEPMASS=195.0877\nCHARGE=1+\n195.0877 1\nEND IONS\n"
    drop(page, f"{HOSTILE}.mgf".replace("/", ""), record)
    page.wait_for_selector("#spectra-box:not([hidden])")
    assert HOSTILE in page.inner_text("#spectra")
    ask(page, page.input_value("#peaks"), CAFFEINE, collision_energy="")
    wait_for_answer(page)
    drop(page, f"{HOSTILE}.mgf".replace("/", ""), "BEGIN IONS\nEND IONS")
    page.wait_for_selector("#file-error:not(:empty)")
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("window.hacked") is None
    # What a link carries is typed by others.
    query = {"structures": f"CCO {HOSTILE}", "version": HOSTILE, "__proto__": "x", "peaks": 3}
    other = visit("/#j=" + urllib.request.quote(json.dumps(query)))
    other.wait_for_selector("#version-error:not(:empty), #general-error:not(:empty)")
    assert other.evaluate("window.hacked") is None
    assert other.locator("main img, main script").count() == 0


def test_a_drawing_brings_nothing_but_lines(visit):
    page = visit(may_log="inline event handler")  # blocked, and said so
    drawing = """<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9' onload='hacked=1'>
        <script>window.hacked=1</script><foreignObject><p xmlns='http://www.w3.org/1999/xhtml'>x</p>
        </foreignObject><a href='javascript:window.hacked=1'><path class='bond-0 atom-0 atom-1'
        d='M0 0L9 9' style='stroke:#FF0000' onclick='window.hacked=1'/></a>
        <circle class='atom-0' cx='0' cy='0' r='1'/></svg>"""
    page.route("**/draw", lambda route: route.fulfill(body=drawing, content_type="image/svg+xml"))
    ask(page, PEAKS, CAFFEINE)
    wait_for_answer(page)
    inside = page.eval_on_selector_all(".thumb *", "all => all.map(e => e.tagName)")
    assert set(inside) == {"svg", "g", "path"}
    assert "onclick" not in page.inner_html(".thumb")
    assert page.evaluate("window.hacked") is None


def test_a_token_is_asked_for_and_then_used(visit):
    def guard(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer s3cret":
            route.continue_()
        else:
            error = {"type": "UnauthorizedError", "message": "wants a token", "where": None}
            route.fulfill(status=401, json={"error": error})

    page = visit(may_log="401")
    for path in ("versions", "predict", "draw"):
        page.route(f"**/{path}", guard)
    ask(page, PEAKS, CAFFEINE)
    page.wait_for_selector("#token-box:not([hidden])")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token-error:not(:empty)")
    page.fill("#token", "s3cret")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert page.locator("#token-box").is_hidden()
    assert page.input_value("#peaks") == PEAKS


def test_a_held_back_answer_says_so(visit):
    def hold_back(route: Any) -> None:
        response = route.fetch()
        body = response.json()
        answer = body["items"][0].get("answer", {})
        if "probability" in answer:
            answer["abstained"] = "the label is 0.60 sure; an error of at most 0.1 needs 0.90"
        route.fulfill(response=response, json=body)

    page = visit()
    page.route("**/predict", hold_back)
    ask(page, PEAKS, CAFFEINE)
    page.wait_for_selector(".banner.warn")
    assert "needs 0.90" in page.inner_text(".banner.warn")
    assert page.inner_text(".verdict .word") == "withheld"
    page.unroute_all(behavior="ignoreErrors")


def test_a_probability_says_what_it_was_compared_with(visit):
    """A version that compares says beside what; v0.1 does not and says nothing."""
    page = visit(viewport={"width": 360, "height": 800})
    ask(page, PEAKS, CAFFEINE)
    wait_for_answer(page)
    assert page.inner_text(".beside") == "beside 8 isomers made from it"
    ask(page, "47.0491 100", "CCO")
    until(page, "document.querySelector('.beside').innerText.endsWith(' 1 isomer made from it')")
    others = make_isomers(parse_smiles(CAFFEINE), 24)
    ask(page, PEAKS, "\n".join([CAFFEINE, *others]))
    until(page, "document.querySelectorAll('.answers tbody tr').length === 25")
    assert page.locator(".beside").count() == 0  # of many the confidence is shown
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.select_option("#version", "v0.1")
    ask(page, PEAKS, CAFFEINE)
    until(page, "document.querySelectorAll('.answers tbody tr').length === 1")
    wait_for_answer(page)
    assert page.locator(".beside").count() == 0


def test_many_candidates_come_in_pages(visit):
    def many(route: Any) -> None:
        question = route.request.post_data_json["items"][0]
        response = route.fetch(post_data={"items": [{**question, "smiles": CAFFEINE}]})
        body = response.json()
        if isinstance(question["smiles"], list):
            match = body["items"][0]["answer"]
            body["items"][0]["answer"] = [{**match, "rank": i + 1} for i in range(250)]
        route.fulfill(response=response, json=body)

    page = visit()
    page.route("**/predict", many)
    ask(page, PEAKS, "\n".join([CAFFEINE] * 250))
    wait_for_answer(page)
    rows = page.locator(".answers tbody tr")
    assert rows.count() == 100
    assert page.inner_text(".more") == "Show 100 more of 150"
    page.click(".more")
    assert rows.count() == 200
    assert page.evaluate("document.activeElement.rowIndex") == 101
    page.unroute_all(behavior="ignoreErrors")


def test_a_server_that_is_gone_is_no_riddle(visit):
    page = visit(may_log="ERR_FAILED")
    page.route("**/predict", lambda route: route.abort())
    ask(page, PEAKS, CAFFEINE)
    page.wait_for_selector("#general-error:not(:empty)")
    assert "does not answer" in page.inner_text("#general-error")
    assert page.input_value("#peaks") == PEAKS


READ_AS = [
    ("100.5\t20\n200 30", [[100.5, 20], [200, 30]]),
    ("100.5,20\n200,30", [[100.5, 20], [200, 30]]),
    ("100.5;20", [[100.5, 20]]),
    ("100.5, 20", [[100.5, 20]]),
    ("100,5;20,25", [[100.5, 20.25]]),
    ("100,5 20", [[100.5, 20]]),
    ("mass\tint\n# remark\n\n1e2 1.5E+3", [[100, 1500]]),
    ("2-aminobenzoic acid\n100 1", None),
    ("19 10; 29 999; 47 20;", [[19, 10], [29, 999], [47, 20]]),
    ("138.1:60 110.1:20", [[138.1, 60], [110.1, 20]]),
    ("[[138.1, 60], [110.1, 20]]", [[138.1, 60], [110.1, 20]]),
    ('138.1 60 C6H8N3O+ "p"', [[138.1, 60]]),
    ("138.1,60,annotated", [[138.1, 60]]),
    ("100 1\r\n200 2\r300 3", [[100, 1], [200, 2], [300, 3]]),
    ("", []),
    ("m/z;%\n100|5", [[100, 5]]),
    ("[(121.028, 100), (139.039, 35)]", [[121.028, 100], [139.039, 35]]),
    ("[(121.028, 100),\n (139.039, 35),\n]", [[121.028, 100], [139.039, 35]]),
    ("((121.028, 100), (139.039, 3.5e1),)", [[121.028, 100], [139.039, 35]]),
    ("array([[121.028, 100.], [139.039, 35.]])", [[121.028, 100], [139.039, 35]]),
    ("{121.028: 100, 139.039: 35}", [[121.028, 100], [139.039, 35]]),
    ("mzs=[50.5, 60, 70]\nintensities=[1, 2, 3]", [[50.5, 1], [60, 2], [70, 3]]),
    ("[50.5, 60, 70] [1, 2]", None),
    ("mz,intensity\n121.028,100\n139.039,35\n", [[121.028, 100], [139.039, 35]]),
    ('"mz";"intensity"\n"121,028";"100"\n139,039;35,5', [[121.028, 100], [139.039, 35.5]]),
    ("m/z\tInt.\n121.028\t100", [[121.028, 100]]),
    ("intensity,mz\n100,121.028", [[121.028, 100]]),
    (
        "id;m/z;Intensity [%];ion\n1;121.028;100;C7H5O2+\n2;139.039;35;",
        [[121.028, 100], [139.039, 35]],
    ),
    ("id,mz,intensity\n1,121.028,", None),
    ("[(121.028, 100), (139.039, high)]", None),
    ("[(121.028,), (139.039,)]", None),
]


def test_peaks_are_read_with_any_separator(visit):
    page = visit()
    for text, expected in READ_AS:
        found = page.evaluate(
            """async (text) => {
                const { mzs, intensities, fault } = (await import("./input.js")).parsePeaks(text);
                return fault ? null : mzs.map((mz, i) => [mz, intensities[i]]);
            }""",
            text,
        )
        assert found == expected, text


def test_no_asset_names_another_address():
    for asset in (REPOSITORY / "team5" / "serving" / "page").rglob("*.*"):
        text = asset.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]{2,}", text), asset.name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
        )
        if asset.suffix == ".html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", text)
