"""Every experiment and every option composes, and becomes objects where that needs no network."""

from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from team5.cli.run import compose_config
from team5.errors import ConfigError
from team5.training.train import precision_of

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs"
GROUPS = ("callbacks", "data", "launcher", "logger", "model", "sweeper", "trainer")
# What evaluate.py measures on, which nothing is trained on.
EVALUATED = {"queries", "massspecgym"}
OPTIONS = [
    (group, file.stem)
    for group in GROUPS
    for file in sorted((CONFIGS / group).glob("*.yaml"))
    if file.stem not in EVALUATED
]
EXPERIMENTS = sorted(file.stem for file in (CONFIGS / "experiment").glob("*.yaml"))
# wandb and MLflow are extras; Lightning makes a GPU's or Apple's trainer only where there is one.
NEEDS_MORE = {("logger", "wandb"), ("logger", "mlflow"), ("trainer", "gpu"), ("trainer", "mps")}


@pytest.fixture
def compose(tmp_path):
    def compose_train(*words: str) -> DictConfig:
        places = [f"output_dir={tmp_path}", f"checkpoints_root={tmp_path / 'checkpoints'}",
                  f"data.cache_dir={tmp_path / 'cache'}"]  # fmt: skip
        return compose_config("train", [*words, *places])

    return compose_train


def instantiate_all(cfg: DictConfig) -> None:
    callbacks = [hydra.utils.instantiate(c) for c in cfg.callbacks.values()]
    loggers = [hydra.utils.instantiate(c) for c in cfg.logger.values()]
    module = hydra.utils.instantiate(cfg.model)
    data = hydra.utils.instantiate(cfg.data)
    cfg.trainer.precision = precision_of(cfg.trainer)
    trainer = hydra.utils.instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    assert trainer.max_epochs == cfg.trainer.max_epochs
    assert data.batch_size == cfg.data.batch_size
    assert module.model.config.d_model == cfg.model.network.d_model


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_becomes_objects(compose, experiment):
    cfg = compose(f"experiment={experiment}")
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    instantiate_all(cfg)


@pytest.mark.parametrize(
    ("knows", "precision"),
    [({"avx512_bf16": True}, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed"), ({}, "32-true")],
)
def test_bfloat16_is_used_where_the_processor_computes_in_it(
    compose, monkeypatch, knows, precision
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: knows)
    assert precision_of(compose("trainer=cpu").trainer) == precision
    assert precision_of(compose("trainer=cpu", "trainer.precision=64-true").trainer) == "64-true"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_opens_with_its_own_command_line(experiment):
    lines = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1] == f"# python train.py experiment={experiment}"


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_becomes_objects(compose, tmp_path, group, option):
    given = [f"data.path={tmp_path / 'spectra.mgf'}"] if option == "file" else []
    # A callback alone is an option of its own: the group's default joins them.
    cfg = compose(f"{group}={option}", *given)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    if (group, option) not in NEEDS_MORE:
        instantiate_all(cfg)


@pytest.mark.parametrize(
    ("experiment", "direction"), [("finetune", "minimize"), ("rank", "maximize")]
)
def test_a_sweep_goes_where_the_exported_metric_is_better(experiment, direction):
    overrides = ["sweeper=optuna", f"experiment={experiment}"]
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = hydra.compose("train", overrides, return_hydra_config=True)
    assert cfg.hydra.sweeper.direction == direction
    assert cfg.callbacks.export.set_as_latest == "never"


def test_a_job_of_slurm_has_a_task_for_each_device():
    overrides = ["launcher=slurm", "trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2"]
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        launcher = hydra.compose("train", overrides, return_hydra_config=True).hydra.launcher
    assert (launcher.nodes, launcher.tasks_per_node) == (2, 4)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("trainer", ["cpu", "ddp", "gpu", "mps"])
def test_every_trainer_goes_with_every_experiment(compose, experiment, trainer):
    cfg = compose(f"experiment={experiment}", f"trainer={trainer}")
    assert cfg.trainer.use_distributed_sampler is False
    assert cfg.trainer.enable_checkpointing is False
    assert cfg.trainer.gradient_clip_val == 2.0


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda f: f.stem)
def test_no_config_holds_a_path_of_anyones_machine(file):
    text = file.read_text()
    assert str(REPOSITORY) not in text
    assert str(Path.home()) + "/" not in text
    assert "/home/" not in text


@pytest.mark.parametrize(
    "word",
    [
        "experiment=massbnk",
        "model=huge",
        "model.network.d_modle=3",
        "trainer.max_epoch=3",
        "data.batchsize=3",
    ],
)
def test_a_mistyped_key_or_option_is_refused(compose, word):
    with pytest.raises(ConfigError):
        compose(word)


def test_a_key_added_to_an_object_is_refused_by_its_constructor(compose):
    cfg = compose()
    OmegaConf.update(cfg, "model.network.n_heads", 4, force_add=True)
    with pytest.raises(hydra.errors.InstantiationException, match="n_heads"):
        instantiate_all(cfg)


def test_without_an_experiment_everything_has_a_default(compose):
    OmegaConf.to_container(compose(), resolve=True, throw_on_missing=True)
