import functools
import json

import lightning
import numpy as np
import pytest
import torch

from team5.chemistry.tokenizer import TokenizerConfig
from team5.data.datamodule import SpectrumDataModule
from team5.errors import ConfigError
from team5.models.head_fit import fit_heads
from team5.models.lightning_module import Team5LightningModule
from team5.models.model import ModelConfig, Team5Model
from tests.models.test_head_fit import random_pairs

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def module_of(**arguments) -> Team5LightningModule:
    torch.manual_seed(0)
    return Team5LightningModule(
        ModelConfig(d_model=8, d_hidden=8, n_layers=1, n_blocks=1, rank=3, dropout=0.0),
        TokenizerConfig(max_depth=1, max_fragments=30),
        functools.partial(torch.optim.AdamW, lr=1e-3),
        **{"warmup_steps": 3, "averaging_decay": 0.5, **arguments},
    )


def trainer_of(tmp_path, **arguments) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **arguments,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> SpectrumDataModule:
    module = SpectrumDataModule(
        "demo", train_compounds=12, batch_size=4, val_max_spectra=1, n_candidates=3, num_workers=0,
        cache_dir=str(tmp_path_factory.mktemp("cache")),
    )  # fmt: skip
    module.tokenizer = module_of().model.tokenizer
    module.prepare_data()
    module.setup("fit")
    return module


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    module = module_of()
    trainer = trainer_of(tmp_path_factory.mktemp("run"), max_epochs=2)
    trainer.fit(module, datamodule=data)
    return module, trainer


def test_a_validation_logs_what_a_version_records(fitted):
    _, trainer = fitted
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert {"val/loss", "val/accuracy", "val/f1_score", "val/auroc", "val/mrr", "val/hit_rate@1",
            "val/hit_rate@5"} <= set(metrics)  # fmt: skip
    assert all(0 <= metrics[name] <= 1 for name in metrics if "loss" not in name)
    # Rankings hold at most three candidates.
    assert metrics["val/hit_rate@5"] == 1
    assert metrics["val/hit_rate@1"] <= metrics["val/mrr"]


def test_what_is_exported_is_the_average_of_the_weights(fitted):
    module, _ = fitted
    name = "fragment_head.none.weight"
    exported = module.export_weights()
    torch.testing.assert_close(exported[name], module.averaged.module.state_dict()[name])
    assert not torch.equal(exported[name], module.model.state_dict()[name])
    assert exported["match_head.weight"].abs().sum() > 0
    assert exported["isomer_head.weight"].abs().sum() > 0


def test_an_export_rebuilds_the_model_that_was_validated(fitted, data):
    module, _ = fitted
    model = Team5Model.from_config(module.export_config()).eval()
    model.load_weights(module.export_weights(), "memory")
    batch = next(iter(data.val_dataloader()[0]))
    with torch.no_grad():
        torch.testing.assert_close(model(batch).logit, module.scored.eval()(batch).logit)


def test_an_export_holds_how_sure_each_validation_answer_was(fitted, data):
    module, trainer = fitted
    calibration = json.loads(json.dumps(module.export_config()["calibration"]))
    match, rank = calibration["match"], calibration["rank"]
    assert len(match["wrong"]) == 2 * len(data.pairs)
    assert 1 - np.mean(match["wrong"]) == pytest.approx(
        float(trainer.callback_metrics["val/accuracy"])
    )
    assert min(match["confidences"]) >= 0.5
    assert len(rank["wrong"]) == len(data.rankings)
    assert 1 - np.mean(rank["wrong"]) == pytest.approx(
        float(trainer.callback_metrics["val/hit_rate@1"])
    )
    # Spectra of one structure are right or wrong together, in both questions.
    assert len(set(match["groups"])) == len({q.candidates[0] for q in data.pairs})
    assert set(rank["groups"]) <= set(range(len({*match["groups"], *rank["groups"]})))


def test_each_fit_of_the_match_head_starts_from_the_parents(fitted):
    module, _ = fitted
    child = module_of(match_ridge=1e6)
    child.take_weights(module.export_weights(), "memory")
    heads = fit_heads(child.prior_heads, random_pairs(20), ridge=child.match_ridge)
    for name, head in heads.items():
        parent = module.export_weights()[f"{name}.weight"]
        if parent.any():
            torch.testing.assert_close(head.weight, parent, atol=1e-3, rtol=1e-3)


def test_weights_are_taken_for_network_and_average(fitted):
    module, _ = fitted
    child = module_of()
    child.take_weights(module.export_weights(), "memory")
    for name, tensor in module.export_weights().items():
        assert torch.equal(child.model.state_dict()[name], tensor)
        assert torch.equal(child.scored.state_dict()[name], tensor)


def test_the_learning_rate_rises_then_falls_to_its_final_share(data, tmp_path):
    rates = []

    class Watch(lightning.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    module = module_of(warmup_steps=3, final_lr_share=0.1)
    trainer_of(tmp_path, max_epochs=4, limit_val_batches=0, callbacks=[Watch()]).fit(
        module, datamodule=data
    )
    assert len(rates) == 12
    assert rates[:3] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 1e-4 < rates[-1] < 2e-4


def test_a_schedule_shorter_than_its_warm_up_still_trains(data, tmp_path):
    module = module_of(warmup_steps=500)
    trainer_of(tmp_path, max_epochs=1, limit_val_batches=0).fit(module, datamodule=data)


def test_nothing_of_the_averaged_copy_is_optimised():
    module = module_of()
    assert not any(p.requires_grad for p in module.averaged.parameters())
    assert all(p.requires_grad for p in module.model.parameters())


def test_a_share_of_the_parent_stays_in_what_is_exported(data, tmp_path):
    module = module_of(parent_share=0.25)
    parent = module_of().export_weights()
    module.take_weights(parent, "a version")
    trainer_of(tmp_path, max_epochs=1).fit(module, datamodule=data)
    exported, averaged = module.export_weights(), module.averaged.module.state_dict()
    name = "fragment_head.none.weight"
    assert not torch.equal(averaged[name], parent[name])
    expected = 0.75 * averaged[name] + 0.25 * parent[name]
    torch.testing.assert_close(exported[name], expected)
    assert exported.keys() == parent.keys()
    # A run that goes on has the parent in its state.
    again = module_of(parent_share=0.25)
    again.take_weights(exported, "a version")
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again.parent.state_dict()[name], parent[name])


def test_a_share_of_no_parent_is_an_error(data, tmp_path):
    with pytest.raises(ConfigError, match="needs a parent"):
        trainer_of(tmp_path, max_epochs=1).fit(module_of(parent_share=0.5), datamodule=data)
    with pytest.raises(ConfigError, match="below 1"):
        module_of(parent_share=1.0)
