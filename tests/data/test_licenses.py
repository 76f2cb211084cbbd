import pytest

from team5.data.licenses import DEFAULT_LICENSES, normalize_license


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("CC0", "CC0"),
        ("CC0 1.0", "CC0"),
        ("CC BY", "CC BY"),
        ("CC-BY", "CC BY"),
        ("CC BY 4.0", "CC BY"),
        ("cc by 3.0 DE", "CC BY"),
        ("Creative Commons BY 4.0", "CC BY"),
        ("CC BY-SA", "CC BY-SA"),
        ("CC BY-SA 3.0", "CC BY-SA"),
        ("CC-BY-SA-4.0", "CC BY-SA"),
        ("CC BY SA", "CC BY-SA"),
        ("CC BY-NC", "CC BY-NC"),
        ("CC BY-NC-SA 4.0", "CC BY-NC-SA"),
        ("CC BY-NC-ND", "CC BY-NC-ND"),
        ("dl-de/by-2-0", "dl-de/by-2-0"),
        ("DL-DE-BY-2.0", "dl-de/by-2-0"),
        ("All rights reserved", "All rights reserved"),
        ("", ""),
    ],
)
def test_ways_of_writing_are_one_family(text, family):
    assert normalize_license(text) == family


@pytest.mark.parametrize(
    "text", ["CC BY-NC", "CC BY-NC-SA", "CC BY-ND 4.0", "dl-de/zero-2-0x", "by", "", "none stated"]
)
def test_what_forbids_uses_or_says_nothing_is_not_allowed_by_default(text):
    assert normalize_license(text) not in DEFAULT_LICENSES


def test_every_default_licence_allows_itself_and_no_other():
    for name in DEFAULT_LICENSES:
        assert normalize_license(name) == name
        assert not any(normalize_license(o) == name for o in DEFAULT_LICENSES if o != name)
