"""evaluate.py with the small version on a small table."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from team5.chemistry.molecule import parse_smiles
from team5.data.demo import write_demo_table
from tests.inference.queries import write_queries

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "tests/files/checkpoints"
# Isomers that are no candidates.
POOL = ["CCCN1C2=C(NC=N2)C(=O)NC1=O", "COC(=O)c1cccc(C(=O)O)c1", "NC(=O)c1ccc(OC)cc1"]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_queries(tmp_path_factory.mktemp("queries") / "queries.parquet")


def evaluate(*words: str) -> subprocess.CompletedProcess:
    if not any(word.startswith("checkpoints_root=") for word in words):
        words = (f"checkpoints_root={SHIPPED}", *words)
    return subprocess.run(
        [sys.executable, "evaluate.py", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def structures(table) -> tuple[str, ...]:
    """What the molecule-only control is fitted on: isomers of the queries' structures."""
    rows = pl.read_parquet(table)
    of_queries = set(rows["smiles"])
    others = sorted({s for row in rows["candidates"] for s in row} - of_queries)
    train, pool = table.with_name("folds.csv"), table.with_name("pool.parquet")
    pl.DataFrame(
        {
            "smiles": [*others, *sorted(of_queries)],
            "fold": ["train"] * len(others) + ["val"] * len(of_queries),
        }
    ).write_csv(train)
    molecules = [parse_smiles(smiles) for smiles in ["CNC(=O)c1cccc(O)c1", *POOL, *of_queries]]
    pl.DataFrame(
        {
            "smiles": [m.smiles for m in molecules],
            "inchikey14": [m.inchikey14 for m in molecules],
            "formula": [m.formula for m in molecules],
            "exact_mass": [m.exact_mass for m in molecules],
        }
    ).write_parquet(pool)
    return f"data.train={train}", f"data.pool={pool}"


def test_figures_stand_beside_their_controls(table, structures, tmp_path):
    output = tmp_path / "figures.json"
    words = ("version=v0.1", f"data.queries={table}", f"output={output}", "format=json")
    done = evaluate(*words, *structures)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(output.read_text())
    assert report["version"] == "v0.1"
    assert len(report["version_hash"]) == 12
    assert {title: [row["name"] for row in rows] for title, rows in report["figures"].items()} == {
        "rank, all candidates": ["hit@1", "hit@5", "hit@20", "MRR"],
        "rank, candidates of the same formula": ["hit@1", "hit@5", "hit@20", "MRR"],
        "match, one decoy of the same mass": [
            "accuracy", "F1", "AUROC", "Brier score", "calibration error",
        ],
        "simulate, bins of 0.01": [
            "cosine", "cosine, precursor left out",
            "entropy similarity", "entropy similarity, precursor left out",
        ],
    }  # fmt: skip
    for rows in report["figures"].values():
        for row in rows:
            assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
            assert row["n_queries"] == 6
            assert isinstance(row["not_above_blind"], bool)
            blind = [row[name] for name in ("chance", "exchanged", "mass_error", "molecule_only")]
            assert all(value is None or 0 <= value <= 1 for value in blind)
            assert any(value is not None for value in blind) == (row["name"] != "calibration error")
    by_condition = report["breakdowns"]["rank, candidates of the same formula"]
    assert set(by_condition) == {
        "number of candidates", "adduct", "ion mode", "collision energy",
        "similarity to the nearest training structure",
        "intensity that the true structure explains",
    }  # fmt: skip
    for rows in by_condition.values():
        assert sum(row["n_queries"] for row in rows) == 6
        assert all(row["molecule_only"] is not None for row in rows)
    assert sum(row["n_pairs"] for row in report["reliability"]) == 12
    assert "fitted on 4 structures of folds.csv and 4 of pool.parquet" in report["notes"][-1]


def test_the_same_call_gives_the_same_figures_to_the_last_digit(table, structures, tmp_path):
    outputs = [tmp_path / f"{name}.json" for name in ("first", "second")]
    runs = [evaluate(f"data.queries={table}", *structures, f"output={o}") for o in outputs]
    assert [run.returncode for run in runs] == [0, 0]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert runs[0].stdout == runs[1].stdout
    assert "molecule only" in runs[0].stdout


