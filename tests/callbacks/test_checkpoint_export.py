import json
import math
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from team5 import __version__
from team5.assessment.promotion import read_frozen_queries
from team5.callbacks.checkpoint_export import CheckpointExport
from team5.errors import ConfigError, DataError, DataFileNotFoundError, StorageError
from team5.registry.export import read_optimizer, read_version
from team5.registry.tracker import Tracker
from tests.inference.queries import write_queries
from tests.inference.versions import copy_registry, damaged, export_copy

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class ScriptedModule(LightningModule):
    """A module whose validation score at each epoch is known, and so is its one weight."""

    def __init__(self, scores: Sequence[float], fail_at: BaseException | None = None) -> None:
        super().__init__()
        self.scores = scores
        self.fail_at = fail_at
        self.layer = torch.nn.Linear(1, 1)
        self.metrics = {"val/accuracy": 0.8, "val/f1_score": 0.7, "val/hit_rate@1": 0.5}

    def training_step(self, batch, batch_index):
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_index):
        epoch = 0 if self.trainer.sanity_checking else self.current_epoch
        with torch.no_grad():
            self.layer.weight.fill_(epoch)
        self.log("val/loss", torch.tensor(self.scores[epoch], dtype=torch.float64))
        self.log("train/loss", 1.0)
        for name, value in self.metrics.items():
            self.log(name, value)

    def on_train_epoch_end(self):
        if self.fail_at is not None and self.current_epoch == len(self.scores) - 1:
            raise self.fail_at

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

    def export_weights(self):
        return self.layer.state_dict()

    def export_config(self):
        return {"d_model": 1, "training": {"seed": 3}}

    def optimizer_state(self):
        return {"epoch": self.current_epoch, "optimizer": self.optimizers().state_dict()}

    def export_files(self):
        return {"README.md": f"Epoch {self.current_epoch}"}


