"""``python -m team5.registry``, as people and programs call it."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from team5.cli.versions import main
from team5.registry.export import read_version
from team5.registry.tracker import Tracker, TrackerEntryFields

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def call(root, capsys):
    """Run a command; give its exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--root", str(root)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def entry(accuracy: float, **performance: float) -> TrackerEntryFields:
    return TrackerEntryFields("A test", accuracy, 0.7, "2024-05-01", performance)


def test_list_is_sorted_by_number_and_says_which_is_latest(call, export):
    for minor in (10, 9, 2):
        export(version=f"v0.{minor}", set_as_latest=minor == 9)
    call("alias", "champion", "v0.10")
    code, out, err = call("list")
    assert (code, err.startswith("in ")) == (0, True)  # the folder
    lines = [line.split("  ")[0] for line in out.splitlines()[1:]]
    assert lines == ["v0.2", "v0.9 (latest)", "v0.10 (champion)"]
    rows = json.loads(call("list", "--json")[1])
    assert [row["version"] for row in rows] == ["v0.2", "v0.9", "v0.10"]
    assert [row["latest"] for row in rows] == [False, True, False]
    assert rows[2]["aliases"] == ["champion"]


def test_a_description_cannot_steer_a_terminal(call, export):
    export(entry=TrackerEntryFields("A \x1b[2Jtest", 0.8, 0.7, "2024-05-01"))
    for words in (("list",), ("show", "v0.1")):
        out = call(*words)[1]
        assert "A \\x1b[2Jtest" in out
        assert "\x1b" not in out


def test_show_tells_figures_files_and_origin(call, export):
    export(config={"number": 3, "seed": 7})
    out = call("show", "v0.1")[1]
    for said in ("accuracy", "0.8", "model.safetensors", "seed: 7", "A test"):
        assert said in out
    assert json.loads(call("show", "v0.1", "--json")[1])["config"]["seed"] == 7


def test_compare_tells_figures_config_and_data_apart(call, export):
    export(config={"width": 1, "data": {"source": "a"}}, entry=entry(0.80))
    export(config={"width": 2, "data": {"source": "b"}}, entry=entry(0.85))
    found = json.loads(call("compare", "v0.1", "v0.2", "--json")[1])
    assert found["figures"][0] == ["accuracy", 0.80, 0.85]
    assert found["config"] == [["width", 1, 2]]
    assert found["data"] == [["data.source", "a", "b"]]
    out = call("compare", "v0.1", "v0.2")[1]
    assert "of different spectra, no comparison: other validation data, source a and b" in out
    assert "+0.0500" not in out
    export(config={"width": 3, "data": {"source": "b"}}, entry=entry(0.90))
    assert "+0.0500" in call("compare", "v0.2", "v0.3")[1]


def test_a_setting_that_names_another_is_shown_as_its_value(call, export):
    for seed in ("${seed}", 1):
        export(config={"training_config": {"seed": 1, "data": {"seed": seed}, "root": "${none}"}})
    assert json.loads(call("compare", "v0.1", "v0.2", "--json")[1])["data"] == []
    out = call("show", "v0.1")[1]
    assert "training_config.data.seed: 1" in out
    assert "$" not in out


def test_the_version_that_compare_lacks_is_named(call, capsys):
    with pytest.raises(SystemExit, match="2"):
        call("compare", "v0.1")
    assert "required: second_version. " in capsys.readouterr().err