def test_without_structures_the_control_is_left_out_and_the_report_says_how_to_get_it(table):
    done = evaluate(f"data.queries={table}")
    assert done.returncode == 0, done.stderr
    assert "exchanged" in done.stdout
    assert "hit@1, candidates of the same formula, by adduct" in done.stdout
    assert "nearest training structure" not in done.stdout
    (note,) = [line for line in done.stdout.splitlines() if line.startswith("Note: ")]
    assert "no molecule-only control" in note
    assert "data.train=FILE" in note
    assert "data.pool=FILE" in note


def test_training_structures_alone_give_similarities(table, structures):
    done = evaluate(f"data.queries={table}", structures[0], "format=json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["figures"]["rank, all candidates"][0]["molecule_only"] is None
    assert (
        "similarity to the nearest training structure"
        in (report["breakdowns"]["rank, all candidates"])
    )
    assert "no molecule-only control; give data.pool=FILE" in report["notes"][-1]


def test_structures_that_were_trained_on_are_told(table, tmp_path):
    train = tmp_path / "train.csv"
    pl.read_parquet(table).select("smiles").write_csv(train)
    done = evaluate(f"data.queries={table}", f"data.train={train}")
    assert done.returncode == 0, done.stderr
    assert "of the 6 structures measured here 6 are in the train fold" in done.stdout


def test_page_is_one_file_with_all_figures(table, structures, tmp_path):
    output = tmp_path / "report.html"
    done = evaluate(f"data.queries={table}", *structures, f"output={output}", "format=json")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    page = output.read_text(encoding="utf-8")
    assert "http" not in page
    assert len(page) < 2_000_000
    for said in ("<h3>Right 1", "<summary>Settings</summary>", "python evaluate.py version=v0.1"):
        assert said in page, said
    report = json.loads(done.stdout)
    for rows in report["figures"].values():
        for row in rows:
            assert row["name"] in page
            assert f"{row['low']:.3f} to {row['high']:.3f}" in page
    shown = page.count("<h4>")  # each with its structure and its spectrum
    assert shown >= 2
    n_plots = len(report["figures"]) + 1 + 2 * 6 + 2 * shown
    assert page.count("<svg") == page.count("</svg>") == n_plots


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data.queries=none.parquet",), "DataFileNotFoundError: none.parquet"),
        ((), "ConfigError: no spectra to measure on. Give data=file data.path=FILE"),
        (("data.massspecgym=a", "data.queries=b"), "ConfigError: data.queries and data.mass"),
        (("data.queries=README.md",), "DataError: README.md: not a readable Parquet file"),
        (("data.queries=README.md", "output=figures.csv"), "ConfigError: output=figures.csv"),
        (("data.querys=README.md",), "ConfigError: no setting"),
        (("data=demo", "at_most=0"), "ConfigError: at_most=0 should be"),
        (("data=demo", "data.n_candidates=0"), "ConfigError: data.n_candidates=0 should be"),
        (("data.queries=README.md", "at_most=3"), "ConfigError: at_most goes with versions or"),
        (("data=demo", "baseline=[v0.1]"), "ConfigError: baseline goes with versions; leave it"),
        (("versions=[v0.1]",), "ConfigError: versions= needs the spectra that they were trained"),
        (("data=demo", "versions=[]"), "ConfigError: versions=[]: give one version or more"),
        (("data=demo", "versions=3"), "ConfigError: versions=3: give one version or more"),
        (("data=demo", "versions=v0.1"), "ConfigError: v0.1 was not trained with data.cross_fold"),
        (("data=demo", "versions=v0.1", "data.cross_fold=0"), "ConfigError: data.cross_fold goes"),
        *(
            (("data=demo", "versions=[v0.1]", word), f"ConfigError: {word.split('=')[0]} goes with")
            for word in (
                "version=v0.1",
                "output=a.html",
                "record=true",
                "confidence=true",
                "card=true",
            )
        ),
        (("data.queries=README.md", "seed=-1"), "ConfigError: seed=-1 should be"),
        (("data.queries=README.md", "output=none/a.html"), "ConfigError: output=none/a.html"),
        (("data.queries=a.html", "output=a.html"), "ConfigError: output=a.html is also read from"),
    ],
)
def test_wrong_call_is_told_in_one_line(words, said):
    done = evaluate(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.train=none.csv", "DataFileNotFoundError: none.csv"),
        ("data.train=README.md", "DataError: README.md: no column smiles"),
        ("data.pool=none.parquet", "DataFileNotFoundError: none.parquet"),
        ("data.pool=README.md", "DataError: README.md: no list of structures"),
    ],
)
def test_wrong_structures_are_told_in_one_line_before_anything_is_scored(
    table, structures, word, said
):
    words = [w for w in structures if not w.startswith(word.split("=")[0])]
    done = evaluate(f"data.queries={table}", word, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_query_whose_truth_is_missing_is_named(table, tmp_path):
    rows = pl.read_parquet(table).with_columns(pl.lit("AAAAAAAAAAAAAA").alias("inchikey14"))
    path = tmp_path / "broken.parquet"
    rows.write_parquet(path)
    done = evaluate(f"data.queries={path}")
    assert done.returncode == 2
    assert f"{path}, row 1" in done.stderr


def test_card_puts_the_figures_into_the_model_card_once(table, tmp_path):
    root = shutil.copytree(SHIPPED, tmp_path / "checkpoints")
    words = (f"checkpoints_root={root}", "version=v0.1", f"data.queries={table}", "card=true")
    cards = []
    for _ in range(2):
        done = evaluate(*words)  # verifies the version first
        assert done.returncode == 0, done.stderr
        cards.append((root / "v0.1" / "README.md").read_text())
    assert cards[0] == cards[1]
    assert cards[0].startswith("## Figures on queries.parquet\n")
    assert "`python evaluate.py version=v0.1 data.queries=queries.parquet`" in cards[0]
    value = re.search(r"accuracy +(0\.\d+)", done.stdout)[1]
    assert f"| accuracy | {value}" in cards[0]
    assert str(tmp_path) not in cards[0]


def test_record_replaces_the_figures_in_the_tracker_and_nothing_else(table, tmp_path):
    root = shutil.copytree(SHIPPED, tmp_path / "checkpoints")
    before = json.loads((root / "checkpoint_tracker.json").read_text())
    before["checkpoints"][0]["performance"]["loss"] = 2.5  # measured on other spectra
    (root / "checkpoint_tracker.json").write_text(json.dumps(before))
    words = (f"checkpoints_root={root}", f"data.queries={table}", "record=true", "format=json")
    done = evaluate(*words)
    assert done.returncode == 0, done.stderr
    match = json.loads(done.stdout)["figures"]["match, one decoy of the same mass"]
    figures = {row["name"]: row["value"] for row in match}
    after = json.loads((root / "checkpoint_tracker.json").read_text())
    entry = after["checkpoints"][0]
    assert entry["performance"]["accuracy"] == figures["accuracy"]
    assert entry["performance"]["f1_score"] == figures["F1"]
    rates = ("hit_rate@1", "hit_rate@5", "hit_rate@20", "mrr")
    assert set(entry["performance"]) <= {
        "accuracy", "f1_score", "auroc", "accuracy_references", "auroc_references", "cosine",
        *rates, *(f"same_formula_{rate}" for rate in rates),
    }  # fmt: skip
    assert {"auroc", "cosine", "mrr", "same_formula_hit_rate@1"} <= set(entry["performance"])
    assert entry.pop("measured_on") == "queries.parquet, 6 queries, seed 0"
    entry["performance"] = before["checkpoints"][0]["performance"]
    assert after == before


def test_lists_are_drawn_for_a_file_of_ones_own(tmp_path):
    path = write_demo_table(tmp_path / "mine.parquet")
    words = ("data=file", f"data.path={path}", f"data.cache_dir={tmp_path}", "at_most=3")
    done = evaluate(*words, "format=json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["queries"], report["n_queries"]) == ("mine.parquet", 3)
    hits = {row["name"]: row for row in report["figures"]["rank, all candidates"]}
    assert 0 <= hits["hit@1"]["value"] <= 1


def test_a_report_on_data_without_a_file_names_their_kind(tmp_path):
    words = ("data=demo", f"data.cache_dir={tmp_path}", "at_most=3")
    done = evaluate(*words, f"output={tmp_path / 'report.html'}")
    assert done.returncode == 0, done.stderr
    assert " on demo, 3 queries " in done.stdout
    assert " data=demo" in (tmp_path / "report.html").read_text(encoding="utf-8")