@pytest.fixture(autouse=True)
def interrupts_stay_as_they_are():
    """Undo what Lightning does when it is interrupted: it ignores the next one."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def fit(tmp_path, root):
    """Fit a module whose validation scores are given, and return the callback and the trainer."""

    def run(module, *, epochs=None, ckpt_path=None, trainer_arguments=None, **arguments):
        if not isinstance(module, LightningModule):
            module = ScriptedModule(module)
        callback = CheckpointExport(
            **{"root": root, "monitor": "val/loss", "mode": "min", "description": "A run"}
            | arguments
        )
        trainer = Trainer(
            default_root_dir=tmp_path,
            accelerator="cpu",
            max_epochs=epochs or len(module.scores),
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **(trainer_arguments or {}),
        )
        loader = DataLoader(torch.ones(2, 1))
        trainer.fit(module, loader, loader, ckpt_path=ckpt_path, weights_only=True)
        return callback, trainer

    return run


def versions(root):
    return [str(version) for version in Tracker(root).read().versions]


def epoch_of(root, version="v0.1"):
    return read_version(root, version).weights["weight"].item()


def test_a_run_owns_one_version_that_holds_its_best_epoch(root, fit):
    fit([0.9, 0.5, 0.7])
    assert versions(root) == ["v0.1"]
    stored = read_version(root, "v0.1")
    assert stored.weights["weight"].item() == 1
    assert stored.config["training"]["score"] == 0.5
    assert (stored.folder / "README.md").read_text() == "Epoch 1"
    assert read_optimizer(root, "v0.1")["epoch"] == 1


def test_more_is_better_where_the_mode_says_so(root, fit):
    fit([0.5, 0.9, 0.7], mode="max")
    assert epoch_of(root) == 1


def test_config_tells_how_the_version_was_trained(root, fit):
    fit([0.9, 0.5])
    config = read_version(root, "v0.1").config
    date = config["training"].pop("date")
    assert config["d_model"] == 1
    assert config["training"] == {
        "seed": 3,
        "epoch": 1,
        "global_step": 4,
        "monitor": "val/loss",
        "mode": "min",
        "score": 0.5,
        "team5_version": __version__,
    }
    assert Tracker(root).read().entry("v0.1").date == date


def test_the_figures_of_the_exported_epoch_are_recorded(root, fit):
    fit([0.25])
    entry = Tracker(root).read().entry("v0.1")
    assert entry.description == "A run"
    assert entry.performance == pytest.approx(
        {"accuracy": 0.8, "f1_score": 0.7, "hit_rate@1": 0.5, "loss": 0.25}
    )


def test_a_figure_that_is_not_finite_is_left_out(root, fit):
    module = ScriptedModule([0.25])
    module.metrics["val/auroc"] = math.nan
    fit(module)
    assert "auroc" not in Tracker(root).read().entry("v0.1").performance


def test_each_better_epoch_has_its_own_version_if_wanted(root, fit):
    callback, _ = fit([0.9, 0.5, 0.7, 0.4], every_best=True)
    assert versions(root) == ["v0.1", "v0.2", "v0.3"]
    assert [epoch_of(root, version) for version in versions(root)] == [0, 1, 3]
    assert Tracker(root).latest() == callback.version == "v0.3"


def test_the_next_run_takes_the_next_version(root, fit):
    fit([0.9])
    fit([0.8])
    assert versions(root) == ["v0.1", "v0.2"]


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_finite_is_never_better(root, fit, worst, mode):
    fit([worst, 0.5, worst], mode=mode)
    assert epoch_of(root) == 1


def test_where_no_epoch_has_a_score_nothing_is_exported(root, fit):
    callback, _ = fit([math.nan, math.nan])
    assert callback.version is None
    assert not root.exists()


def test_latest_moves_when_the_run_ends_well(root, fit):
    fit([0.9])
    assert Tracker(root).latest() == "v0.1"


def test_an_early_stop_is_a_good_end(root, fit):
    fit([0.9] * 3, trainer_arguments={"limit_train_batches": 1, "max_steps": 1})
    assert Tracker(root).latest() == "v0.1"


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_latest_stays_when_the_run_fails_or_is_interrupted(root, fit, failure):
    fit([0.9])
    with pytest.raises((RuntimeError, SystemExit)):
        fit(ScriptedModule([0.5, 0.4], fail_at=failure))
    assert versions(root) == ["v0.1", "v0.2"]
    assert Tracker(root).latest() == "v0.1"


def test_latest_moves_at_each_export_or_never_if_wanted(root, fit):
    with pytest.raises(RuntimeError):
        fit(ScriptedModule([0.5], fail_at=RuntimeError()), set_as_latest="always")
    assert Tracker(root).latest() == "v0.1"
    fit([0.9], set_as_latest="never")
    assert versions(root) == ["v0.1", "v0.2"]
    assert Tracker(root).latest() == "v0.1"


def test_a_resumed_run_goes_on_with_its_version_and_its_best_score(root, fit, tmp_path):
    scores = [0.5, 0.9, 0.6, 0.4]
    _, trainer = fit(scores, epochs=1, set_as_latest="never")
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    fit([0.1], set_as_latest="never")  # another run takes v0.2 meanwhile

    callback, trainer = fit(scores, epochs=3, ckpt_path=tmp_path / "run.ckpt")
    assert trainer.current_epoch == 3
    assert epoch_of(root) == 0
    assert (callback.version, callback.best_score) == ("v0.1", 0.5)
    assert Tracker(root).latest() == "v0.1"

    fit(scores, ckpt_path=tmp_path / "run.ckpt")
    assert epoch_of(root) == 3
    assert versions(root) == ["v0.1", "v0.2"]


def test_a_score_of_another_metric_is_not_compared(root):
    callback = CheckpointExport(root, "val/loss", "min")
    state = {"version": "v0.4", "best_score": 0.9, "monitor": "val/accuracy", "mode": "max"}
    callback.load_state_dict(state)
    assert (callback.version, callback.best_score) == ("v0.4", None)


def test_validation_without_training_exports_nothing(root, tmp_path):
    module = ScriptedModule([0.5])
    callback = CheckpointExport(root, "val/loss", "min")
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
    )
    trainer.validate(module, DataLoader(torch.ones(2, 1)), verbose=False)
    assert not root.exists()


def test_a_trial_run_exports_nothing(root, fit):
    fit([0.5], trainer_arguments={"fast_dev_run": True})
    assert not root.exists()


@pytest.mark.parametrize("missing", ["val/accuracy", "val/f1_score"])
def test_a_missing_figure_is_an_error_that_names_those_there_are(root, fit, missing):
    module = ScriptedModule([0.5])
    del module.metrics[missing]
    with pytest.raises(ConfigError, match=rf"{missing} is not among .*val/hit_rate@1"):
        fit(module)
    assert not root.exists()


def test_a_mistyped_monitor_is_an_error_that_names_those_there_are(fit):
    with pytest.raises(ConfigError, match=r"val/los is not among .*val/loss"):
        fit([0.5], monitor="val/los")


def test_a_module_that_cannot_be_exported_is_named(root, fit):
    class Plain(ScriptedModule):
        export_files = None

    with pytest.raises(ConfigError, match="Plain cannot be exported"):
        fit(Plain([0.5]))


@pytest.mark.parametrize("wrong", [{"mode": "lowest"}, {"set_as_latest": "sometimes"}])
def test_a_wrong_choice_names_the_right_ones(root, wrong):
    with pytest.raises(ConfigError, match="Choose one of"):
        CheckpointExport(root, **{"monitor": "val/loss", "mode": "min", **wrong})


def test_an_unwritable_registry_ends_the_run_with_a_clear_error(root, fit):
    root.write_text("a file")
    with pytest.raises(StorageError, match="untouched"):
        fit([0.5])


def test_the_config_names_arguments_the_constructor_takes():
    config = yaml.safe_load((REPOSITORY / "configs/callbacks/export.yaml").read_text())["export"]
    assert config.pop("_target_") == "team5.callbacks.checkpoint_export.CheckpointExport"
    callback = CheckpointExport(**config)
    assert (callback.every_best, callback.set_as_latest) == (False, "on_success")


class SmallVersion(ScriptedModule):
    """A module whose epochs export the small version, damaged where the score is above 1."""

    def __init__(self, scores: Sequence[float], root: Path) -> None:
        super().__init__(scores)
        self.stored = read_version(root, "v0.1")

    def export_weights(self):
        worse = self.scores[self.current_epoch] > 1
        return damaged(self.stored.weights) if worse else self.stored.weights

    def export_config(self):
        return self.stored.config

    def export_files(self):
        return {}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_queries(tmp_path_factory.mktemp("queries") / "frozen.parquet")


def test_a_worse_version_stays_exported_and_latest_does_not_move(root, fit, table, caplog):
    copy_registry(root)
    callback, _ = fit(SmallVersion([3.0], root), gate_queries=table)
    assert callback.version == "v0.2"
    assert versions(root) == ["v0.1", "v0.2"]
    assert Tracker(root).latest() == "v0.1"
    (said,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said.startswith(f"latest in {root} stays v0.1: v0.2 is worse than v0.1")
    assert "on frozen.parquet: cosine 0.0" in said
    assert f'python -m team5.registry promote v0.2 --root {root} --force "REASON"' in said


def test_one_that_is_not_worse_becomes_latest_and_what_it_was_judged_on_is_kept(root, fit, table):
    copy_registry(root)
    fit(SmallVersion([3.0, 0.5], root), gate_queries=str(table))
    move = Tracker(root).read().history[-1]
    assert (move.latest, move.previous) == ("v0.2", "v0.1")
    assert move.reason == "its training ended well; not worse than v0.1 on frozen.parquet"
    assert move.judged["figures"]["cosine"]["high"] == 0
    assert len(move.judged["sha256"]) == 64


def test_the_variable_judges_every_training(root, fit, table, monkeypatch):
    copy_registry(root)
    monkeypatch.setenv("TEAM5_GATE_QUERIES", str(table))
    fit(SmallVersion([3.0], root))
    assert Tracker(root).latest() == "v0.1"
    monkeypatch.setenv("TEAM5_GATE_QUERIES", "")
    fit(SmallVersion([3.0], root))
    assert Tracker(root).latest() == "v0.3"


def test_each_export_is_judged_where_each_may_become_latest(root, fit, table):
    copy_registry(root)
    arguments = {"every_best": True, "set_as_latest": "always", "gate_queries": table}
    fit(SmallVersion([3.0, 0.9, 0.8], root), **arguments)
    assert versions(root) == ["v0.1", "v0.2", "v0.3", "v0.4"]
    moves = [(m.latest, m.previous, m.judged["compared_with"]) for m in
             Tracker(root).read().history]  # fmt: skip
    assert moves == [("v0.3", "v0.1", "v0.1"), ("v0.4", "v0.3", "v0.3")]


def test_judging_draws_no_random_numbers_of_the_training(root, fit, table):
    class Drawing(SmallVersion):
        def on_train_end(self):
            self.drawn = torch.rand(3)

    drawn = []
    for queries in (None, table):
        copy_registry(registry := root / str(queries is None))
        torch.manual_seed(5)
        module = Drawing([0.9, 0.8], registry)
        fit(module, root=registry, set_as_latest="always", gate_queries=queries)
        drawn.append(module.drawn)
    assert torch.equal(*drawn)


@pytest.mark.parametrize("is_gated", [False, True])
def test_latest_stays_where_held_out_spectra_say_that_the_parent_is_better(
    root, fit, table, caplog, is_gated
):
    copy_registry(root)
    caplog.set_level("INFO")
    held_out = read_frozen_queries(table)
    fit(SmallVersion([3.0], root), parent=root / "v0.1", held_out=held_out, n_val_pairs=50,
        gate_queries=table if is_gated else None)  # fmt: skip
    assert Tracker(root).latest() == "v0.1"
    assert (
        "v0.2 is worse than v0.1 there: latest stays. Use it by name: version=v0.2" in caplog.text
    )
    compared = Tracker(root).read().entry("v0.2").extra["compared"]
    assert compared["compared_with"] == "v0.1"
    assert compared["figures"]["cosine"]["high"] < 0
    assert "On frozen.parquet:" in caplog.text
    assert "(difference -0." in caplog.text


def test_latest_moves_if_the_parent_is_not_better_on_enough_pairs(root, fit, table, caplog):
    copy_registry(root)
    arguments = {"parent": root / "v0.1", "held_out": read_frozen_queries(table)}
    fit(SmallVersion([3.0, 0.5], root), **arguments, n_val_pairs=48)
    assert Tracker(root).latest() == "v0.1"
    assert "48 validation pairs are too few to tell whether v0.2 is better" in caplog.text
    fit(SmallVersion([3.0, 0.5], root), **arguments, n_val_pairs=50)
    assert Tracker(root).latest() == "v0.3"


def test_latest_moves_only_if_what_was_latest_is_not_better_either(root, fit, table, caplog):
    copy_registry(root)
    parent = root / export_copy(root, is_damaged=True)
    held_out = read_frozen_queries(table)
    fit(SmallVersion([3.0], root), parent=parent, held_out=held_out, n_val_pairs=50)
    assert Tracker(root).latest() == "v0.1"
    assert "v0.3 is worse than v0.1 there: latest stays" in caplog.text
    assert Tracker(root).read().entry("v0.3").extra["compared"]["compared_with"] == "v0.2"


def test_missing_queries_are_an_error_before_anything_is_trained(root, fit, tmp_path, monkeypatch):
    missing = tmp_path / "none.parquet"
    with pytest.raises(DataFileNotFoundError, match=r"none\.parquet: no such file"):
        fit([0.5], gate_queries=missing)
    monkeypatch.setenv("TEAM5_GATE_QUERIES", str(missing))
    with pytest.raises(DataFileNotFoundError, match="TEAM5_GATE_QUERIES"):
        fit([0.5])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        fit([0.5], gate_queries=REPOSITORY / "README.md")
    assert not root.exists()
    fit([0.5], set_as_latest="never")  # promotes nothing
    assert versions(root) == ["v0.1"]


def test_the_first_version_has_none_to_be_worse_than(root, fit, table):
    fit([0.5], gate_queries=table)
    (move,) = Tracker(root).read().history
    assert move.reason == "its training ended well; no version was latest before"


def test_a_latest_that_cannot_be_scored_is_told_and_ends_no_training(root, fit, table, caplog):
    copy_registry(root)
    module = SmallVersion([0.5], root)
    (root / "v0.1/model.safetensors").unlink()
    fit(module, gate_queries=table)
    assert Tracker(root).latest() == "v0.1"
    assert "v0.2 cannot be compared with v0.1 on frozen.parquet" in caplog.text


@pytest.mark.slow
def test_two_trainings_at_once_take_two_versions(root, tmp_path):
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from test_checkpoint_export import *
callback = CheckpointExport(sys.argv[2], "val/loss", "min")
trainer = Trainer(accelerator="cpu", max_epochs=4, callbacks=[callback], logger=False,
                  enable_checkpointing=False, enable_progress_bar=False)
loader = DataLoader(torch.ones(2, 1))
trainer.fit(ScriptedModule([0.9, 0.8, 0.7, 0.6]), loader, loader)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, Path(__file__).parent, root],
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert versions(root) == ["v0.1", "v0.2"]
    assert [epoch_of(root, version) for version in versions(root)] == [3, 3]
    written = json.loads(Tracker(root).path.read_text())
    assert written["latest"] in ("v0.1", "v0.2")
