"""train.py on the built-in demo set, in a registry of its own."""

import json
import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from team5.cli.evaluate import main as evaluate_main
from team5.data.demo import demo_table, write_demo_table
from team5.registry.export import export_version, read_optimizer, read_version
from team5.registry.tracker import Tracker
from team5.registry.tracker_format import TrackerEntryFields
from tests.inference.queries import write_queries

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = ("experiment=debug", "~callbacks.progress")
QUICK = (*FAST, "report_spectra=0")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def train(cache, tmp_path_factory):
    """Run train.py in this process, as Python runs a file, and return its exit code."""

    def run(root: Path, *words: str) -> int:
        root_logger = logging.getLogger()
        before = root_logger.handlers[:], root_logger.level
        argv, folder = sys.argv, Path.cwd()
        sys.argv = ["train.py", f"checkpoints_root={root}", f"data.cache_dir={cache}", *words]
        os.chdir(tmp_path_factory.mktemp("run"))
        try:
            runpy.run_path(str(REPOSITORY / "train.py"), run_name="__main__")
        except SystemExit as exited:
            return exited.code
        finally:
            sys.argv = argv
            os.chdir(folder)
            GlobalHydra.instance().clear()
            for handler in set(root_logger.handlers) - set(before[0]):
                handler.close()
            root_logger.handlers, root_logger.level = before
        raise AssertionError("train.py ended without an exit code")

    return run


@pytest.fixture(scope="module")
def whole_run(train, tmp_path_factory) -> Path:
    """A registry with a version of each epoch of one run."""
    root = tmp_path_factory.mktemp("whole") / "checkpoints"
    words = (*QUICK, "trainer.max_epochs=3", "callbacks.export.every_best=true",
             "model.optimizer.lr=0.003")  # fmt: skip
    assert train(root, *words) == 0
    assert [str(v) for v in Tracker(root).read().versions] == ["v0.1", "v0.2", "v0.3"]
    return root


@pytest.fixture
def registry(whole_run, tmp_path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "checkpoints"))


def last_line(capfd) -> str:
    return capfd.readouterr().err.strip().splitlines()[-1]


def assert_same_weights(one, other) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, tensor in one.weights.items():
        assert torch.equal(tensor, other.weights[name]), name


def test_a_real_process_trains_exports_and_says_what_it_learned_from(tmp_path, cache):
    root = tmp_path / "checkpoints"
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), "experiment=debug",
         f"checkpoints_root={root}", f"data.cache_dir={cache}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "computed from bond-strength rules with noise, not measured" in done.stderr
    assert "Exported v0.1" in done.stderr

    stored = read_version(root, "v0.1")
    config = json.loads((stored.folder / "config.json").read_text())
    assert config["training"]["epoch"] == 1
    assert config["data"]["computed"] is True
    # No path of this machine.
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', (stored.folder / "config.json").read_text())
    assert [text for text in texts if text.startswith(("/", "~")) or str(tmp_path) in text] == []
    assert "It was trained on computed spectra, not measured ones" in (
        stored.folder / "README.md"
    ).read_text().replace("\n", " ")

    data = Tracker(root).read()
    (entry,) = data.entries
    assert "computed spectra" in entry.description
    assert {"accuracy", "f1_score", "auroc", "mrr", "hit_rate@1"} <= set(entry.performance)
    assert data.latest is None

    (run_folder,) = (tmp_path / "outputs").glob("*/*")
    assert (run_folder / ".hydra/config.yaml").is_file()
    assert (run_folder / "train.log").is_file()
    rows = (run_folder / "metrics/metrics.csv").read_text().splitlines()
    assert {"train/loss", "val/accuracy", "val/loss"} <= set(rows[0].split(","))

    # Where to look next: all of it is there.
    said = done.stderr
    assert f"Run folder: {run_folder.relative_to(tmp_path)} " in said
    assert f"Report: {(run_folder / 'report.html').relative_to(tmp_path)}" in said
    assert f'Try it: python predict.py version=v0.1 checkpoints_root={root} smiles="CCO"' in said
    assert "cannot become latest, because it was trained on computed spectra" in said
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert len(page) < 2_000_000
    for fact in (
        f"v0.1 ({stored.version_hash})", "python train.py experiment=debug",
        "90 spectra of 24 compounds", "<h2>Curves</h2>", "<h3>rank, all candidates</h3>",
        "exchanged", "<h3>Right 1", "<summary>Settings</summary>", "report_spectra: 12",
        "figures are optimistic", "computed, ",
    ):  # fmt: skip
        assert fact in page, fact


