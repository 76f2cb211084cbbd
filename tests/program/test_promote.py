"""``promote`` where frozen queries are configured: real versions, scored."""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from team5.cli.versions import main
from team5.registry.tracker import Tracker
from tests.inference.queries import write_queries
from tests.inference.versions import copy_registry, export_copy

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_queries(tmp_path_factory.mktemp("queries") / "frozen.parquet")


@pytest.fixture
def root(tmp_path) -> Path:
    return copy_registry(tmp_path / "checkpoints")


@pytest.fixture
def call(root, capsys):
    """Run a command; give its exit code, stdout and stderr."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main([*map(str, words), "--root", str(root)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def error_of(err: str) -> str:
    """Return the one line that is left on a terminal once the progress bar is gone."""
    lines = [line for line in err.splitlines() if line.strip()]
    return lines[-1]


def test_a_worse_version_is_refused_with_figures_and_interval_unless_forced(call, root, table):
    before = (root / "checkpoint_tracker.json").read_bytes()
    export_copy(root, is_damaged=True)
    recorded = (root / "checkpoint_tracker.json").read_bytes()
    assert recorded != before
    code, out, err = call("promote", "v0.2", "--queries", table)
    assert (code, out) == (2, "")
    said = error_of(err)
    assert said.startswith(
        "VersionError: v0.2 is worse than v0.1, the present latest, on frozen.parquet: cosine 0.0"
    )
    assert re.search(
        r"cosine 0\.0\d+, v0\.1 has 0\.06\d+ \(difference -0\.06\d+, "
        r"95 % interval -0\.\d+ to -0\.\d+\)",
        said,
    )
    assert f'promote v0.2 --root {root} --force "REASON"' in said
    assert "hit_rate" not in said  # no worse in that
    assert (root / "checkpoint_tracker.json").read_bytes() == recorded

    code, out, _ = call("promote", "v0.2", "--queries", table, "--force", "to see it fail")
    assert (code, out) == (0, "latest is v0.2 (forced: to see it fail)\n")
    move = Tracker(root).read().history[-1]
    assert (move.latest, move.previous) == ("v0.2", "v0.1")
    assert (move.reason, move.judged) == ("promoted, forced: to see it fail", None)
    assert "promoted, forced: to see it fail" in call("history")[1]


def test_what_it_was_judged_on_is_kept_and_shown(call, root, table):
    export_copy(root)
    code, out, _ = call("promote", "v0.2", "--queries", table)
    assert (code, out) == (0, "latest is v0.2 (not worse than v0.1 on frozen.parquet)\n")
    sha256 = hashlib.sha256(table.read_bytes()).hexdigest()
    (move,) = json.loads(call("history", "--json")[1])[-1:]
    assert move["reason"] == "promoted; not worse than v0.1 on frozen.parquet"
    judged = move["judged"]
    assert (judged["queries"], judged["sha256"]) == ("frozen.parquet", sha256)
    assert judged["compared_with"] == "v0.1"
    assert list(judged["hashes"]) == ["v0.1", "v0.2"]
    assert set(judged["figures"]) == {
        "same_formula_hit_rate@1", "hit_rate@1", "accuracy", "cosine",
    }  # fmt: skip
    for figure in judged["figures"].values():
        assert figure["before"] == figure["after"]
        assert figure["difference"] == figure["low"] == figure["high"] == 0
        assert figure["n_queries"] == figure["n_structures"] == 6
    lines = call("history")[1].splitlines()
    at = next(i for i, line in enumerate(lines) if "promoted; not worse than v0.1" in line)
    assert lines[at + 1] == f"    on frozen.parquet, SHA-256 {sha256}"
    assert lines[at + 3] == (
        "    hit_rate@1: 0.1667, v0.1 has 0.1667 (difference +0.0000, "
        "95 % interval +0.0000 to +0.0000)"
    )


def test_a_better_version_is_promoted_and_the_way_back_refused(call, root, table):
    export_copy(root, is_damaged=True)
    assert call("promote", "v0.2", "--force", "to begin with a bad one")[0] == 0
    code, out, _ = call("promote", "v0.1", "--queries", table)
    assert (code, out) == (0, "latest is v0.1 (not worse than v0.2 on frozen.parquet)\n")
    assert Tracker(root).read().history[-1].judged["figures"]["cosine"]["low"] > 0
    assert call("promote", "v0.2", "--queries", table)[0] == 2


def test_the_variable_judges_every_promotion_and_recorded_figures_count_no_more(
    call, root, table, monkeypatch
):
    monkeypatch.setenv("TEAM5_GATE_QUERIES", str(table))
    export_copy(root, is_damaged=True)  # its recorded figures are higher
    assert call("promote", "v0.2")[0] == 2
    assert Tracker(root).latest() == "v0.1"
    monkeypatch.delenv("TEAM5_GATE_QUERIES")
    assert call("promote", "v0.2")[0] == 0


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_missing_file_is_never_skipped(call, root, tmp_path, monkeypatch, by_variable):
    export_copy(root)
    missing = tmp_path / "none.parquet"
    if by_variable:
        monkeypatch.setenv("TEAM5_GATE_QUERIES", str(missing))
    words = [] if by_variable else ["--queries", missing]
    code, out, err = call("promote", "v0.2", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"DataFileNotFoundError: {missing}: no such file")
    assert "TEAM5_GATE_QUERIES" in err
    assert err.count("\n") == 1
    assert Tracker(root).latest() == "v0.1"
    # Even where there is nothing to compare with.
    assert call("promote", "v0.1", *words)[0] == 2


def test_a_given_file_goes_before_the_variable(call, root, table, monkeypatch):
    monkeypatch.setenv("TEAM5_GATE_QUERIES", "none.parquet")
    export_copy(root)
    assert call("promote", "v0.2", "--queries", table)[0] == 0


def test_a_file_that_holds_no_queries_is_named(call, root, tmp_path):
    export_copy(root)
    other = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(other)
    for path in (other, tmp_path, REPOSITORY / "README.md"):
        code, _, err = call("promote", "v0.2", "--queries", path)
        assert code == 2
        assert err.startswith(f"DataError: {path}")


def test_latest_and_the_first_to_become_it_are_compared_with_none(call, root, table):
    export_copy(root)
    for words in ((), ("--queries", table)):
        said = call("promote", "v0.1", *words)[1]
        assert said == "latest is v0.1 (it was latest already)\n"
    path = root / "checkpoint_tracker.json"
    without_latest = json.dumps({**json.loads(path.read_text()), "latest": None})
    for words in ((), ("--queries", table)):
        path.write_text(without_latest)
        said = call("promote", "v0.2", *words)[1]
        assert said == "latest is v0.2 (no version was latest before)\n"


@pytest.mark.parametrize("lost", ["v0.1", "v0.2"])
def test_a_version_that_cannot_be_scored_is_not_compared(call, root, table, lost):
    export_copy(root, factor=math.nan if lost == "v0.2" else 1.0)
    if lost == "v0.1":
        (root / "v0.1/model.safetensors").unlink()
    code, _, err = call("promote", "v0.2", "--queries", table)
    assert code == 2
    assert f"v0.2 cannot be compared with v0.1 on {table.name}. Of {lost}: " in (error_of(err))
    assert Tracker(root).latest() == "v0.1"
    code, _, err = call("promote", "v0.2", "--queries", table, "--force", "the old one is lost")
    if lost == "v0.1":
        assert code == 0
    else:  # no reason makes weights of NaN an answer
        assert code == 1
        assert "is not finite" in error_of(err)


def test_computed_spectra_are_refused_before_anything_is_scored(call, root, table):
    export_copy(root, data={"computed": False})
    export_copy(root, data={"computed": True})
    assert call("promote", "v0.2")[0] == 0
    code, _, err = call("promote", "v0.3", "--queries", table)
    assert code == 2
    assert "v0.3 learned from computed spectra" in err


def test_force_needs_a_reason(call, root):
    export_copy(root)
    code, _, err = call("promote", "v0.2", "--force", " ")
    assert code == 2
    assert "--force needs a reason" in err


def test_a_latest_that_moved_meanwhile_is_not_overridden(root):
    for _ in range(2):
        export_copy(root)
    tracker = Tracker(root)
    judged = {"queries": "a", "sha256": "0" * 64, "compared_with": "v0.1", "figures": {}}
    tracker.set_latest("v0.2", "the other one", judged)
    with pytest.raises(ValueError, match=r"latest has become v0\.2 while v0\.3 was compared"):
        tracker.set_latest("v0.3", "too late", judged)
    assert tracker.latest() == "v0.2"


def test_as_a_program_it_shows_its_progress_and_answers_on_standard_output(root, table):
    export_copy(root)
    done = subprocess.run(
        [sys.executable, "-m", "team5.registry", "promote", "v0.2", "--root", str(root)],
        cwd=REPOSITORY,
        env={**os.environ, "TEAM5_GATE_QUERIES": str(table), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "latest is v0.2 (not worse than v0.1 on frozen.parquet)\n"
    assert "12 of 12" in done.stderr
