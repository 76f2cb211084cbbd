import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import VersionError
from team5.registry.versions import Version, closest, next_version

numbers = st.integers(0, 999_999_999)
versions = st.builds(Version, numbers, numbers)


@given(versions)
def test_a_version_is_written_as_it_is_read(version):
    assert Version.parse(str(version)) == version


@given(st.lists(versions))
def test_the_next_version_is_above_all_there_are(existing):
    following = next_version(existing)
    assert all(version < following for version in existing)


def test_order_is_by_number_not_by_text():
    names = ["v0.10", "v0.9", "v1.0", "v0.2"]
    ordered = sorted(Version.parse(name) for name in names)
    assert [str(version) for version in ordered] == ["v0.2", "v0.9", "v0.10", "v1.0"]


def test_the_next_version_is_a_minor_one_after_the_highest():
    assert str(next_version([])) == "v0.1"
    assert str(next_version([Version(0, 9), Version(0, 10), Version(0, 2)])) == "v0.11"
    assert str(next_version([Version(0, 9), Version(1, 0)])) == "v1.1"


@pytest.mark.parametrize(
    "text",
    [
        *("", "0.2", "v0", "v0.2.1", "V0.2", " v0.2", "v0.2\n", "v0.2\0", "v0.02", "v-1.2"),
        *("v0.2/..", "../v0.2", "v٠.٢", "v0.1234567890", "v1e3.0", "latest", 0.2, None, ["v0.2"]),
    ],
)
def test_what_is_not_written_as_a_version_is_refused(text):
    with pytest.raises(VersionError, match=r"v<major>\.<minor>"):
        Version.parse(text)


@given(st.text())
def test_only_canonical_names_are_versions(text):
    assert not Version.is_version(text) or str(Version.parse(text)) == text


def test_a_version_error_is_a_value_error():
    with pytest.raises(ValueError, match="is not a version"):
        Version.parse("new")


@pytest.mark.parametrize(("text", "shown"), [
    ("new", '"new"'),
    ("v0.2\n", r"'v0.2\n'"),
    (0.2, "0.2"),
    ("x" * 78, f'"{"x" * 78}"'),
    ("x" * 79, f'"{"x" * 76}...'),
])  # fmt: skip
def test_a_refused_name_is_shown_on_one_line_of_at_most_80_characters(text, shown):
    with pytest.raises(VersionError) as raised:
        Version.parse(text)
    assert str(raised.value).startswith(f"{shown} is not a version.")


def test_of_equally_close_versions_the_newest_comes_first():
    existing = [Version(1, 0), Version(3, 0), Version(2, 0)]
    assert [str(version) for version in closest("v9", existing)] == ["v3.0", "v2.0", "v1.0"]


def test_closest_orders_by_likeness_of_the_name():
    existing = [Version(3, 7), Version(0, 12), Version(0, 2)]
    assert [str(version) for version in closest("v0.21", existing)] == ["v0.2", "v0.12", "v3.7"]
