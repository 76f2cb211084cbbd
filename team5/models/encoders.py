"""MoleculeEncoder: atoms, bonds and fragments to vectors; ContextEncoder: the conditions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from team5.chemistry.tokenizer import (
    ATOM_VOCABULARY,
    BOND_VOCABULARY,
    FRAGMENT_FEATURES,
    MoleculeBatch,
)
from team5.models.layers import MessagePassing, ResidualBlock, gather_rows


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


class MoleculeEncoder(nn.Module):
    """Vectors of fragments from the atoms they keep, the bonds that were cut, and counts.

    Returns fragments (M, F, D) and the molecule (M, D).
    """

    def __init__(self, d_model: int, d_hidden: int, n_layers: int, n_blocks: int, dropout: float):
        super().__init__()
        self.atom_embedding = TokenEmbedding(ATOM_VOCABULARY, d_model)
        self.bond_embedding = TokenEmbedding(BOND_VOCABULARY, d_model)
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

    def forward(self, batch: MoleculeBatch) -> tuple[Tensor, Tensor]:
        atoms = self.atom_embedding(batch.atoms)
        bonds = self.bond_embedding(batch.bonds)
        # Each bond in both directions.
        source = torch.cat([batch.bond_ends[..., 0], batch.bond_ends[..., 1]], dim=1)
        target = torch.cat([batch.bond_ends[..., 1], batch.bond_ends[..., 0]], dim=1)
        directed = torch.cat([bonds, bonds], dim=1)
        bond_padding = torch.cat([batch.bond_padding_mask, batch.bond_padding_mask], dim=1)
        for layer in self.layers:
            atoms = layer(atoms, directed, source, target, bond_padding)
        atoms = self.atom_norm(atoms).masked_fill(batch.atom_padding_mask.unsqueeze(-1), 0.0)
        n_atoms = (~batch.atom_padding_mask).sum(dim=1, keepdim=True)
        molecule: Tensor = self.molecule(atoms.sum(dim=1) / n_atoms)

        inside = batch.inside
        n_kept = inside.sum(dim=-1, keepdim=True).clamp(min=1)
        # A cut bond as seen from its kept end: one vector for a bond and a direction.
        cut = self.cut(
            nn.functional.gelu(
                gather_rows(self.cut_kept_end(atoms), source)
                + gather_rows(self.cut_lost_end(atoms), target)
                + self.cut_bond(directed)
            )
        ).masked_fill(bond_padding.unsqueeze(-1), 0.0)
        is_cut = _columns(inside, source) * (1 - _columns(inside, target))
        fragments = (
            torch.bmm(inside / n_kept, self.kept_mean(atoms))
            + torch.bmm(inside / 8, self.kept_sum(atoms))
            + torch.bmm(is_cut, cut)
            + self.features(batch.fragment_features)
            + molecule.unsqueeze(1)
        )
        fragments = self.first(fragments)
        # What a fragment was cut from competes with it and says how it came about.
        fragments = fragments + gather_rows(self.parent(fragments), batch.fragment_parents)
        for block in self.blocks:
            fragments = block(fragments)
        return self.norm(fragments), molecule


def _columns(inside: Tensor, index: Tensor) -> Tensor:
    """Return ``inside[m, :, index[m, i]]`` for inside (M, F, A) and index (M, I)."""
    return inside.gather(2, index.unsqueeze(1).expand(-1, inside.shape[1], -1))


class ContextEncoder(nn.Module):
    """Conditions (B, C) to the vector (B, R) that fragments are weighed with."""

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
        return torch.cat([weights, torch.ones_like(weights[:, :1])], dim=-1)
