"""A small model learns a handful of spectra by heart, and tells them apart."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.collate import Batch, collate, make_pair
from team5.data.demo import demo_table
from team5.models.losses import peak_likelihood_loss
from team5.models.model import ModelConfig, Team5Model


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Six isomers, two spectra each."""
    table = demo_table(seed=0)
    counts = table.filter(pc.equal(table["adduct"], "[M+H]+")).to_pylist()
    by_formula: dict[str, dict[str, list[dict]]] = {}
    for row in counts:
        by_formula.setdefault(row["formula"], {}).setdefault(row["inchikey14"], []).append(row)
    isomers = max(by_formula.values(), key=len)
    return [row for spectra in list(isomers.values())[:6] for row in spectra[:2]]


def batch_of(tokenizer: MoleculeTokenizer, rows: list[dict], structures: list[dict]) -> Batch:
    """Hold each row's spectrum against the structure beside it."""
    tokens = [tokenizer.encode(row["smiles"]) for row in structures]
    pairs = [
        make_pair(
            tokens[i],
            i,
            mzs=np.array(row["mzs"]),
            intensities=np.array(row["intensities"]),
            adduct=parse_adduct(row["adduct"]),
            collision_energy=row["collision_energy"],
            instrument_type=row["instrument_type"],
            keep_impossible=False,
        )
        for i, row in enumerate(rows)
    ]
    return collate(tokens, pairs)


@pytest.fixture(scope="module")
def learned(rows) -> tuple[Team5Model, list[float]]:
    torch.manual_seed(0)
    sizes = ModelConfig(d_model=48, d_hidden=48, n_layers=2, n_blocks=2, rank=8, dropout=0.0)
    model = Team5Model(sizes, MoleculeTokenizer(TokenizerConfig(2, 150))).train()
    batch = batch_of(model.tokenizer, rows, rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(120):
        loss = peak_likelihood_loss(model(batch).log_p, batch.weights)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses


def test_loss_comes_near_the_least_there_can_be(learned, rows):
    model, losses = learned
    batch = batch_of(model.tokenizer, rows, rows)
    entropy = -(batch.weights * batch.weights.clamp(min=1e-12).log()).sum(dim=1).mean().item()
    assert losses[0] > entropy + 2
    assert losses[-1] < entropy + 0.35 * (losses[0] - entropy)


@torch.no_grad()
def test_each_spectrum_is_likelier_of_its_own_structure_than_of_its_isomers(learned, rows):
    model, _ = learned
    own = model(batch_of(model.tokenizer, rows, rows)).score
    for shift in range(2, len(rows), 2):
        isomers = rows[shift:] + rows[:shift]
        other = model(batch_of(model.tokenizer, rows, isomers)).score
        assert (own > other).float().mean() >= 0.9


@torch.no_grad()
def test_the_fitted_match_head_tells_own_from_exchanged_spectra(learned, rows):
    model, _ = learned
    own = model(batch_of(model.tokenizer, rows, rows)).features
    other = model(batch_of(model.tokenizer, rows[2:] + rows[:2], rows)).features
    features = torch.cat([own, other])
    labels = torch.tensor([1.0] * len(own) + [0.0] * len(other))
    model.match_head.fit(features, labels, ridge=0.1)
    batch = batch_of(model.tokenizer, rows, rows)
    assert (model(batch).probability > 0.5).float().mean() >= 0.9


def test_every_parameter_of_the_network_gets_a_gradient(rows):
    torch.manual_seed(0)
    model = Team5Model(
        ModelConfig(d_model=8, d_hidden=8, n_layers=1, n_blocks=1, rank=3, dropout=0.0),
        MoleculeTokenizer(TokenizerConfig(1, 30)),
    )
    batch = batch_of(model.tokenizer, rows[:2], rows[:2])
    peak_likelihood_loss(model(batch).log_p, batch.weights).backward()
    without = [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0]
    assert without == []
