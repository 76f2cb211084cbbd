import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import (
    ConfigError,
    StorageError,
    TrackerError,
    VersionError,
    VersionNotFoundError,
)
from team5.registry.tracker import Tracker, TrackerData, named_versions
from team5.registry.versions import Version

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = {
    "latest": "v0.2",
    "checkpoints": [
        {
            "version": "v0.1",
            "date": "2023-10-15",
            "description": "Initial model",
            "performance": {"accuracy": 0.85, "f1_score": 0.83},
        },
        {
            "version": "v0.2",
            "date": "2023-10-20",
            "description": "Improved",
            "performance": {"accuracy": 0.88, "f1_score": 0.86},
        },
    ],
}


@pytest.fixture
def tracker(root):
    return Tracker(root)


def write(tracker: Tracker, text: str) -> None:
    tracker.root.mkdir(exist_ok=True)
    tracker.path.write_text(text)


def read(tracker: Tracker):
    return json.loads(tracker.path.read_text())


def test_where_there_is_no_tracker_it_is_empty(tracker):
    assert tracker.read().entries == ()
    assert tracker.latest() is None
    assert not tracker.root.exists()


def test_an_entry_is_written_in_the_fixed_format(tracker):
    tracker.add("v0.1", "Initial model", 0.85, 0.83, date="2023-10-15", set_as_latest=True)
    tracker.add("v0.2", "Improved", 0.88, 0.86, date="2023-10-20", set_as_latest=True)
    written = read(tracker)
    moves = written.pop("history")
    assert written == GUIDE
    assert [(move["latest"], move["previous"], move["reason"]) for move in moves] == [
        ("v0.1", None, "set with its entry"),
        ("v0.2", "v0.1", "set with its entry"),
    ]
    assert list(read(tracker)["checkpoints"][0]) == list(GUIDE["checkpoints"][0])


def test_latest_moves_only_when_asked(tracker):
    tracker.add("v0.1", "First", 0.8, 0.8, set_as_latest=True)
    tracker.add("v0.2", "Second", 0.9, 0.9)
    assert tracker.latest() == "v0.1"
    tracker.set_latest("v0.2")
    assert tracker.latest() == "v0.2"
    assert read(tracker)["history"][-1]["reason"] == "promoted"


def test_a_comparison_is_recorded_with_the_move_and_void_once_another_version_is_latest(tracker):
    for version in ("v0.1", "v0.2", "v0.3"):
        tracker.add(version, "One", 0.8, 0.8)
    judged = {"queries": "queries.parquet", "sha256": "0" * 64, "compared_with": "v0.1",
              "figures": {}}  # fmt: skip
    tracker.set_latest("v0.1", judged={**judged, "compared_with": "v0.9"})  # none was latest yet
    tracker.set_latest("v0.2", "better", judged=judged)
    move = read(tracker)["history"][-1]
    assert (move["reason"], move["judged"]) == ("better", judged)
    with pytest.raises(VersionError) as caught:
        tracker.set_latest("v0.3", judged=judged)
    assert str(caught.value) == (
        "latest has become v0.2 while v0.3 was compared with v0.1. Promote v0.3 once more."
    )
    assert tracker.latest() == "v0.2"


def test_the_date_is_today_where_none_is_given(tracker):
    before = dt.date.today().isoformat()
    tracker.add("v0.1", "First", 0.8, 0.8)
    assert before <= tracker.read().entry("v0.1").date <= dt.date.today().isoformat()


def test_a_second_entry_of_a_version_needs_update(tracker):
    write(tracker, json.dumps(GUIDE))
    with pytest.raises(VersionError, match="--update"):
        tracker.add("v0.2", "Again", 0.9, 0.9)
    assert read(tracker) == GUIDE


def test_an_update_changes_what_is_given_and_keeps_the_rest(tracker):
    write(tracker, json.dumps(GUIDE))
    tracker.add("v0.2", accuracy=0.91, update=True, extra_performance={"hit_rate@1": 0.6})
    entry = tracker.read().entry("v0.2")
    assert entry.performance == {"accuracy": 0.91, "f1_score": 0.86, "hit_rate@1": 0.6}
    assert (entry.date, entry.description) == ("2023-10-20", "Improved")
    assert read(tracker)["checkpoints"][0] == GUIDE["checkpoints"][0]


def test_an_absent_version_is_named_with_the_tracker_and_the_versions_there_are(tracker):
    acts = (
        lambda: tracker.add("v0.21", accuracy=0.9, update=True),
        lambda: tracker.set_latest("v0.21"),
        lambda: tracker.set_alias("champion", "v0.21"),
    )
    for content, said in (
        (GUIDE, "; closest: v0.2, v0.1. Pass one of these."),
        ({"checkpoints": []}, "; it holds none."),
    ):
        write(tracker, json.dumps(content))
        for act in acts:
            with pytest.raises(VersionNotFoundError) as caught:
                act()
            assert f'no version "v0.21" in {tracker.path}{said}' in str(caught.value)
        assert read(tracker) == content


