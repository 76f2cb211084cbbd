"""Pretraining of the atom layers on structures without spectra."""

import pytest
import torch

from team5.chemistry.molecule import parse_smiles
from team5.cli.run import compose_config
from team5.data.datamodule import SpectrumDataModule
from team5.errors import ConfigError
from team5.models.encoders import MoleculeEncoder
from team5.registry.export import read_version
from team5.training import train as training
from team5.training.pretraining import Pretraining, pretrain
from team5.training.train import train

SETTINGS = Pretraining(structures=40, epochs=2, batch_size=8)
ATOM_LAYERS = ("atom_embedding", "bond_embedding", "layers", "atom_norm")
STRUCTURES = ["CCO", "CCN", "CC(=O)O", "c1ccncc1", "CC(=O)NC", "C", "CCCCCC", "Oc1ccccc1"] * 5


def encoder():
    torch.manual_seed(0)
    return MoleculeEncoder(16, 16, 2, 1, dropout=0.5)


def test_loss_falls():
    once = pretrain(encoder(), STRUCTURES, Pretraining(epochs=1, batch_size=8), seed=0)
    more = pretrain(encoder(), STRUCTURES, Pretraining(epochs=20, batch_size=8), seed=0)
    assert more < once / 2


def test_only_atom_layers_change():
    pretrained, before = encoder(), encoder().state_dict()
    pretrain(pretrained, STRUCTURES, SETTINGS, seed=0)
    changed = {name for name, w in pretrained.state_dict().items() if not w.equal(before[name])}
    assert {name.split(".")[0] for name in changed} == set(ATOM_LAYERS)
    assert all(p.grad is None for p in pretrained.parameters())
    assert pretrained.training


def test_same_seed_gives_the_same_weights_and_leaves_torchs_own_alone():
    first, second = encoder(), encoder()
    state = torch.get_rng_state()
    pretrain(first, STRUCTURES, SETTINGS, seed=3)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(99)
    pretrain(second, STRUCTURES, SETTINGS, seed=3)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.equal(other)


def test_what_is_no_structure_is_left_out():
    sound, faulty = encoder(), encoder()
    pretrain(sound, STRUCTURES, SETTINGS, seed=0)
    pretrain(faulty, ["C(", *STRUCTURES, "nonsense"], SETTINGS, seed=0)
    for one, other in zip(sound.parameters(), faulty.parameters(), strict=True):
        assert one.equal(other)


def test_metal_without_a_partial_charge_does_not_spoil_the_weights():
    pretrained = encoder()
    assert pretrain(pretrained, ["C[Hg]C", *STRUCTURES], SETTINGS, seed=0) < 100
    assert all(p.isfinite().all() for p in pretrained.parameters())


def test_structures_are_none_of_a_held_out_fold(tmp_path):
    data = SpectrumDataModule("demo", cache_dir=str(tmp_path), num_workers=0, cross_fold=0)
    data.prepare_data()
    data.setup()
    held_out = {key_of(compound.smiles) for compound in (*data.val, *data.held_out)}
    drawn = data.structures(10**6)
    assert len(held_out) > 20
    assert len(drawn) > 100
    assert not held_out & {key_of(smiles) for smiles in drawn}
    assert data.structures(20) == drawn[:20]


def key_of(smiles):
    return parse_smiles(smiles).inchikey14


def test_a_rate_at_which_the_loss_is_lost_ends_pretraining():
    settings = Pretraining(epochs=30, batch_size=4, lr=1e9)
    with pytest.raises(
        ConfigError, match=r"pretraining\.lr=1e\+09: the loss is no longer"
    ) as error:
        pretrain(encoder(), STRUCTURES, settings, seed=0)
    assert error.value.argument == "pretraining.lr"


@pytest.fixture
def settings(tmp_path):
    cfg = compose_config(
        "train",
        ["experiment=debug", "trainer.max_epochs=1", "data.train_compounds=4",
         "pretraining={structures: 30, epochs: 1}",
         f"checkpoints_root={tmp_path / 'checkpoints'}", f"output_dir={tmp_path / 'outputs'}",
         f"data.cache_dir={tmp_path / 'cache'}"],
    )  # fmt: skip
    cfg.logger, cfg.callbacks.progress = {}, None
    return cfg


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_training_from_scratch_pretrains_and_going_on_from_a_version_does_not(
    settings, monkeypatch, caplog
):
    caplog.set_level("INFO", "team5")
    calls = []
    monkeypatch.setattr(
        training,
        "pretrain",
        lambda *args, **named: calls.append(len(args[1])) or pretrain(*args, **named),
    )
    train(settings)
    assert calls == [30]
    assert "Pretraining on 30 of 30 structures" in caplog.messages
    assert any(text.startswith("Pretraining, epoch 1 of 1: loss") for text in caplog.messages)
    recorded = [read_version(settings.checkpoints_root, "v0.1")]
    settings.from_version = "v0.1"
    train(settings)
    assert calls == [30]
    recorded.append(read_version(settings.checkpoints_root, "v0.2"))
    pretraining = [version.config["training_config"]["pretraining"] for version in recorded]
    assert pretraining == [{"structures": 30, "epochs": 1}, None]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fewer_structures_than_are_asked_for_are_told(caplog):
    caplog.set_level("INFO", "team5")
    pretrain(encoder(), ["C(", *STRUCTURES], Pretraining(structures=40_000, epochs=1), seed=0)
    assert f"Pretraining on {len(STRUCTURES)} of 40,000 structures" in caplog.messages


def test_encoder_of_the_users_own_is_not_pretrained(monkeypatch):
    messages = []
    monkeypatch.setattr(training._log, "info", messages.append)
    module = torch.nn.Module()
    module.model = torch.nn.Module()
    module.model.molecule_encoder = torch.nn.Linear(1, 1)
    training._pretrain(module, object(), SETTINGS, 0)
    assert messages == ["No pretraining: the encoder is your own."]


def test_data_without_structures_are_refused():
    module = torch.nn.Module()
    module.model = torch.nn.Module()
    module.model.molecule_encoder = encoder()
    with pytest.raises(ConfigError, match=r"structures\(n\).*pretraining=null"):
        training._pretrain(module, object(), SETTINGS, 0)