def test_without_matplotlib_a_run_says_in_a_line_what_its_report_needs(
    train, tmp_path, monkeypatch, capfd
):
    import team5.training.train  # noqa: F401 - torchmetrics asks pip whether matplotlib is there

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("team5.viz")]:
        monkeypatch.delitem(sys.modules, name)
    assert train(tmp_path / "root", *FAST, "trainer.max_epochs=1", "report_spectra=4") == 0
    said = capfd.readouterr().err
    assert "No report.html: drawing needs the extra viz: pip install" in said
    assert "Report:" not in said
    assert read_version(tmp_path / "root", "v0.1").version == "v0.1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.parametrize(
    ("number", "until", "said"),
    [
        (signal.SIGINT, "exported v0.1", "resume with: python train.py resume=v0.1"),
        (signal.SIGINT, "Pretraining, epoch 2", "first export: no version was exported."),
        (signal.SIGTERM, "Pretraining, epoch 2", "first export: no version was exported."),
    ],
)
def test_a_run_that_is_stopped_says_what_it_leaves_and_ends(tmp_path, cache, number, until, said):
    pretraining = ["pretraining={structures: 40, epochs: 1000}"] if "epoch" in until else []
    words = (*FAST, *pretraining, "trainer.max_epochs=500", "data.train_compounds=150",
             f"checkpoints_root={tmp_path / 'root'}", f"data.cache_dir={cache}")  # fmt: skip
    with subprocess.Popen(
        [sys.executable, str(REPOSITORY / "train.py"), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background ignores it, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        for line in process.stderr:
            if until in line:
                break
        process.send_signal(number)
        last = process.stderr.read()
    assert process.returncode == 128 + number
    assert said in last
    assert "Traceback" not in last
    assert not list(tmp_path.glob("outputs/*/*/report.html"))


def test_a_wrong_number_of_spectra_for_the_report_is_told_before_training(train, tmp_path, capfd):
    assert train(tmp_path / "root", *FAST, "report_spectra=some") == 2
    assert last_line(capfd).startswith("ConfigError: report_spectra=some: give the number")


def test_the_same_seed_gives_the_same_weights_bit_for_bit(train, whole_run, tmp_path):
    words = (*QUICK, "trainer.max_epochs=3", "model.optimizer.lr=0.003")
    assert train(tmp_path / "again", *words) == 0
    assert_same_weights(read_version(tmp_path / "again", "v0.1"), read_version(whole_run, "v0.3"))
    assert train(tmp_path / "other", *QUICK, "trainer.max_epochs=1", "seed=2") == 0
    one, other = read_version(tmp_path / "other", "v0.1"), read_version(whole_run, "v0.1")
    assert not torch.equal(
        one.weights["fragment_head.none.weight"], other.weights["fragment_head.none.weight"]
    )


def test_a_resumed_run_ends_where_an_unbroken_one_does(train, registry, whole_run):
    assert read_optimizer(registry, "v0.1")["epoch"] == 0
    # What came after the version that is resumed is not there yet.
    root = registry.parent / "broken"
    shutil.copytree(registry / "v0.1", root / "v0.1")
    tracker = json.loads((whole_run / "checkpoint_tracker.json").read_text())
    tracker["checkpoints"] = tracker["checkpoints"][:1]
    (root / "checkpoint_tracker.json").write_text(json.dumps(tracker))

    assert train(root, "resume=v0.1", "callbacks.export.every_best=false") == 0
    (version,) = Tracker(root).read().versions
    assert str(version) == "v0.1"
    resumed, unbroken = read_version(root, "v0.1"), read_version(whole_run, "v0.3")
    assert resumed.config["training"]["epoch"] == 2
    assert resumed.config["training"]["global_step"] == unbroken.config["training"]["global_step"]
    assert_same_weights(resumed, unbroken)
    assert read_optimizer(root, "v0.1")["global_step"] == 6
    assert Tracker(root).read().entry("v0.1").description.startswith("Resumed v0.1")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_a_run_that_sigterm_stopped_within_an_epoch_ends_as_an_unbroken_one(train, tmp_path, cache):
    words = ("experiment=debug", "trainer.max_epochs=3", "model.optimizer.lr=0.003",
             "data.train_compounds=150")  # fmt: skip
    root = tmp_path / "checkpoints"
    with subprocess.Popen(
        [
            sys.executable,
            str(REPOSITORY / "train.py"),
            f"checkpoints_root={root}",
            f"data.cache_dir={cache}",
            *words,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "exported v0.1" in line:
                break
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 143
    assert "resume with: python train.py resume=v0.1" in said
    assert read_optimizer(root, "v0.1")["epoch"] < 2

    assert train(root, "resume=v0.1") == 0
    assert train(tmp_path / "unbroken", *words, "~callbacks.progress") == 0
    resumed, unbroken = (read_version(r, "v0.1") for r in (root, tmp_path / "unbroken"))
    assert_same_weights(resumed, unbroken)
    scores = [version.config["training"]["score"] for version in (resumed, unbroken)]
    assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("step", ["write_flushed", "flush_folder", "put_in_place"])
def test_a_training_killed_while_it_exports_leaves_whole_versions(train, tmp_path, cache, step):
    root = tmp_path / "checkpoints"
    words = ["train.py", *QUICK, f"checkpoints_root={root}", f"data.cache_dir={cache}"]
    killed = (
        "import os, runpy, signal, sys; from team5.registry import staging\n"
        f"staging.{step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.argv = {words!r}\n"
        f"runpy.run_path({str(REPOSITORY / 'train.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", killed],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Tracker(root).read().versions == ()
    assert list(root.glob(".staging-*"))
    assert train(root, *QUICK) == 0
    assert not list(root.glob(".staging-*"))
    whole = Tracker(root).read().versions
    assert len(whole) == (2 if step == "put_in_place" else 1)  # its folder was in place already
    for version in whole:
        read_version(root, str(version))


def test_more_epochs_go_on_with_the_version_that_is_resumed(train, registry):
    before = read_version(registry, "v0.3")
    # Early stopping at the end of the epoch, as Lightning does it, finds no validation in
    # the epoch that a resumed run begins at the end of.
    assert train(registry, "resume=v0.3", "trainer.max_epochs=4",
                 "callbacks.export.every_best=false",
                 "callbacks.early_stopping.check_on_train_epoch_end=true") == 0  # fmt: skip
    after = read_version(registry, "v0.3")
    assert [str(v) for v in Tracker(registry).read().versions] == ["v0.1", "v0.2", "v0.3"]
    assert after.config["training"]["epoch"] == 3
    assert after.config["training"]["score"] < before.config["training"]["score"]
    assert after.config["model"] == before.config["model"]
    # The run's own settings were kept.
    assert after.config["training_config"]["model"]["optimizer"]["lr"] == 0.003
    assert after.config["parent_version"] == "v0.3"


def test_a_run_that_has_no_epoch_left_says_so(train, registry, capfd):
    assert train(registry, "resume=v0.3") == 2
    assert last_line(capfd) == (
        "ConfigError: v0.3 has been trained for 3 epochs, and trainer.max_epochs is 3. "
        "Give more, trainer.max_epochs=6."
    )


NO_EFFECT = (
    "pretraining= has no effect: the weights of v0.1 are taken. Leave it out, or train from "
    "scratch: from_version=null."
)
IN_PART = (
    "pretraining.structures cannot be set alone, as pretraining is null. Give it whole: "
    "'pretraining={structures: 9, epochs: 4}'."
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["from_version=v0.1", "pretraining={structures: 9}"], NO_EFFECT),
        (["resume=v0.1", "pretraining={structures: 9}"], NO_EFFECT),
        (["pretraining.structures=9", "pretraining.epochs=4"], IN_PART),
        (["pretraining.structurs=9"], "no setting 'pretraining.structurs'; closest: pretraining."),
    ],
)
def test_pretraining_without_effect_or_in_part_is_refused(train, registry, capfd, words, said):
    assert train(registry, *words) == 2
    assert last_line(capfd).startswith(f"ConfigError: {said}")


def test_from_version_takes_sizes_and_weights_and_leaves_latest(train, registry):
    Tracker(registry).set_latest("v0.2")
    assert train(registry, "experiment=finetune", "~callbacks.progress", "trainer.max_epochs=1",
                 "data.train_compounds=12", "data.val_max_spectra=1",
                 "data.n_candidates=2") == 0  # fmt: skip
    new, parent = read_version(registry, "v0.4"), read_version(registry, "v0.2")
    assert new.config["model"] == parent.config["model"]
    assert new.config["tokenizer"] == parent.config["tokenizer"]
    assert (new.config["parent_version"], new.config["parent_hash"]) == (
        "v0.2", parent.version_hash,
    )  # fmt: skip
    # One short epoch: near where it started, but not there.
    name = "fragment_head.none.weight"
    step = (new.weights[name] - parent.weights[name]).abs().max()
    assert 0 < step < 0.01
    data = Tracker(registry).read()
    assert data.latest == "v0.2"
    assert data.entry("v0.4").description.startswith("Fine-tuned v0.2 on ")
    assert "computed spectra" in data.entry("v0.4").description


@pytest.fixture
def without_optimizer(registry) -> Path:
    (registry / "v0.2/optimizer.bin").unlink()
    return registry


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("resume=v0.9",), 2, 'VersionNotFoundError: no version "v0.9" in '),
        (("from_version=v0.9",), 2, 'VersionNotFoundError: no version "v0.9" in '),
        (
            ("experiment=finetune", "from_version=v7.1"),
            2,
            'VersionNotFoundError: no version "v7.1"',
        ),
        (("resume=newest",), 2, "VersionError: "),
        (("from_version=../v0.1",), 2, "VersionError: "),
        (("resume=v0.2",), 1, "CheckpointFileNotFoundError: "),
        (("resume=v0.1", "experiment=debug"), 2, "ConfigError: experiment= and resume= exclude"),
        (("resume=v0.1", "from_version=v0.2"), 2, "ConfigError: from_version= and resume= exclude"),
        (("data=file",), 2, "ConfigError: data=file needs data.path=FILE"),
        (("data=file", "data.path=nowhere.mgf"), 2, "DataFileNotFoundError: nowhere.mgf"),
        (("data.path=a.mgf",), 2, "ConfigError: data.path='a.mgf' needs data=file"),
        (("trainer.max_epoch=3",), 2, "ConfigError: "),
        (("model.network.d_model=wide",), 2, "ConfigError: "),
    ],
)
def test_a_wrong_call_gets_one_line_and_its_exit_code(
    train, without_optimizer, capfd, words, code, said
):
    versions = Tracker(without_optimizer).read().versions
    assert train(without_optimizer, *words) == code
    error = capfd.readouterr().err.strip().splitlines()
    assert error[-1].startswith(said)
    assert not any("Traceback" in line for line in error)
    assert Tracker(without_optimizer).read().versions == versions