def test_of_many_versions_the_eight_closest_are_named_and_the_others_counted():
    existing = tuple(Version(1, minor) for minor in range(9))
    assert named_versions("v1.0", existing[:8]) == "v1.0, v1.7, v1.6, v1.5, v1.4, v1.3, v1.2, v1.1"
    assert named_versions("v1.0", existing).endswith("v1.3, v1.2 and 1 more")


def test_an_alias_that_is_not_there_is_named_with_those_there_are(tracker):
    tracker.add("v0.1", "First", 0.8, 0.8)
    for aliases, there_are in (((), "none"), (("old", "champion"), "champion, old")):
        for alias in aliases:
            tracker.set_alias(alias, "v0.1")
        with pytest.raises(ConfigError) as caught:
            tracker.set_alias("best", None)
        assert str(caught.value) == f"no alias 'best' in {tracker.path}; there are: {there_are}."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["licence", "notes", "µ", ""]), json_values))
def test_unknown_keys_are_kept(tmp_path_factory, unknown):
    tracker = Tracker(tmp_path_factory.mktemp("registry"))
    first = {**GUIDE["checkpoints"][0], **unknown}
    first["performance"] = {**first["performance"], "mcc": 0.7}
    write(tracker, json.dumps({**GUIDE, **unknown, "checkpoints": [first]}))

    tracker.add("v0.2", "Second", 0.9, 0.9, date="2024-01-01", set_as_latest=True)
    tracker.add("v0.1", "First again", update=True)

    written = read(tracker)
    assert written["checkpoints"][0] == {**first, "description": "First again"}
    assert {key: written[key] for key in unknown} == unknown


@given(st.permutations(range(1, 13)))
def test_entries_stand_in_the_order_they_were_made_whatever_their_numbers(order):
    data = TrackerData()
    for minor in order:
        data = data.with_entry(Version(0, minor), {"date": "2024-01-01"}, replace_figures=False)
    assert [version.minor for version in data.versions] == list(order)
    assert TrackerData.parse(data.to_json(), "text") == data


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"latest": "v0.1",\n "checkpoints": [}', r"line 2, column 18"),
        ("", r"line 1, column 1"),
        ('{"latest": "v0.1",\n "checkpoints": NaN}', r"line 2, column 17"),
        ("[]", "no JSON object"),
        ('{"latest": 2}', '"latest" is not text'),
        ('{"latest": "final"}', "v<major>"),
        ('{"checkpoints": {}}', '"checkpoints" is not a list'),
        ('{"checkpoints": [1]}', r'"checkpoints"\[0\] is not an object'),
        ('{"checkpoints": [{"version": "../v0.1"}]}', r'"checkpoints"\[0\]'),
        ('{"checkpoints": [{"version": "v0.1"}, {"version": "v0.1"}]}', "second entry of v0.1"),
        ('{"checkpoints": [{"version": "v0.1", "performance": 3}]}', '"performance"'),
        ('{"checkpoints": [{"version": "v0.1", "date": 3}]}', '"date" is not text'),
    ],
)
def test_an_invalid_tracker_is_named_and_left_untouched(tracker, text, place):
    write(tracker, text)
    for act in (
        tracker.read,
        lambda: tracker.add("v0.5", "New", 0.9, 0.9),
        lambda: tracker.set_latest("v0.1"),
    ):
        with pytest.raises(TrackerError, match=place) as caught:
            act()
        assert str(tracker.path) in str(caught.value)
    assert tracker.path.read_text() == text


@pytest.mark.parametrize(
    "arguments",
    [
        {"accuracy": 1.01},
        {"accuracy": -0.1},
        {"f1_score": float("nan")},
        {"f1_score": float("inf")},
        {"accuracy": None},
        {"description": None},
        {"accuracy": True},
        {"accuracy": "0.9"},
        {"description": "caf\udce9"},
        {"date": "2023-13-01"},
        {"date": "20231015"},
        {"date": "15.10.2023"},
        {"date": "2023-W41-7"},
        {"date": "2023-10-15T10:00"},
        {"extra_performance": {"hit_rate@1": float("nan")}},
        {"extra_performance": {"accuracy": 0.5}},
        {"extra": {"version": "v9.9"}},
        {"extra": {"notes": {1, 2}}},
    ],
)
def test_wrong_values_are_refused_before_anything_is_written(tracker, arguments):
    given_arguments = {"description": "New", "accuracy": 0.9, "f1_score": 0.9, **arguments}
    with pytest.raises(ConfigError):
        tracker.add("v0.1", **given_arguments)
    assert not tracker.root.exists()


def test_a_malformed_version_is_refused_before_anything_is_written(tracker):
    with pytest.raises(VersionError):
        tracker.add("../v0.1", "New", 0.9, 0.9)
    assert not tracker.root.exists()