def test_long_lists_are_counted_in_text_and_whole_in_json(call, export):
    one = [i / 7 for i in range(1_928)]
    other = [*one[:-3], 0.0, 0.5, 1.0]
    export(config={"sure": {"same_length": one, "longer": one, "short": [1, 2]}})
    export(config={"sure": {"same_length": other, "longer": [*one, 2.0], "short": [1, 3]}})
    out = call("compare", "v0.1", "v0.2")[1]
    rows = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  sure")]
    cells = {key: re.split(r"  +", values) for key, values in rows}
    assert cells["sure.same_length"] == ["1,928 values", "1,928 values, 3 of them differ"]
    assert cells["sure.longer"] == ["1,928 values", "1,929 values"]
    assert cells["sure.short"] == ["[1, 2]", "[1, 3]"]
    assert max(map(len, out.splitlines())) < 100
    found = json.loads(call("compare", "v0.1", "v0.2", "--json")[1])
    assert found["config"][0] == ["sure.same_length", one, other]
    assert "sure.same_length: 1,928 values" in call("show", "v0.1")[1]
    assert json.loads(call("show", "v0.1", "--json")[1])["config"]["sure"]["same_length"] == one


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "optimizer.bin", "README.md"])
def test_verify_finds_one_flipped_byte_in_any_file(call, root, export, name):
    export(optimizer={"a": 1}, extra_files={"README.md": "card"})
    export()
    assert call("verify")[0] == 0
    path = root / "v0.1" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, out, err = call("verify")
    assert code == 1
    assert f"{path} is damaged: SHA-256" in err or str(path) in err
    assert "v0.2: every file" in out
    assert call("verify", "v0.2")[0] == 0
    if name in ("config.json", "model.safetensors"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            read_version(root, "v0.1")


def test_promote_rollback_and_history(call, root, export):
    for _ in range(3):
        export()
    for version in ("v0.1", "v0.2", "v0.3"):
        assert call("promote", version)[0] == 0
    assert call("rollback")[1] == "latest is v0.2\n"
    assert call("rollback")[1] == "latest is v0.1\n"
    code, _, err = call("rollback")
    assert code == 2
    assert "no version that was latest before v0.1" in err
    assert call("promote", "v0.3")[0] == 0
    assert call("rollback")[1] == "latest is v0.1\n"
    moves = [(move.latest, move.previous) for move in Tracker(root).read().history]
    assert moves == [
        ("v0.1", None), ("v0.2", "v0.1"), ("v0.3", "v0.2"), ("v0.2", "v0.3"), ("v0.1", "v0.2"),
        ("v0.3", "v0.1"), ("v0.1", "v0.3"),
    ]  # fmt: skip
    assert len(call("history")[1].splitlines()) == 1 + len(moves)


def test_history_answers_who_was_latest_at_a_moment(call, root, export):
    export()
    export()
    data = Tracker(root).read()
    for version, day in (("v0.1", 1), ("v0.2", 5)):
        data = data.with_latest(version, "test", dt.datetime(2026, 11, day, 12, tzinfo=dt.UTC))
    (root / "checkpoint_tracker.json").write_bytes(data.to_json())
    assert call("history", "--at", "2026-11-01")[1] == "v0.1\n"
    assert call("history", "--at", "2026-11-05T11:59")[1] == "v0.1\n"
    assert call("history", "--at", "2026-11-05T12:00:00+00:00")[1] == "v0.2\n"
    assert call("history", "--at", "2027-01-01")[1] == "v0.2\n"
    assert call("history", "--at", "2026-10-31")[0] == 1
    code, _, err = call("history", "--at", "yesterday")
    assert code == 2
    assert "write 2026-11-01" in err


def test_a_worse_version_is_not_promoted_unless_forced_with_a_reason(call, root, export):
    export(entry=entry(0.85), set_as_latest=True)
    export(entry=entry(0.80))
    code, _, err = call("promote", "v0.2")
    assert code == 2
    assert "v0.2 is worse than v0.1" in err
    assert Tracker(root).latest() == "v0.1"
    assert call("promote", "v0.2", "--force", "fewer false matches")[0] == 0
    assert Tracker(root).read().history[-1].reason == "promoted, forced: fewer false matches"


def test_figures_of_other_data_are_not_compared_and_that_is_said(call, export):
    export(entry=entry(0.85), config={"data": {"source": "a"}}, set_as_latest=True)
    export(entry=entry(0.80), config={"data": {"source": "b"}})
    code, out, _ = call("promote", "v0.2")
    assert code == 0
    assert "not compared with v0.1: other validation data, source a and b" in out


def test_a_damaged_version_is_not_promoted(call, root, export):
    export(set_as_latest=True)
    export()
    (root / "v0.2/model.safetensors").write_bytes(b"x")
    assert call("promote", "v0.2")[0] == 1
    assert Tracker(root).latest() == "v0.1"


def test_an_alias_works_wherever_a_version_does(call, root, export):
    export()
    export()
    assert call("alias", "champion", "v0.1")[0] == 0
    assert read_version(root, "champion").version == "v0.1"
    assert "A test" in call("show", "champion")[1]
    call("alias", "champion", "v0.2")
    assert read_version(root, "champion").version == "v0.2"
    assert call("alias", "champion", "--remove")[0] == 0
    with pytest.raises(ValueError, match="champion"):
        read_version(root, "champion")
    for name in ("latest", "v0.3", "../x", "A", ""):
        code, _, err = call("alias", name, "v0.1")
        assert code == 2
        assert "cannot be an alias" in err
    assert call("alias", "champion", "v0.9")[0] == 2
    assert call("alias", "champion", "--remove")[0] == 2


def test_a_repaired_tracker_is_shown_before_it_takes_the_place_of_the_damaged(call, root, export):
    export(number=1)
    export(number=2, set_as_latest=True)
    path = root / "checkpoint_tracker.json"
    whole = json.loads(path.read_text())
    damaged = path.read_text()[:-40]
    path.write_text(damaged)
    assert call("list")[0] == 1
    code, out, err = call("repair")
    assert code == 0
    assert out.startswith("---")
    assert "repair --replace" in err
    assert path.read_text() == damaged
    assert call("repair", "--replace")[0] == 0
    repaired = json.loads(path.read_text())
    assert repaired["latest"] == "v0.2"
    assert repaired["checkpoints"] == whole["checkpoints"]
    assert [p.read_text() for p in root.glob("checkpoint_tracker.damaged-*")] == [damaged]
    assert read_version(root).version == "v0.2"


def test_a_lost_tracker_is_rebuilt_from_the_folders_alone(call, root, export):
    export(number=1)
    export(number=2)
    (root / "v0.2/model.safetensors").unlink()
    path = root / "checkpoint_tracker.json"
    figures = json.loads(path.read_text())["checkpoints"][0]
    path.unlink()
    _, _, err = call("repair", "--replace")
    assert "v0.2 is left out" in err
    assert "the highest, takes its place" in err
    assert json.loads(path.read_text())["checkpoints"] == [figures]


def test_the_program_starts_without_torch_and_tells_errors_in_one_line(root, export):
    export()
    code = (
        "import sys; from team5.cli.versions import main; "
        f"code = main(['list', '--root', {str(root)!r}]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "team5.registry", "show", "v0.7", "--root", str(root)],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith('VersionNotFoundError: no version "v0.7"')
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("history", [3, None, True, {"a": 1}])
def test_a_history_that_is_none_is_repaired_too(call, root, export, history):
    export(set_as_latest=True)
    path = root / "checkpoint_tracker.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "history": history}))
    assert call("list")[0] == 1
    assert call("repair", "--replace")[0] == 0
    assert call("list")[0] == 0


def test_what_learned_from_computed_spectra_is_not_promoted_over_the_measured(call, root, export):
    export(config={"data": {"computed": False}}, set_as_latest=True)
    export(config={"data": {"computed": True}})
    code, _, err = call("promote", "v0.2")
    assert code == 2
    assert "computed spectra" in err
    assert call("promote", "v0.2", "--force", "to try it")[0] == 0


def test_the_folder_is_named_before_the_command_or_after_it(root, export, capsys):
    export(set_as_latest=True)
    for words in (["--root", str(root), "list"], ["list", "--root", str(root)]):
        assert main(words) == 0
        assert "v0.1" in capsys.readouterr().out


@pytest.mark.parametrize("judged", [3, {"queries": "a.parquet"}, {"figures": []}])
def test_a_move_judged_on_what_is_nothing_is_named_and_left_out_by_repair(
    call, root, export, judged
):
    export(set_as_latest=True)
    path = root / "checkpoint_tracker.json"
    raw = json.loads(path.read_text())
    moves = [{**raw["history"][0], "judged": judged}, raw["history"][0]]
    path.write_text(json.dumps({**raw, "history": moves}))
    code, _, err = call("history")
    assert code == 1
    assert '"history"[0]: "judged"' in err
    assert call("repair", "--replace")[0] == 0
    assert json.loads(path.read_text())["history"] == raw["history"]