def test_a_version_that_was_not_trained_here_cannot_be_resumed(train, tmp_path, whole_run, capfd):
    stored = read_version(whole_run, "v0.1")
    config = {key: value for key, value in stored.config.items() if key != "training_config"}
    root = tmp_path / "checkpoints"
    export_version(
        root, config=config, weights=stored.weights, optimizer={"epoch": 1},
        entry=TrackerEntryFields(description="from elsewhere", accuracy=0.5, f1_score=0.5),
    )  # fmt: skip
    assert train(root, "resume=v0.1") == 1
    assert "holds no training config" in (line := last_line(capfd))
    assert line.endswith("Start from its weights: from_version=v0.1.")


@pytest.fixture(scope="module")
def own_spectra(tmp_path_factory) -> Path:
    """A file as users have; the demo set itself never becomes latest."""
    return write_demo_table(tmp_path_factory.mktemp("own") / "spectra.parquet")


def test_a_run_that_ends_worse_than_latest_on_frozen_queries_leaves_it(
    train, tmp_path, own_spectra, capfd, monkeypatch
):
    root = Path(shutil.copytree(REPOSITORY / "checkpoints", tmp_path / "checkpoints"))
    latest = Tracker(root).latest()
    assert latest is not None, "checkpoints/ ships a latest version"
    shipped = {entry.version for entry in Tracker(root).read().entries}
    queries = write_queries(tmp_path / "frozen (1).parquet")
    words = (*QUICK, "data=file", f"data.path={own_spectra}", "trainer.max_epochs=1",
             f"callbacks.export.gate_queries={queries}")  # fmt: skip
    assert train(root, *words) == 0
    said = capfd.readouterr().err
    (trained,) = {entry.version for entry in Tracker(root).read().entries} - shipped
    worse = f"{trained} is worse than {latest}, the present latest, on frozen (1).parquet"
    assert f"stays {latest}: {worse}" in said
    assert '--force "REASON"' in said
    assert Tracker(root).latest() == latest
    # The file's name is kept, not where this machine has it; a run that goes on asks for it, and
    # would not read one that a version names.
    kept = read_version(root, trained).config["training_config"]["callbacks"]["export"]
    assert kept["gate_queries"] == "frozen (1).parquet"
    more = (f"resume={trained}", f"data.path={own_spectra}", "trainer.max_epochs=2")
    assert train(root, *more) == 2
    assert last_line(capfd).endswith(
        "was trained with callbacks.export.gate_queries='frozen (1).parquet', and a version does "
        "not choose which files are read. Give callbacks.export.gate_queries=FILE."
    )
    assert train(root, *more, f"callbacks.export.gate_queries={queries}") == 0
    assert Tracker(root).latest() == latest
    assert read_version(root, trained).config["training"]["epoch"] == 1

    monkeypatch.setenv("TEAM5_GATE_QUERIES", "nowhere.parquet")
    assert train(root, *words[:-1]) == 2
    assert last_line(capfd).startswith("DataFileNotFoundError: nowhere.parquet: no such file")
    assert {str(v) for v in Tracker(root).read().versions} == {*shipped, trained}