def test_an_entry_of_a_folder_that_is_there_gets_its_checksum(tracker, export):
    name = export()
    recorded = tracker.read().entry(name).sha256
    tracker.path.unlink()
    tracker.add(name, "By hand", 0.9, 0.9)
    assert tracker.read().entry(name).sha256 == recorded
    written = read(tracker)
    del written["checkpoints"][0]["sha256"]
    write(tracker, json.dumps(written))
    tracker.add(name, accuracy=0.8, update=True)
    assert tracker.read().entry(name).sha256 == recorded


def test_an_update_keeps_the_checksum_though_the_files_have_changed(tracker, export):
    name = export()
    recorded = tracker.read().entry(name).sha256
    with (tracker.root / name / "config.json").open("a") as config:
        config.write(" ")
    tracker.add(name, accuracy=0.8, update=True)
    assert tracker.read().entry(name).sha256 == recorded


def test_what_a_new_entry_lacks_is_named(tracker):
    with pytest.raises(ConfigError, match="a new entry needs description, f1_score"):
        tracker.add("v0.1", accuracy=0.9)
    with pytest.raises(ConfigError, match=r"needs accuracy\. .* or change .* with --update"):
        tracker.add("v0.1", "First", None, 0.9)


def test_updates_of_four_processes_all_stand(root):
    program = """
import sys
from team5.registry.tracker import Tracker
major = int(sys.argv[2])
for minor in range(10):
    Tracker(sys.argv[1]).add(f"v{major}.{minor}", "At once", 0.5, 0.5, set_as_latest=True)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program, root, str(major)], cwd=REPOSITORY)
        for major in range(4)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    data = Tracker(root).read()
    assert sorted(data.versions) == [Version(*divmod(n, 10)) for n in range(40)]
    assert data.latest.endswith(".9")
    assert not list(root.glob(".staging-*"))


def test_a_full_disk_leaves_the_tracker_as_it_was(small_disk, snapshot):
    tracker = Tracker(small_disk)
    tracker.add("v0.1", "First", 0.9, 0.9)
    before = snapshot()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(2**21))
    with pytest.raises(StorageError, match="disk is full"):
        tracker.add("v0.2", "Second", 0.9, 0.9)
    filler.unlink()
    assert snapshot() == before


def test_a_tracker_that_is_a_link_stays_one(tracker, tmp_path):
    tracker.add("v0.1", "First", 0.9, 0.9)
    target = tmp_path / "kept elsewhere.json"
    tracker.path.rename(target)
    tracker.path.symlink_to(target)
    tracker.add("v0.2", "Second", 0.9, 0.9, set_as_latest=True)
    assert tracker.path.is_symlink()
    assert json.loads(target.read_bytes())["latest"] == "v0.2"
    assert tracker.read().versions == (Version(0, 1), Version(0, 2))


def test_an_unwritable_folder_leaves_the_tracker_as_it_was(tracker, make_unwritable, snapshot):
    tracker.add("v0.1", "First", 0.9, 0.9)
    before = snapshot()
    make_unwritable()
    with pytest.raises(StorageError, match="cannot be written"):
        tracker.add("v0.2", "Second", 0.9, 0.9)
    assert snapshot() == before
    assert tracker.read().versions == (Version(0, 1),)


def test_a_root_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(StorageError, match="checkpoints"):
        Tracker(tmp_path / "checkpoints").add("v0.1", "First", 0.9, 0.9)
    assert (tmp_path / "checkpoints").read_text() == "mine"


def test_the_registry_starts_without_torch():
    program = (
        "import sys, team5.registry.export, team5.registry.tracker\n"
        "print(sorted({'torch', 'safetensors', 'numpy', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_could_not_be_read_again_is_not_written(tracker, snapshot):
    tracker.add("v0.1", "First", 0.8, 0.8, set_as_latest=True)
    tracker.add("v0.2", "Second", 0.8, 0.8)
    before = snapshot()
    for act in (
        lambda: tracker.add("v0.3", "x" * 20_000, 0.8, 0.8),
        lambda: tracker.set_latest("v0.2", "x" * 20_000),
    ):
        with pytest.raises(ConfigError, match="too long"):
            act()
    assert snapshot() == before


def test_a_clock_that_goes_back_changes_no_order_of_moves():
    data = TrackerData()
    for minor in (1, 2, 3):
        at = dt.datetime(2026, 1, 10 - minor, tzinfo=dt.UTC)  # each move a day before the last
        version = f"v0.{minor}"
        data = data.with_entry(version, {}, replace_figures=True).with_latest(
            version, "promoted", at=at
        )
    assert data.latest == "v0.3"
    assert [move.latest for move in data.history] == ["v0.1", "v0.2", "v0.3"]
    assert data.rollback_target() == "v0.2"
    assert data.rolled_back("v0.2").rollback_target() == "v0.1"
