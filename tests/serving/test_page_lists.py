"""The page with lists of structures, libraries, and several spectra of one compound."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from team5.chemistry.molecule import parse_smiles
from team5.search.chunks import SearchSettings
from team5.search.engines import Engine
from team5.search.reading import iter_candidates
from team5.search.search import search_file
from team5.search.structures import ListedStructures
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
from tests.serving.test_rank_file import FEATURES

pytestmark = IN_BROWSER
EXAMPLES = REPOSITORY / "docs" / "examples"
SUSPECTS = EXAMPLES / "suspects.csv"


def names(page: Any, within: str = "") -> list[str]:
    return page.locator(f"{within} .answers:not(.of-series) .title strong").all_inner_texts()


def sdf(*structures: tuple[str, str]) -> str:
    from rdkit import Chem

    mols = ((name, parse_smiles(smiles).mol) for smiles, name in structures)
    return "".join(f"{name}{Chem.MolToMolBlock(mol)}$$$$\n" for name, mol in mols)


def inchi(smiles: str) -> str:
    from rdkit import Chem

    return Chem.MolToInchi(Chem.MolFromSmiles(smiles))


LISTS = {
    "list.csv": "name,smiles,source\ncaffeine,{0},coffee\nenprofylline,{1},drug\nethanol,CCO,x\n",
    "list.smi": "{0} caffeine\n{1} enprofylline\nCCO ethanol\n",
    "inchi.tsv": "InChI\tname\n{2}\tcaffeine\n{3}\tenprofylline\nInChI=1S/CH4/h1H4\tmethane\n",
    "list.sdf": "",
}


@pytest.mark.parametrize("name", LISTS)
def test_structures_of_a_list_are_candidates_with_their_names(name, visit, tmp_path):
    structures = [(CAFFEINE, "caffeine"), (ENPROFYLLINE, "enprofylline"), ("CCO", "ethanol")]
    text = LISTS[name].format(CAFFEINE, ENPROFYLLINE, inchi(CAFFEINE), inchi(ENPROFYLLINE))
    (tmp_path / name).write_text(text or sdf(*structures))
    page = visit()
    page.set_input_files("#list", tmp_path / name)
    assert page.inner_text("#structures-label") == name
    page.fill("#peaks", PEAKS)
    page.fill("#precursor_mz", "195.0877")
    page.click("#run")
    wait_for_answer(page)
    assert names(page) == ["caffeine", "enprofylline"]  # no other has the mass
    assert page.inner_text("#answer h2") == "2 structures ranked"
    assert " % sure" in page.inner_text(".facts")
    page.click("#list-close")
    page.fill("#structures", CAFFEINE)
    assert page.inner_text("#run") == "Match"


def test_a_list_is_told_from_spectra_when_it_is_dropped(visit):
    page = visit()
    drop(page, "suspects.csv", SUSPECTS.read_text())
    until(page, "document.querySelector('#structures-label').textContent === 'suspects.csv'")
    assert page.locator("#spectra-box").is_hidden()
    drop(page, "gnps.mgf", (FILES / "gnps.mgf").read_text())
    page.wait_for_selector("#spectra-box:not([hidden])")
    assert page.inner_text("#structures-label") == "suspects.csv"


def test_a_pasted_list_of_inchi_or_a_pasted_table_is_understood(visit):
    page = visit()
    for pasted in (
        f"{inchi(CAFFEINE)} caffeine\n{inchi(ENPROFYLLINE)} enprofylline",
        f"name;InChI\ncaffeine;{inchi(CAFFEINE)}\nenprofylline;{inchi(ENPROFYLLINE)}",
        f"id,SMILES,name\n1,{CAFFEINE},caffeine\n2,{ENPROFYLLINE},enprofylline",
        sdf((CAFFEINE, "caffeine"), (ENPROFYLLINE, "enprofylline")),
    ):
        page.click("#clear")
        ask(page, PEAKS, pasted, precursor_mz="195.0877")
        wait_for_answer(page)
        assert names(page) == ["caffeine", "enprofylline"]


def test_what_makes_no_ranking_of_a_list_is_said_where_it_is_wrong(visit, tmp_path):
    page = visit(may_log="422")
    page.set_input_files("#list", SUSPECTS)
    page.click("#run")
    assert "Give a spectrum" in page.inner_text("#peaks-error")
    page.fill("#peaks", PEAKS)
    page.fill("#precursor_mz", "500.1")
    page.click("#run")
    page.wait_for_selector("#structures-error:not(:empty)")
    assert "no candidate within 10 ppm" in page.inner_text("#structures-error")
    page.fill("#ppm", "wide")
    page.click("#run")
    page.wait_for_selector("#ppm-error:not(:empty)")
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    page.set_input_files("#list", tmp_path / "no.csv")
    page.fill("#ppm", "")
    page.click("#run")
    page.wait_for_selector("#structures-error:not(:empty)")
    assert "no column smiles or inchi" in page.inner_text("#structures-error")


def test_a_library_of_the_server_is_searched(visit, address):
    page = visit()
    assert page.locator("#library option").all_inner_texts()[1].startswith("demo (")
    page.select_option("#library", "demo")
    ask_without_structures = {"peaks": PEAKS, "precursor_mz": ""}
    for field, value in ask_without_structures.items():
        page.fill(f"#{field}", value)
    page.click("#run")
    assert "Give its m/z" in page.inner_text("#precursor_mz-error")
    page.fill("#precursor_mz", "195.0877")
    page.click("#run")
    wait_for_answer(page)
    mgf = f"BEGIN IONS\n{PEAKS}\nEND IONS\n"
    asked = {"spectra": mgf, "library": "demo", "precursor_mz": 195.0877}
    answer = httpx.post(f"{address}/rank/file", json=asked, timeout=60).json()
    assert names(page) == [row["name"] for row in answer["candidates"]]
    page.click("text=Link")
    again = visit(page.input_value(".link-place input").removeprefix(address))
    wait_for_answer(again)
    assert again.input_value("#library") == "demo"
    assert names(again) == names(page)


def test_several_spectra_of_one_compound_are_judged_together(visit, address, tmp_path):
    (tmp_path / "features.mgf").write_text(FEATURES)
    page = visit()
    page.set_input_files("#file", tmp_path / "features.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.select_option("#spectra", index=[0, 2])
    assert "2 spectra, judged together" in page.inner_text("#spectra-hint")
    page.fill("#structures", f"{CAFFEINE} caffeine\n{ENPROFYLLINE} enprofylline")
    page.click("#run")
    wait_for_answer(page)
    spectra = [
        {"mzs": [138.0662, 195.0877], "intensities": [60, 100], "precursor_mz": 195.0877,
         "collision_energy": "20 eV", "ion_mode": "positive"},
        {"mzs": [69.0447, 110.0713, 138.0662], "intensities": [30, 100, 60],
         "precursor_mz": 195.0877, "collision_energy": "40 eV", "ion_mode": "positive"},
    ]  # fmt: skip
    expected = post(address, {"smiles": [CAFFEINE, ENPROFYLLINE], "spectra": spectra})
    scores = {match["rank"]: f"{match['score']:.2f}".replace("-", "−") for match in expected}
    shown = page.locator(".answers tbody td.number[data-label=Score]").all_inner_texts()
    assert shown == [scores[1], scores[2]]
    assert "and 1 more" in page.inner_text(".facts")
    assert page.locator(".peak[data-peak^=m]").count() == 5  # those of both
    assert page.locator(".peak[data-peak^=m].explained").count() == 5  # an ion of both in both

    # The same among a list; and what is typed over them is one spectrum again.
    page.set_input_files("#list", SUSPECTS)
    page.click("#run")
    wait_for_answer(page)
    assert page.locator(".answers tbody td.number[data-label=Score]").all_inner_texts() == shown
    page.fill("#peaks", PEAKS)
    page.click("#run")
    wait_for_answer(page)
    assert "and 1 more" not in page.inner_text(".facts")


def test_an_answer_beside_a_question_that_is_refused_is_marked_as_the_earlier_one(visit):
    page = visit(may_log="422")
    page.click("#example")
    wait_for_answer(page)
    for field, wrong, right in (
        ("precursor_mz", "x", "195.0877"),  # refused by the page
        ("adduct", "aut", "[M+H]+"),  # by the server
    ):
        page.fill(f"#{field}", wrong)
        page.click("#run")
        page.wait_for_selector(f"#{field}-error:not(:empty)")
        assert page.locator(".result.old #answer").count() == 1
        said = "getComputedStyle(document.querySelector('#answer'), '::before').content"
        assert page.evaluate(said) == '"Answer to the earlier query"'
        page.fill(f"#{field}", right)
        page.click("#run")
        wait_for_answer(page)
        assert page.locator(".result.old").count() == 0


def test_an_answer_is_marked_as_the_earlier_one_when_another_file_is_opened(visit):
    page = visit()
    page.click("#example")
    wait_for_answer(page)
    assert page.locator(".result.old").count() == 0
    drop(page, "other.mgf", "BEGIN IONS\nPEPMASS=181.0495\n121.0284 1\nEND IONS\n")
    page.wait_for_selector(".result.old #answer")
    page.click("#run")
    wait_for_answer(page)
    assert page.locator(".result.old").count() == 0


def searched_as_csv(spectra: Path, folder: Path, **settings: Any) -> list[dict[str, str]]:
    """What predict.py writes for the spectra and the suspects."""
    structures = ListedStructures.of(SUSPECTS.name, iter_candidates(SUSPECTS))
    search_file(
        spectra, structures, folder / "expected.csv", root=REPOSITORY / "checkpoints", device="cpu",
        settings=SearchSettings(**settings), engine=Engine(workers=0),
    )  # fmt: skip
    return read_csv(folder / "expected.csv")


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


@pytest.mark.parametrize("group_by", ["", "auto", "FEATURE_ID"])
def test_the_table_of_all_spectra_is_the_file_that_predict_writes(visit, tmp_path, group_by):
    (tmp_path / "features.mgf").write_text(FEATURES)
    page = visit()
    page.set_input_files("#file", tmp_path / "features.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.set_input_files("#list", SUSPECTS)
    page.select_option("#group_by", group_by)
    page.click("text=Ask all 3")
    wait_for_answer(page)
    assert page.locator(".of-series tbody tr").count() == (2 if group_by else 3)
    assert page.inner_text("#answer h2 >> nth=0") == "3 of 3 spectra answered"
    found = read_csv(download(page, "All as CSV", tmp_path))
    expected = searched_as_csv(tmp_path / "features.mgf", tmp_path, group_by=group_by or None)
    assert list(found[0]) == list(expected[0])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for column, value in theirs.items():
            try:
                assert float(ours[column]) == pytest.approx(float(value), rel=2e-3, abs=2e-4)
            except ValueError:
                assert ours[column] == value, column


def test_what_is_left_out_of_all_spectra_is_named_and_kept(visit, tmp_path):
    page = visit()
    page.set_input_files("#file", FILES / "gnps.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.set_input_files("#list", SUSPECTS)
    page.click("text=Ask all 6")
    wait_for_answer(page)
    page.click("#answer .left-out summary")
    assert "no candidate within 10 ppm" in page.inner_text("#answer .left-out")
    kept = read_csv(download(page, "Left out as CSV", tmp_path))
    assert {"3", "5"} <= {row["spectrum"] for row in kept}
    whole = json.loads(download(page, "All as JSON", tmp_path).read_text())
    assert sum("left_out" in one for one in whole) == len(kept)


def test_a_long_file_shows_how_far_it_is_and_how_long_it_takes(visit, tmp_path):
    record = FEATURES.partition("END IONS")[0] + "END IONS\n\n"
    (tmp_path / "long.mgf").write_text(record * 1500)
    page = visit()
    page.set_input_files("#file", tmp_path / "long.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.select_option("#library", "demo")
    page.click("text=Ask all 1,500")
    left = "/\\d s, \\d+ (s|min) left/.test(document.querySelector('#working-text').textContent)"
    until(page, left)
    until(page, "+document.querySelector('.working-bar').getAttribute('aria-valuenow') > 0")
    page.click("#cancel")
    page.wait_for_selector(".banner.warn")
    assert "cancelled" in page.inner_text(".banner.warn")
    assert 0 < page.locator(".of-series tbody tr").count() < 1500


def test_a_file_goes_on_where_the_time_of_a_request_is_up(visit, tmp_path):
    (tmp_path / "features.mgf").write_text(FEATURES)
    page = visit()
    page.set_input_files("#file", tmp_path / "features.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.set_input_files("#list", SUSPECTS)
    # Of each answer only the first line comes, and then that the time is up.
    page.evaluate("""() => {
        const real = window.fetch;
        window.asked = [];
        window.fetch = async (path, options) => {
            const response = await real(path, options);
            if (!path.startsWith("rank/file")) return response;
            const lines = (await response.text()).trimEnd().split("\\n");
            window.asked.push(lines.length);
            const late = JSON.stringify({error: {type: "LateError", message: "late"}});
            const body = lines.length > 1 ? [lines[0], late] : lines;
            return new Response(body.map((line) => `${line}\\n`).join(""));
        };
    }""")
    page.click("text=Ask all 3")
    wait_for_answer(page)
    assert page.evaluate("window.asked") == [3, 2, 1]
    assert page.inner_text("#answer h2 >> nth=0") == "3 of 3 spectra answered"
    assert page.locator(".banner.warn").count() == 0


LONG_NAME = "4-[(2-Amino-4-oxo-3,4-dihydropteridin-6-yl)methylamino]benzamidoacetic_acid_hydrate"


def test_nothing_is_clipped_on_a_small_laptop(visit, tmp_path):
    page = visit(viewport={"width": 1280, "height": 800})
    (tmp_path / "long.smi").write_text(f"{CAFFEINE} {LONG_NAME}\n{ENPROFYLLINE} enprofylline\n")
    (tmp_path / "features.mgf").write_text(FEATURES)
    page.set_input_files("#file", tmp_path / "features.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.set_input_files("#list", tmp_path / "long.smi")
    page.click("text=Ask all 3")
    wait_for_answer(page)
    assert LONG_NAME in page.inner_text(".of-series")
    assert page.evaluate(CLIPPED) == []
    page.click("#list-close")
    page.set_input_files("#file", FILES / "gnps.mgf")
    page.wait_for_selector("#spectra-box:not([hidden])")
    page.select_option("#library", "demo")
    page.click("text=Ask all 6")
    wait_for_answer(page)
    assert page.evaluate(CLIPPED) == []
    page.click("#clear")
    page.click("#example")
    wait_for_answer(page)
    assert page.evaluate(CLIPPED) == []


# Elements whose content is wider than they are and cannot be scrolled to, or that leave the window;
# tables of answers need no scrolling sideways.
CLIPPED = """() => {
    const clipped = [];
    for (const e of document.querySelectorAll("body *")) {
        if (e.closest("[hidden], .unseen, .skip, noscript, svg, textarea")) continue;
        if (!e.getClientRects().length || e.closest(".file input")) continue;
        const style = getComputedStyle(e);
        const box = e.getBoundingClientRect();
        const name = `${e.tagName}#${e.id}.${e.className}`;
        const isCut = style.overflowX === "hidden" || style.overflowX === "clip";
        if (e.matches(".table-box") && e.scrollWidth > e.clientWidth + 1) clipped.push(name);
        if (isCut && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1) clipped.push(name);
        const isOut = box.left < -1 || box.right > innerWidth + 1;
        if (e.tagName !== "OPTION" && isOut) clipped.push(name);
        if (e.tagName === "SELECT" && !e.multiple) {
            const probe = document.createElement("span");
            probe.textContent = e.selectedOptions[0]?.text ?? "";
            probe.style.cssText = `font: ${style.font}; position: absolute; visibility: hidden`;
            document.body.append(probe);
            const wanted = probe.getBoundingClientRect().width + 30; // its arrow
            probe.remove();
            if (wanted > e.clientWidth) clipped.push(`${name} ${e.selectedOptions[0]?.text}`);
        }
    }
    return clipped;
}"""


# Machado, Oliveira and Fernandes, IEEE TVCG 15:1291 (2009), severity 1: linear RGB.
SEEN = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_predicted_peaks_are_told_apart_by_colour_line_and_word(visit, scheme):
    page = visit(color_scheme=scheme)
    ask(page, PEAKS, CAFFEINE)
    wait_for_answer(page)
    assert page.locator(".legend").inner_text().split("\n")[-2:] == [
        "predicted and measured",
        "predicted only",
    ]
    dashes = [
        page.locator(f".peak.{kind}").first.evaluate("e => getComputedStyle(e).strokeDasharray")
        for kind in ("predicted", "only")
    ]
    assert dashes[0] == "none" != dashes[1]
    for seen in SEEN.values():
        met, only = (seen_colour(page, kind, seen) for kind in ("predicted", "only"))
        assert sum((a - b) ** 2 for a, b in zip(met, only, strict=True)) ** 0.5 > 20


def seen_colour(page: Any, kind: str, seen: list[list[float]]) -> list[float]:
    """CIE L*a*b* of the colour of a kind of peak, as it is seen."""
    text = page.locator(f".peak.{kind}").first.evaluate("e => getComputedStyle(e).stroke")
    channels = [int(part) / 255 for part in text[4:-1].split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    r, g, b = (min(max(sum(w * c for w, c in zip(row, linear, strict=True)), 0), 1) for row in seen)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def test_a_ranking_shows_one_number_of_how_sure_it_is(visit):
    page = visit()
    page.click("#example")
    wait_for_answer(page)
    said = page.inner_text("#answer")
    assert "first place: " in said
    assert " % sure" in said
    assert "probability" not in said.lower()
    assert "threshold" not in said.lower()
    heads = page.locator(".answers th").all_inner_texts()
    assert [head for head in heads if head in ("Confidence", "Probability")] == ["Confidence"]


def test_a_long_ranking_shows_how_far_it_is_and_how_long_it_takes(visit):
    page = visit()
    page.fill("#peaks", PEAKS)
    typed = "text => { document.querySelector('#structures').value = text; }"
    page.evaluate(typed, "\n".join([CAFFEINE] * 9000))
    page.click("#run")
    left = "/ s, \\d+ (s|min) left/.test(document.querySelector('#working-text').textContent)"
    until(page, left)
    assert 0 < int(page.get_attribute(".working-bar", "aria-valuenow")) < 100
    page.click("#cancel")
    page.wait_for_selector("#working", state="hidden")
