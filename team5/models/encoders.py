"""Encoders of molecules (atoms, bonds, fragments) and of measurement conditions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from team5.chemistry.fragment_features import FRAGMENT_FEATURES
from team5.chemistry.tokenizer import (
    ATOM_VOCABULARY,
    BOND_VOCABULARY,
    GraphBatch,
    MoleculeBatch,
)
from team5.models.layers import MessagePassing, ResidualBlock, gather_rows

CONDITIONS_HIDDEN = 64
KEPT_SUM_SCALE = 8  # atoms; brings sums over a fragment's atoms near 1


class TokenEmbedding(nn.Module):
    """Sum of one embedding per categorical column."""

    starts: Tensor

    def __init__(self, vocabulary: dict[str, int], d_model: int) -> None:
        super().__init__()
        sizes = torch.tensor([0, *vocabulary.values()][:-1])
        self.register_buffer("starts", sizes.cumsum(0), persistent=False)
        self.table = nn.Embedding(sum(vocabulary.values()), d_model)
        nn.init.normal_(self.table.weight, std=0.3)

    def forward(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.table(tokens + self.starts).sum(dim=-2)
        return embedded


class ConditionEmbedding(nn.Module):
    """Embedding (M, D) of the conditions (M, C) of a measurement, 0 before training."""

    def __init__(self, n_features: int, d_model: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, CONDITIONS_HIDDEN)
        self.out = nn.Linear(CONDITIONS_HIDDEN, d_model)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, conditions: Tensor) -> Tensor:
        embedding: Tensor = self.out(nn.functional.gelu(self.hidden(conditions)))
        return embedding


class MoleculeEncoder(nn.Module):
    """Vectors of fragments from atoms kept, bonds cut, and counts.

    Returns fragments (M, F, D) and the molecule (M, D).

    Parameters
    ----------
    d_model, d_hidden, n_layers, n_blocks, dropout
        Of ``ModelConfig``.
    n_conditions : int
        Conditions whose embedding is added to every atom; 0 for none.
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        n_layers: int,
        n_blocks: int,
        dropout: float,
        n_conditions: int = 0,
    ) -> None:
        super().__init__()
        self.atom_embedding = TokenEmbedding(ATOM_VOCABULARY, d_model)
        self.bond_embedding = TokenEmbedding(BOND_VOCABULARY, d_model)
        self.conditions = ConditionEmbedding(n_conditions, d_model) if n_conditions else None
        self.layers = nn.ModuleList(MessagePassing(d_model, dropout) for _ in range(n_layers))
        self.atom_norm = nn.LayerNorm(d_model)
        self.kept_mean = nn.Linear(d_model, d_model, bias=False)
        self.kept_sum = nn.Linear(d_model, d_model, bias=False)
        self.cut_kept_end = nn.Linear(d_model, d_model)
        self.cut_lost_end = nn.Linear(d_model, d_model, bias=False)
        self.cut_bond = nn.Linear(d_model, d_model, bias=False)
        self.cut = nn.Linear(d_model, d_model, bias=False)
        self.features = nn.Linear(len(FRAGMENT_FEATURES), d_model)
        self.molecule = nn.Linear(d_model, d_model)
        self.parent = nn.Linear(d_model, d_model, bias=False)
        self.first = ResidualBlock(d_model, d_hidden, dropout)
        self.blocks = nn.ModuleList(
            ResidualBlock(d_model, d_hidden, dropout) for _ in range(n_blocks - 1)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self, batch: MoleculeBatch, conditions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        atoms, bonds, source, target, padding = self.pass_messages(batch, conditions)
        n_atoms = (~batch.atom_padding_mask).sum(dim=1, keepdim=True)
        molecule: Tensor = self.molecule(atoms.sum(dim=1) / n_atoms)
        # A cut bond seen from its kept end: one vector per bond and direction.
        bond = self.cut_bond(bonds)
        cut = self.cut(
            nn.functional.gelu(
                gather_rows(self.cut_kept_end(atoms), source)
                + gather_rows(self.cut_lost_end(atoms), target)
                + torch.cat([bond, bond], dim=1)
            )
        ).masked_fill(padding.unsqueeze(-1), 0.0)
        inside = batch.inside
        n_kept = inside.sum(dim=-1, keepdim=True).clamp(min=1)
        is_cut = _columns(inside, source) * (1 - _columns(inside, target))
        # Four sums over the parts of a fragment, as one product.
        counts = torch.cat(
            [inside / n_kept, inside / KEPT_SUM_SCALE, is_cut, batch.fragment_features], dim=-1
        )
        weight = self.features.weight.t().unsqueeze(0).expand(len(counts), -1, -1)
        joined = torch.cat([self.kept_mean(atoms), self.kept_sum(atoms), cut, weight], dim=1)
        bias = self.features.bias + molecule
        fragments = self.first(torch.baddbmm(bias.unsqueeze(1), counts, joined))
        # A fragment's parent competes with it and shows how it was formed.
        fragments = fragments + gather_rows(self.parent(fragments), batch.fragment_parents)
        for block in self.blocks:
            fragments = block(fragments)
        return self.norm(fragments), molecule

    def pass_messages(
        self, graphs: GraphBatch, conditions: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return atoms (M, A, D), bonds (M, E, D), and each bond in both directions.

        These are the bonds' ends, (M, 2E) long each, and their padding, (M, 2E) bool. Without
        ``conditions`` (M, C), their embedding is not added.
        """
        atoms = self.atom_embedding(graphs.atoms)
        if conditions is not None and self.conditions is not None:
            atoms = atoms + self.conditions(conditions).unsqueeze(1)
        bonds = self.bond_embedding(graphs.bonds)
        # Each bond in both directions.
        begin, end = graphs.bond_ends.unbind(dim=-1)
        source, target = torch.cat([begin, end], dim=1), torch.cat([end, begin], dim=1)
        padding = torch.cat([graphs.bond_padding_mask, graphs.bond_padding_mask], dim=1)
        for layer in self.layers:
            atoms = layer(atoms, bonds, source, target, padding)
        atoms = self.atom_norm(atoms).masked_fill(graphs.atom_padding_mask.unsqueeze(-1), 0.0)
        return atoms, bonds, source, target, padding


def _columns(inside: Tensor, index: Tensor) -> Tensor:
    """Return ``inside[m, :, index[m, i]]`` for inside (M, F, A) and index (M, I)."""
    return inside.gather(2, index.unsqueeze(1).expand(-1, inside.shape[1], -1))


class ContextEncoder(nn.Module):
    """Network from conditions (B, C) to the vector (B, R) that weighs fragments."""

    def __init__(self, n_features: int, d_hidden: int, rank: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_features, d_hidden),
            nn.GELU(),
            nn.Linear(d_hidden, d_hidden),
            nn.GELU(),
            nn.Linear(d_hidden, rank - 1),
        )

    def forward(self, context: Tensor) -> Tensor:
        weights: Tensor = self.net(context)
        # A constant last entry: the part that does not depend on the conditions.
        return torch.cat([weights, weights.new_ones(len(weights), 1)], dim=-1)