@pytest.mark.slow
@pytest.mark.parametrize("n_compounds", [60, 120, 240, 370])
def test_a_file_of_any_compounds_is_learned_from_and_measured_before_and_after(
    train, tmp_path, shared_data, capfd, n_compounds
):
    both = [pl.read_parquet(shared_data / f"retrieval_{fold}.parquet") for fold in ("val", "test")]
    some = pl.concat(both).select("inchikey14").unique(maintain_order=True)
    some = some.sample(n_compounds, seed=n_compounds)
    own = tmp_path / "own.parquet"
    columns = ["identifier", "smiles", "adduct", "precursor_mz", "collision_energy",
               "instrument_type", "mzs", "intensities"]  # fmt: skip
    pl.concat(both).join(some, on="inchikey14").select(columns).write_parquet(own)
    root = Path(shutil.copytree(REPOSITORY / "checkpoints", tmp_path / "checkpoints"))
    assert train(root, "experiment=finetune", "data=file", f"data.path={own}",
                 "~callbacks.progress", "trainer.max_epochs=1", "report_spectra=4",
                 f"hydra.run.dir={tmp_path}/run") == 0  # fmt: skip
    tracker = Tracker(root).read()
    entry = tracker.entry(max(tracker.versions))
    figures = entry.extra["compared"]["figures"]
    assert {"hit_rate@1", "accuracy"} <= figures.keys()
    assert "hit_rate@1" in capfd.readouterr().err
    assert "<h2>Before and after</h2>" in (tmp_path / "run/report.html").read_text()
    if n_compounds < 170:  # of which 15 % give fewer than 50 pairs
        assert Tracker(root).latest() == "v0.2"


