"""What train() writes about a run; that it trains is shown by tests/program/test_train.py."""

import re

import pytest
from omegaconf import OmegaConf

from team5.cli.run import compose_config
from team5.errors import ConfigError
from team5.inference.familiarity import seen_with_parents
from team5.models.lightning_module import VAL_METRICS
from team5.registry.export import read_version
from team5.registry.tracker import Tracker
from team5.training.settings import check_settings
from team5.training.train import Trained, train

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return tmp_path_factory.mktemp("places")


@pytest.fixture(scope="module")
def run(places):
    """Train in a registry that has no version yet; return the config and what came of it."""
    cfg = compose_config(
        "train",
        ["experiment=debug", "trainer.max_epochs=1", "model.network.d_model=8",
         "description=A trial",
         f"checkpoints_root={places / 'checkpoints'}", f"output_dir={places / 'outputs'}",
         f"data.cache_dir={places / 'cache'}"],
    )  # fmt: skip
    OmegaConf.set_struct(cfg, False)
    del cfg.callbacks["progress"]
    cfg.logger = {}
    return cfg, train(cfg)


def test_it_returns_the_version_it_exported_and_its_score(run, places):
    _, trained = run
    assert trained.version == "v0.1"
    config = read_version(places / "checkpoints", "v0.1").config
    assert trained.score == config["training"]["score"]
    assert [str(v) for v in Tracker(places / "checkpoints").read().versions] == ["v0.1"]


def test_metrics_that_a_callback_may_monitor_are_those_that_are_logged(run, places):
    logged = Tracker(places / "checkpoints").read().entry("v0.1").performance
    with_references = {"val/accuracy_references", "val/auroc_references"}  # which 24 compounds lack
    assert {f"val/{name}" for name in logged} == set(VAL_METRICS) - with_references


def test_a_given_description_is_kept(run, places):
    assert Tracker(places / "checkpoints").read().entry("v0.1").description == "A trial"


def test_latest_is_not_moved_by_computed_spectra(run, places):
    assert Tracker(places / "checkpoints").read().latest is None


def test_the_version_says_how_it_was_trained_and_not_where(run, places):
    config = read_version(places / "checkpoints", "v0.1").config
    training = config["training_config"]
    assert training["model"]["network"]["d_model"] == config["model"]["d_model"] == 8
    assert (training["seed"], training["trainer"]["max_epochs"]) == (1, 1)
    assert training["output_dir"] is training["checkpoints_root"] is None
    assert training["data"]["cache_dir"] is None
    assert config["parent_version"] is None
    assert {"torch", "lightning", "rdkit"} <= set(config["packages"])
    # All of it can be composed again.
    OmegaConf.create(training)


def test_without_callbacks_and_loggers_nothing_is_exported(places, caplog):
    cfg = compose_config(
        "train",
        ["experiment=debug", "trainer.max_epochs=1", "data.train_compounds=4",
         f"checkpoints_root={places / 'none'}", f"output_dir={places / 'outputs'}",
         f"data.cache_dir={places / 'cache'}"],
    )  # fmt: skip
    cfg.callbacks, cfg.logger = None, None
    assert train(cfg) == Trained(None, None)
    assert not (places / "none").exists()
    assert "Nothing was exported" in caplog.text


def test_ranking_goes_on_from_a_version_and_tells_it_from_decoys(run, places, tmp_path):
    cfg = compose_config(
        "train",
        ["experiment=rank", "data=demo", "from_version=v0.1", "trainer.max_epochs=1",
         "data.train_compounds=24", "data.train_decoys=2", "model=tiny",
         "trainer.log_every_n_steps=1",
         f"checkpoints_root={places / 'checkpoints'}", f"output_dir={tmp_path}",
         f"data.cache_dir={places / 'cache'}"],
    )  # fmt: skip
    OmegaConf.set_struct(cfg, False)
    del cfg.callbacks["progress"]
    cfg.logger = {"csv": {"_target_": "lightning.pytorch.loggers.CSVLogger",
                          "save_dir": str(tmp_path)}}  # fmt: skip
    config = read_version(places / "checkpoints", train(cfg).version).config
    assert (config["parent_version"], config["data"]["train_decoys"]) == ("v0.1", 2)
    parent = read_version(places / "checkpoints", "v0.1").config
    assert parent["seen_before"] == []
    assert config["seen_before"] == seen_with_parents(parent)
    assert config["seen_before"][0].items() <= parent["data"].items()
    (curves,) = tmp_path.rglob("metrics.csv")
    header = curves.read_text().splitlines()[0].split(",")
    assert {"train/contrast", "train/exchange"} <= set(header)


@pytest.mark.parametrize(
    "word",
    [
        "data.batch_size=0",
        "data.max_spectra=many",
        "data.val_share=2",
        "data.cross_fold=5",
        "data.seed=-1",
        "seed=-1",
        "model.network.dropout=1",
        "model.network.d_model=0",
        # Such a version could be exported, and not be read.
        "model.tokenizer.max_depth=4",
        "model.optimizer.lr=-1",
        "model.averaging_decay=1.5",
        "model.warmup_steps=-1",
        "model.score.log_p_floor=1",
        "trainer.max_epochs=some",
        "trainer.gradient_clip_val=-1",
        "callbacks.early_stopping.monitor=val/los",
        "callbacks.export.monitor=loss",
    ],
)
def test_impossible_settings_are_refused_before_data_are_read(word, places):
    key, _, value = word.partition("=")
    cfg = compose_config(
        "train",
        ["experiment=debug", "data=file", "data.path=nowhere.mgf", word,
         f"checkpoints_root={places / 'refused'}", f"output_dir={places / 'outputs'}"],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=re.escape(key)) as raised:
        train(cfg)
    assert value in str(raised.value)
    assert raised.value.argument == key


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pretraining={structurs: 10}", "'pretraining.structurs'; closest: pretraining.structures"),
        (
            "pretraining=false",
            r"Write pretraining={structures: VALUE}, .* epochs, .*, or pretraining=null for none\.",
        ),
        (
            "model.network=4",
            r"is not an object\. Write model.network={d_model: VALUE}, with any of ",
        ),
        ("rescore=true", "rescore=true has no effect"),
    ],
)
def test_refusals_of_settings_say_what_to_give(word, said, places):
    cfg = compose_config(
        "train",
        ["experiment=debug", word,
         f"checkpoints_root={places / 'refused'}", f"output_dir={places / 'outputs'}"],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        train(cfg)


def test_settings_of_the_shipped_experiments_are_possible():
    for experiment in ("calibrate", "debug", "finetune", "massbank", "rank"):
        check_settings(compose_config("train", [f"experiment={experiment}"]))


def test_a_class_of_the_users_own_checks_its_settings_itself(places):
    cfg = compose_config("train", ["experiment=debug", "data.batch_size=0"])
    cfg.data._target_ = "mine.Spectra"
    check_settings(cfg)


def test_what_lightning_refuses_names_the_callback(places):
    cfg = compose_config(
        "train",
        ["experiment=debug", "callbacks.early_stopping.mode=up",
         f"checkpoints_root={places / 'refused'}", f"output_dir={places / 'outputs'}",
         f"data.cache_dir={places / 'cache'}"],
    )  # fmt: skip
    cfg.logger = {}
    with pytest.raises(ConfigError, match=r"early_stopping.*got up"):
        train(cfg)
