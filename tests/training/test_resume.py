import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from team5.cli.run import compose_config
from team5.errors import ConfigError
from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields
from team5.training.lineage import plain_settings
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


def trained_with(root: Path, **settings):
    """Return a version whose training config says this."""
    version = export_version(
        root,
        config={"training_config": {**settings, "allow": ["os.system"]}},
        weights={"weight": torch.zeros(1)},
        entry=TrackerEntryFields(description="A run", accuracy=0.5, f1_score=0.5),
    )
    return read_version(root, version)


def resumed(parent, *words: str):
    return resumed_config(compose_config("train", ["resume=v0.1", "output_dir=.", *words]), parent)


@pytest.mark.parametrize("place", ["data", "model", "encoder", "optimizer"])
def test_what_a_version_names_is_not_imported_because_it_says_so(root, place):
    section = {"_target_": "os.system", "command": "true"}
    parent = trained_with(root, **(
        {place: section} if place in ("data", "model") else {"model": {place: section}}
    ))  # fmt: skip
    with pytest.raises(ConfigError, match=r"with os\.system.*nothing of it.*allow=\[os\.system\]"):
        resumed(parent)


def test_what_the_user_allows_or_configs_name_is_resumed_with(root):
    module = "my_lab.module.Module"
    parent = trained_with(root, model={"_target_": module, "hidden_share": 0.2})
    cfg = resumed(parent, f"allow=[{module}]")
    assert (cfg.allow, cfg.model) == ([module], {"_target_": module, "hidden_share": 0.2})
    strategy = {
        "_target_": "lightning.pytorch.strategies.DDPStrategy",
        "timeout": {"_target_": "datetime.timedelta", "minutes": 5},
    }
    parent = trained_with(root, trainer={"_target_": "lightning.Trainer", "strategy": strategy})
    assert resumed(parent).trainer.strategy == strategy


def test_what_watches_and_records_a_run_is_the_users_own(root, caplog):
    callbacks = {
        "mine": {"_target_": "os.getcwd"},
        "export": {"root": "/elsewhere", "monitor": "val/mrr", "mode": "max",
                   "set_as_latest": "always", "description": "mine", "save_optimizer": False},
        "early_stopping": {"_target_": "os.getcwd", "patience": 9},
    }  # fmt: skip
    logger = {"csv": {"save_dir": "/elsewhere"}, "other": {"_target_": "os.getcwd"}}
    cfg = resumed(trained_with(root, callbacks=callbacks, logger=logger))
    own = compose_config("train", ["output_dir=."])
    # What the run had left out stays out.
    assert set(cfg.callbacks) == {"export", "early_stopping"}
    assert cfg.callbacks.export == {**own.callbacks.export, "monitor": "val/mrr", "mode": "max"}
    assert cfg.callbacks.early_stopping == {**own.callbacks.early_stopping, "patience": 9}
    assert cfg.logger == own.logger
    assert "Not taken from v0.1: callbacks.mine, logger.other." in caplog.text


def test_a_version_may_hold_itself_back_from_latest(root):
    parent = trained_with(root, callbacks={"export": {"set_as_latest": "never"}})
    assert resumed(parent).callbacks.export.set_as_latest == "never"


def test_files_are_asked_for_and_not_chosen_by_a_version(root):
    data = {"kind": "file", "path": "/etc/passwd", "folds": "folds.csv"}
    parent = trained_with(root, data=data, callbacks={"export": {"gate_queries": "queries"}})
    with pytest.raises(ConfigError, match=r"data.path='/etc/passwd', data.folds=.*gate_queries="):
        resumed(parent)
    words = ("data.path=a.mgf", "data.folds=b.csv", "callbacks.export.set_as_latest=never")
    cfg = resumed(parent, *words)
    assert (cfg.data.kind, cfg.data.path, cfg.data.folds) == ("file", "a.mgf", "b.csv")
    assert cfg.callbacks.export.gate_queries is None


def test_what_team5_wrote_unresolved_is_read_as_it_was_meant(root):
    trainer = {"default_root_dir": "${output_dir}", "max_epochs": 3}
    parent = trained_with(root, seed=7, data={"seed": "${seed}"}, trainer=trainer,
                          logger={"csv": {"save_dir": "${output_dir}"}})  # fmt: skip
    cfg = resumed(parent)
    assert (cfg.seed, cfg.data.seed, cfg.trainer.default_root_dir) == (7, 7, ".")


def test_what_is_typed_stays(root, monkeypatch):
    data = {"seed": 7, "batch_size": "${oc.env:HOME}", "max_spectra": 3}
    parent = trained_with(root, seed=7, data=data)
    words = ["seed=8", "data.batch_size=5"]
    hydra = SimpleNamespace(overrides=SimpleNamespace(task=words))
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra)
    cfg = resumed(parent, *words)
    assert (cfg.seed, cfg.data.seed, cfg.data.batch_size, cfg.data.max_spectra) == (8, 8, 5, 3)


def test_settings_are_kept_as_plain_values_without_secrets_or_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("BATCH", "7")
    words = [f"output_dir={tmp_path}", "seed=3", "data.max_spectra=${data.val_max_spectra}"]
    cfg = compose_config("train", words)
    OmegaConf.set_struct(cfg, False)
    cfg.description = "${oc.env:SECRET}"
    cfg.data.batch_size = "${oc.decode:${oc.env:BATCH}}"
    cfg.data.note = "${description}"
    plain = plain_settings(cfg)
    assert "hunter2" not in (text := json.dumps(plain))
    assert "${" not in text
    assert str(tmp_path) not in text
    data = plain["data"]
    assert (data["seed"], data["max_spectra"], data["batch_size"]) == (3, 4, 7)
    assert (data["note"], plain["description"]) == (None, None)