@pytest.mark.slow
def test_parts_held_out_in_turn_are_measured_together_and_compared(train, cache, tmp_path, capsys):
    root = tmp_path / "checkpoints"
    assert train(root, *QUICK, "-m", "data.cross_fold=0,1") == 0
    assert train(root, *QUICK, "from_version=v0.1", "rescore=true", "data.cross_fold=0",
                 "model.optimizer.lr=0", "trainer.max_epochs=1",
                 "model.score.intensity_power=1", "model.score.log_p_floor=-9") == 0  # fmt: skip
    assert Tracker(root).latest() is None
    rule = read_version(root, "v0.3").config["score"]
    assert rule == {"intensity_power": 1.0, "mz_power": 0.0, "log_p_floor": -9.0}
    asked = ["data=demo", "data.seed=1", f"data.cache_dir={cache}", "data.n_candidates=5",
             f"checkpoints_root={root}", "at_most=8", "format=json", "device=cpu"]  # fmt: skip

    def evaluate(*words: str) -> int:
        capsys.readouterr()  # what Hydra says of its jobs
        return evaluate_program([*asked, *words])

    assert evaluate("versions=[v0.1,v0.2]") == 0
    report = json.loads(capsys.readouterr().out)
    figures = {row["name"]: row for row in report["figures"]["rank, all candidates"]}
    assert figures["hit@1"]["n_structures"] > 8  # of both parts
    assert report["figures"]["rank, edits of the true structure that keep its formula"]
    assert evaluate("versions=[v0.3]", "baseline=[v0.1]") == 0
    compared = json.loads(capsys.readouterr().out)["against_baseline"]
    assert {"same formula, hit@1", "edits, MRR", "cosine", "accuracy"} <= compared.keys()
    assert compared["cosine"]["before"] == pytest.approx(compared["cosine"]["after"], abs=1e-4)
    assert evaluate("versions=[v0.2]", "baseline=[v0.1]") == 2
    assert "hold out parts [1] and baseline= [0]" in capsys.readouterr().err
    assert evaluate("versions=[v0.1]", "baseline=[v0.1]") == 2
    assert "names v0.1 as well" in capsys.readouterr().err
    assert train(root, *QUICK, "from_version=v0.2", "data.cross_fold=0") == 2
    assert "v0.2 has learned from compounds of part 0" in capsys.readouterr().err
    folds = tmp_path / "folds.csv"
    table = pl.from_arrow(demo_table(seed=1)).select("inchikey14", "fold").unique()
    table.with_columns(pl.col("fold").cast(pl.String).replace("test", "train")).write_csv(folds)
    assert evaluate("versions=[v0.1]", f"data.folds={folds}") == 2
    assert "learned from other spectra or folds" in capsys.readouterr().err
    assert train(root, *QUICK, f"data.folds={folds}", "data.cross_fold=0") == 0
    assert evaluate("versions=[v0.1]", "baseline=[v0.4]") == 2
    assert "v0.4 learned from other spectra or folds than v0.1" in capsys.readouterr().err


def evaluate_program(words: list[str]) -> int:
    argv = sys.argv
    sys.argv = ["evaluate.py", *words]
    try:
        return evaluate_main()
    finally:
        sys.argv = argv
