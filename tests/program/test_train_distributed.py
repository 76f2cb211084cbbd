"""train.py in several processes, as jobs of SLURM and in sweeps; killed, and going on."""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from team5.errors import MissingExtraError
from team5.registry.export import read_version
from team5.registry.tracker import Tracker
from tests.program.stand_in_slurm import install

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = [sys.executable, str(REPOSITORY / "train.py")]
FAST = ("experiment=debug", "~callbacks.progress", "trainer.precision=32-true")
QUICK = (*FAST, "report_spectra=0")
# Some steps to an epoch, so that a signal comes within one.
LONGER = (*QUICK, "trainer.max_epochs=3", "model.optimizer.lr=0.003", "data.train_compounds=150")
TWO = ("trainer=ddp", "trainer.accelerator=cpu")
PATIENCE_S = 300  # of a test, for what would otherwise hang

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def start(cache):
    """Start train.py in a folder, its registry and what it says within; return the process."""

    def start_train(folder: Path, *words: str, **environment: str) -> subprocess.Popen:
        folder.mkdir(exist_ok=True)
        places = (f"checkpoints_root={folder / 'checkpoints'}", f"data.cache_dir={cache}")
        with (folder / "said").open("a") as said:
            return subprocess.Popen(
                [*TRAIN, *words, *places],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
                | environment,
                stdout=said,
                stderr=said,
            )

    return start_train


@pytest.fixture(scope="module")
def run(start):
    """Run train.py to its good end and return its folder."""

    def run_train(folder: Path, *words: str) -> Path:
        assert start(folder, *words).wait(PATIENCE_S) == 0, (folder / "said").read_text()
        return folder

    return run_train


@pytest.fixture(scope="module")
def one_and_two(start, tmp_path_factory) -> tuple[Path, Path]:
    """One process that validates untrained weights, and two that do."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    untrained = (*FAST, "model.optimizer.lr=0", "trainer.max_epochs=1")
    runs = [start(folders[0], *untrained), start(folders[1], *untrained, *TWO)]
    for process, folder in zip(runs, folders, strict=True):
        assert process.wait(PATIENCE_S) == 0, (folder / "said").read_text()
    return folders


@pytest.fixture(scope="module")
def unbroken(run, tmp_path_factory):
    """Folders of runs that nothing interrupts, by the words they were started with."""
    folders: dict[tuple[str, ...], Path] = {}

    def find(*words: str) -> Path:
        if words not in folders:
            folders[words] = run(tmp_path_factory.mktemp("unbroken"), *LONGER, *words)
        return folders[words]

    return find


def entry(folder: Path):
    """Return the one entry of a folder's tracker."""
    (found,) = Tracker(folder / "checkpoints").read().entries
    return found


def assert_ended_alike(one: Path, other: Path, rtol: float = 0.0) -> None:
    assert entry(one).version == entry(other).version == "v0.1"
    assert entry(one).performance == pytest.approx(entry(other).performance, rel=rtol, abs=0)
    first, second = (read_version(f / "checkpoints", "v0.1") for f in (one, other))
    for key in ("epoch", "global_step", "score"):
        own, others = (each.config["training"][key] for each in (first, second))
        assert own == pytest.approx(others, rel=rtol, abs=0)
    torch.testing.assert_close(first.weights, second.weights, rtol=rtol, atol=rtol)


def wait_for_line(file: Path, text: str) -> None:
    """Read a file, which may not be there yet, until something is said in it."""
    with subprocess.Popen(
        ["timeout", str(PATIENCE_S), "tail", "-n", "+1", "-F", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as tail:
        found = any(text in line for line in tail.stdout)
        tail.terminate()
    assert found, file.read_text() if file.exists() else f"{file} was never written"


def files(folder: Path, names: str) -> Sequence[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(names))


def test_two_processes_validate_to_the_figures_of_one(one_and_two):
    one, two = one_and_two
    assert entry(one).performance == entry(two).performance
    calibrations = [
        read_version(folder / "checkpoints", "v0.1").config["calibration"] for folder in (one, two)
    ]
    assert calibrations[0] == calibrations[1]


def test_two_processes_write_one_report(one_and_two):
    _, two = one_and_two
    (report,) = (two / "outputs").glob("*/*/report.html")
    assert "<h3>Right 1" in report.read_text(encoding="utf-8")
    assert (two / "said").read_text().count("Report: ") == 1


def test_two_processes_write_one_version_one_folder_and_one_log(one_and_two):
    _, two = one_and_two
    (run_folder,) = (two / "outputs").glob("*/*")
    assert files(two, "*.log") == [str((run_folder / "train.log").relative_to(two))]
    assert files(two, ".hydra") == [str((run_folder / ".hydra").relative_to(two))]
    assert files(two, "metrics.csv") == [str((run_folder / "metrics/metrics.csv").relative_to(two))]
    assert (run_folder / "train.log").read_text().count("Exported v0.1") == 1
    assert (two / "said").read_text().count("compounds to train on") == 1
    assert files(two / "checkpoints", "*.safetensors") == ["v0.1/model.safetensors"]
    # No half-written version of the other process.
    assert [p.name for p in (two / "checkpoints").iterdir() if p.is_dir()] == ["v0.1"]


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_end(processes: Sequence[int]) -> None:
    """Wait for processes that were opened; they need not be children of this one."""
    for process in processes:
        ended, _, _ = select.select([process], [], [], PATIENCE_S)
        os.close(process)
        assert ended, "a process waits for another that has gone"


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "ends", "number", "codes"),
    [
        ((), "first", signal.SIGKILL, {-signal.SIGKILL}),
        (TWO, "first", signal.SIGKILL, {-signal.SIGKILL}),
        # Lightning ends the first process in turn, unless it has noticed before and said so.
        (TWO, "other", signal.SIGKILL, {1, -signal.SIGKILL}),
        (TWO, "first", signal.SIGTERM, {143}),
        (TWO, "first", signal.SIGUSR1, {138}),
    ],
    ids=["one_killed", "first_killed", "other_killed", "terminated", "asked_to_make_room"],
)
def test_a_run_that_ended_within_an_epoch_goes_on_to_the_same_end(
    start, run, unbroken, tmp_path, words, ends, number, codes
):
    folder = tmp_path / "broken"
    process = start(folder, *LONGER, *words)
    wait_for_line(folder / "said", "exported v0.1")
    others = children(process.pid)
    assert len(others) == len(words) // 2
    watched = [os.pidfd_open(pid) for pid in others]
    os.kill(process.pid if ends == "first" else others[0], number)
    assert process.wait(PATIENCE_S) in codes
    wait_for_end(watched)
    said = (folder / "said").read_text()
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert "resume with: python train.py resume=v0.1" in said
    elif words and ends == "first":
        assert "ProcessError: process 1 of 2 (counted from 0) lost another one" in said
    elif words:
        assert "lost another one" in said or "terminated with code -9" in said
    assert read_version(folder / "checkpoints", "v0.1").config["training"]["epoch"] < 2

    run(folder, "resume=v0.1")
    assert_ended_alike(folder, unbroken(*words))


