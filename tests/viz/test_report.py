import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.records import ALL, MATCH, SAME_FORMULA, make_metric
from team5.evaluation.report import Report
from team5.viz.report import to_html

RANKED = make_metric(
    "hit@1", 0.625, (0.511, 0.702), {"chance": 0.101, "mass_error": 0.303, "molecule_only": 0.25},
    ["a", "b", "b"],
)  # fmt: skip
DOUBTFUL = make_metric("accuracy", 0.6, (0.4, 0.8), {"chance": 0.5}, ["a"])
BAND = make_metric("[M+H]+ <&>", 0.7, (0.6, 0.8), {"chance": 0.1}, ["a"])


@pytest.fixture
def report():
    return Report(
        "v0.1", "0123456789ab", "<queries>.parquet", 3, 2, 7, 0.5,
        {ALL: [RANKED], MATCH: [DOUBTFUL]},
        {SAME_FORMULA: {"adduct": [BAND]}},
        [ReliabilityBin(0.9, 1.0, 0.95, 0.75, 0.5, 1.0, 4)],
        ("a note & more",),
    )  # fmt: skip


class Page(HTMLParser):
    """What a page says and refers to; that its elements close in order is checked on the way."""

    VOID = frozenset({"meta", "br", "use"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def pictures(text):
    return re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)


def test_page_stands_alone(report):
    text = to_html(report)
    page = Page(text)

    assert not re.search(r"https?:|//|@import|url\((?!#)", text)
    assert not set(page.tags) & {"script", "link", "iframe", "object", "img"}
    references = [value for name, value in page.attributes if name in ("href", "src")]
    assert all(value.startswith("#") for value in references)


def test_page_says_every_figure_with_its_interval_and_controls(report):
    texts = Page(to_html(report)).texts

    for said in (
        "0.625", "0.511 to 0.702", "0.101", "0.303", "0.250", "0.600 *", "0.400 to 0.800",
        "[M+H]+ <&>", "0.600 to 0.800", "by adduct", "0.9 to 1.0", "0.750", "a note & more",
        "mass error", "molecule only",
    ):  # fmt: skip
        assert said in texts, said
    assert any("does not lie wholly above" in text for text in texts)


def test_each_section_has_a_picture_that_can_be_drawn(report):
    found = pictures(to_html(report))

    assert len(found) == 4
    for picture, title in zip(found, (ALL, MATCH, "reliability", "adduct"), strict=True):
        root = ET.fromstring(picture)
        assert title in root.get("aria-label")
        assert len(root.get("viewBox").split()) == 4
        used = {node.get("href") for node in root.iter("use")}
        assert used
        ids = {f"#{node.get('id')}" for node in root.iter()}
        assert used <= ids
        drawn = "".join(root.itertext())
        assert "0.2" in drawn
    assert "hit@1" in "".join(ET.fromstring(found[0]).itertext())


def test_pictures_take_their_colours_from_the_page(report):
    text = to_html(report)

    used = set(re.findall(r"var\(--(\w+)\)", text))
    for theme in re.findall(r":root \{([^}]*)\}", text):
        assert used <= set(re.findall(r"--(\w+):", theme))
    for picture in pictures(text):
        assert not re.findall(r"(?:fill|stroke): #(?!000000|ffffff)\w+", picture)


def test_the_same_report_gives_the_same_page(report):
    assert to_html(report) == to_html(report)
