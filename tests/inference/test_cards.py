import copy
import dataclasses
import json
import pickle
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from team5.data.spectrum import Spectrum
from team5.inference.inference import infer, load_model
from team5.inference.results import AnswerList, confidence_text
from team5.registry.export import read_version

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
ISOMERS = ["CN1C=NC2=C1N(C)C(=O)N(C)C2=O", CAFFEINE, "CCCN1C2=C(NC=N2)C(=O)NC1=O"]
PEAKS = ([195.0877, 138.0662, 110.0713, 83.0604], [100, 60, 20, 8])
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&'


class Page(HTMLParser):
    """What a card says; that its elements close in order is checked on the way."""

    VOID = frozenset({"path"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def model():
    return load_model("v0.2", device="cpu", root=CHECKPOINTS)


@pytest.fixture(scope="module")
def spectrum():
    return Spectrum(
        *PEAKS, precursor_mz=195.0877, adduct="[M+H]+", collision_energy="35 eV",
        instrument_type="QTOF", identifier="caffeine",
    )  # fmt: skip


@pytest.fixture(scope="module")
def matches(model, spectrum):
    return infer(model, None, ISOMERS, spectra=spectrum)


@pytest.fixture(scope="module")
def shown(model, spectrum, matches):
    """Everything that shows itself."""
    return {
        "match": matches[0],
        "matches": matches,
        "simulation": infer(model, None, CAFFEINE),
        "simulations": infer(model, None, ISOMERS),
        "spectrum": spectrum,
        "model": model,
    }


KINDS = ("match", "matches", "simulation", "simulations", "spectrum", "model")


@pytest.mark.parametrize("kind", KINDS)
def test_card_is_whole_and_refers_to_nothing_outside(shown, kind):
    text = shown[kind]._repr_html_()
    page = Page(text)

    assert not re.search(r"https?:|//|@import|url\(|javascript", text)
    assert not set(page.tags) & {"script", "link", "iframe", "object", "img", "style"}
    assert not any(name.startswith("on") or name in ("href", "src") for name, _ in page.attributes)


@pytest.mark.parametrize("kind", KINDS)
def test_card_takes_text_colours_and_background_from_the_page(shown, kind):
    text = shown[kind]._repr_html_()

    assert not re.search(r"background|[^-]color:|#000000|#fff|black|white", text, re.IGNORECASE)
    for svg in re.findall(r"<svg.*?</svg>", text):
        ET.fromstring(svg)


@pytest.mark.parametrize("kind", ["match", "matches", "simulation", "spectrum"])
def test_text_of_users_and_files_is_escaped(shown, kind):
    value = shown[kind]
    if kind == "spectrum":
        value = dataclasses.replace(
            value, identifier=HOSTILE, collision_energy=HOSTILE, instrument_type=HOSTILE
        )
    elif kind in ("match", "simulation"):
        value = dataclasses.replace(
            value, smiles=HOSTILE, notes=(HOSTILE,), collision_energy=HOSTILE, version=HOSTILE
        )
    else:
        value = AnswerList(
            dataclasses.replace(m, smiles=HOSTILE, abstained=HOSTILE) for m in shown["matches"]
        )
    page = Page(value._repr_html_())

    assert not set(page.tags) & {"script", "img"}
    assert any(HOSTILE in text for text in page.texts)


def test_match_says_what_was_judged_and_how(shown):
    match = shown["match"]
    said = " ".join(Page(match._repr_html_()).texts)

    for text in (match.smiles, confidence_text(match.confidence), match.formula, "[M+H]+", "v0.2"):
        assert text in said
    for peak in match.peaks:
        assert str(peak) in said


def test_ranked_candidates_stand_best_first(shown):
    texts = Page(shown["matches"]._repr_html_()).texts

    by_rank = {match.rank: match.smiles for match in shown["matches"]}
    order = [text for text in texts if text in by_rank.values()]
    assert order == [by_rank[rank] for rank in (1, 2, 3)]
    assert "Spectrum: 3 candidates" in texts


def test_of_long_lists_ten_are_shown_and_the_others_counted(shown):
    text = AnswerList(list(shown["matches"]) * 5)._repr_html_()

    assert text.count("<svg") == 10
    assert "… and 5 more" in Page(text).texts


def test_what_was_held_back_says_why(shown):
    held = dataclasses.replace(shown["match"], abstained="only 0.4 sure")

    assert "only 0.4 sure" in Page(held._repr_html_()).texts
    assert "Withheld: only 0.4 sure" in Page(AnswerList([held])._repr_html_()).texts


def test_of_matches_that_are_not_ranked_each_says_whether_it_was_held_back(shown):
    match = dataclasses.replace(shown["match"], rank=None, label=True)
    held = dataclasses.replace(match, abstained="only 0.4 sure")

    texts = Page(AnswerList([held, match])._repr_html_()).texts
    assert [text for text in texts if text in ("withheld", "match")] == ["withheld", "match"]
    assert "Withheld: only 0.4 sure" not in texts


def test_labels_of_peaks_stay_inside_and_apart(shown):
    for kind in ("spectrum", "simulation", "match"):
        svg = ET.fromstring(re.findall(r"<svg.*?</svg>", shown[kind]._repr_html_())[-1])
        boxes = []
        for text in svg.iter("text"):
            half = 7.4 * len(text.text) / 2
            x, y = float(text.get("x")), float(text.get("y"))
            if "opacity" not in text.attrib:
                assert x - half >= -0.1
                assert x + half <= float(svg.get("width")) + 0.1
                boxes.append((x - half, x + half, y - 12, y))
        assert boxes
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[0] >= b[1] or b[0] >= a[1] or a[2] >= b[3] or b[2] >= a[3]


def test_spectrum_of_thousands_of_peaks_stays_small():
    spectrum = Spectrum([100 + 0.1 * i for i in range(2_000)], [1 + i for i in range(2_000)])

    assert len(spectrum._repr_html_()) < 60_000


def test_list_of_answers_is_a_list_in_every_way(model, matches):
    assert isinstance(matches, list)
    assert matches == list(matches)
    assert repr(matches) == repr(list(matches))
    assert pickle.loads(pickle.dumps(matches)) == matches
    assert copy.copy(matches) == matches
    assert json.dumps([1, *AnswerList([])]) == "[1]"
    assert isinstance(infer(model, None, ["CCO"]), list)


def test_model_and_version_are_told_in_a_line(model):
    line = repr(model)

    assert (
        line
        == str(model)
        == (f"LoadedModel: v0.2 ({model.version_hash}), {model.n_parameters:,} parameters, cpu")
    )
    stored = repr(read_version(CHECKPOINTS, "v0.2"))
    assert "v0.2" in stored
    assert len(stored) < 300


def test_spectrum_is_told_in_a_line(spectrum):
    assert str(spectrum) == (
        "caffeine: 4 peaks from m/z 83.0604 to 195.0877, precursor 195.0877, [M+H]+, 35 eV, QTOF"
    )
    assert str(Spectrum([100.0], [1.0])) == "spectrum: 1 peak from m/z 100.0000 to 100.0000"