@pytest.mark.slow
def test_jobs_of_a_multirun_each_have_their_processes_folder_and_version(run, tmp_path):
    run(tmp_path / "jobs", *QUICK, *TWO, "trainer.max_epochs=1", "-m", "seed=1,2")
    (sweep,) = (tmp_path / "jobs/outputs").glob("*/*")
    assert files(sweep, "*.log") == ["0/train.log", "1/train.log"]
    assert files(sweep, "metrics.csv") == ["0/metrics/metrics.csv", "1/metrics/metrics.csv"]
    data = Tracker(tmp_path / "jobs/checkpoints").read()
    assert [str(version) for version in data.versions] == ["v0.1", "v0.2"]


@pytest.mark.slow
def test_a_sweep_keeps_each_trial_and_finds_the_best(run, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra sweep")
    run(tmp_path / "sweep", *QUICK, "sweeper=optuna", "hydra.sweeper.n_trials=2")
    (sweep,) = (tmp_path / "sweep/outputs").glob("*/*")
    assert files(sweep, "train.log") == ["0/train.log", "1/train.log"]
    registry = tmp_path / "sweep/checkpoints"
    data = Tracker(registry).read()
    assert [str(version) for version in data.versions] == ["v0.1", "v0.2"]
    assert data.latest is None
    scores = [read_version(registry, v).config["training"]["score"] for v in ("v0.1", "v0.2")]
    found = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    assert found["best_value"] == min(scores)
    rates = [
        read_version(registry, v).config["training_config"]["model"]["optimizer"]["lr"]
        for v in ("v0.1", "v0.2")
    ]
    assert found["best_params"]["model.optimizer.lr"] == rates[scores.index(min(scores))]


@pytest.mark.parametrize(
    ("word", "extra"), [("launcher=slurm", "slurm"), ("sweeper=optuna", "sweep")]
)
def test_what_needs_an_extra_names_it(tmp_path, word, extra):
    without_plugins = (
        "import runpy, sys; sys.modules['hydra_plugins'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", without_plugins, TRAIN[1], word, f"hydra.run.dir={tmp_path}/run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"MissingExtraError: {MissingExtraError.of(word, extra)}\n"


@pytest.fixture(params=["stand-in", "slurm"])
def cluster(request, tmp_path, monkeypatch) -> str:
    """Something that takes jobs: a few lines that do as SLURM does, or SLURM, where there is."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")
    if request.param == "stand-in":
        monkeypatch.setenv("PATH", f"{install(tmp_path / 'bin')}:{os.environ['PATH']}")
    elif shutil.which("sinfo") is None:
        pytest.skip("this machine has no SLURM; the stand-in is tested")
    elif not subprocess.run(["sinfo", "-h"], capture_output=True, check=False).stdout:
        pytest.skip("SLURM does not answer here; the stand-in is tested")
    return request.param


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize("notice", ["USR2", "USR1"])
def test_a_job_that_was_put_back_goes_on_with_its_version_in_its_folder(
    start, unbroken, tmp_path, cluster, notice
):
    folder, sweep = tmp_path / "job", tmp_path / "job/outputs/job"
    slurm = ("launcher=slurm", f"hydra.sweep.dir={sweep}", "hydra.launcher.cpus_per_task=1")
    process = start(folder, *LONGER, *TWO, *slurm)
    wait_for_line(sweep / "0/train.log", "exported v0.1")
    (job,) = (path.name for path in (sweep / ".submitit").iterdir() if path.name.isdigit())
    subprocess.run(["scancel", f"--signal={notice}", job], check=True)
    # SLURM itself lets a job wait for two minutes that was put back.
    assert process.wait(2 * PATIENCE_S) == 0, (folder / "said").read_text()
    log = (sweep / "0/train.log").read_text()
    assert log.count("Restarted: resuming v0.1") == 1
    assert files(sweep, "train.log") == ["0/train.log"]
    assert files(sweep, "config.yaml") == ["0/.hydra/config.yaml"]
    assert_ended_alike(folder, unbroken(*TWO))
