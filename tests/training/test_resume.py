from pathlib import Path

import pytest
import torch

from team5.cli.run import compose_config
from team5.errors import ConfigError
from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields
from team5.training.resume import resumed_config, slurm_run, version_begun


@pytest.fixture
def job(monkeypatch):
    """The environment of a job that was put back into the queue once."""
    for name, value in (("JOB_ID", "12"), ("CLUSTER_NAME", "lab"), ("RESTART_COUNT", "1")):
        monkeypatch.setenv(f"SLURM_{name}", value)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "checkpoints"


def export(root: Path, run: str | None) -> str:
    return export_version(
        root,
        config={} if run is None else {"slurm_run": run},
        weights={"weight": torch.zeros(1)},
        entry=TrackerEntryFields(description="A run", accuracy=0.5, f1_score=0.5),
    )


def test_a_run_is_named_by_cluster_job_and_folder(job):
    assert slurm_run("outputs/2026-12-01/10-00-00/3") == "lab/12/3"


def test_outside_slurm_a_run_has_no_name(monkeypatch, root):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm_run("outputs/3") is None
    export(root, None)
    assert version_begun(root, None) is None


def test_a_job_that_was_started_again_finds_the_last_version_of_its_own(job, root):
    for run in ("lab/12/3", "lab/12/3", "lab/12/4", "lab/13/3", None):
        export(root, run)
    assert version_begun(root, "lab/12/3").version == "v0.2"
    assert version_begun(root, "lab/12/5") is None


def test_what_was_exported_before_does_not_count_at_the_first_start(job, root, monkeypatch):
    export(root, "lab/12/3")
    monkeypatch.delenv("SLURM_RESTART_COUNT")
    assert version_begun(root, "lab/12/3") is None


def test_a_version_that_cannot_be_read_is_named_and_passed_over(job, root, caplog):
    export(root, "lab/12/3")
    broken = root / export(root, None) / "config.json"
    broken.write_text("{")
    assert version_begun(root, "lab/12/3").version == "v0.1"
    assert str(broken) in caplog.text


def test_where_nothing_was_exported_a_job_begins_anew(job, root):
    assert version_begun(root, "lab/12/3") is None


def trained_with(root: Path, target: str):
    """Return a version whose training config names a class, beside those of team5's configs."""
    version = export_version(
        root,
        config={
            "training_config": {
                "trainer": {"_target_": "lightning.Trainer", "plugins": [{"_target_": target}]},
                "allow": [target],
            }
        },
        weights={"weight": torch.zeros(1)},
        entry=TrackerEntryFields(description="A run", accuracy=0.5, f1_score=0.5),
    )
    return read_version(root, version)


def test_what_a_version_names_is_not_imported_because_it_says_so(root):
    parent = trained_with(root, "os.system")
    with pytest.raises(ConfigError, match=r"with os\.system.*nothing of it.*allow=\[os\.system\]"):
        resumed_config(compose_config("train", ["resume=v0.1", "output_dir=."]), parent)


def test_what_the_user_allows_or_configs_name_is_resumed_with(root):
    parent = trained_with(root, "my_lab.plugin.Plugin")
    words = ["resume=v0.1", "output_dir=.", "allow=[my_lab.plugin.Plugin]"]
    assert resumed_config(compose_config("train", words), parent).allow == ["my_lab.plugin.Plugin"]
    known = trained_with(root, "lightning.pytorch.strategies.DDPStrategy")
    resumed_config(compose_config("train", ["resume=v0.2", "output_dir=."]), known)
