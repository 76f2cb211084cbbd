"""Building blocks: residual blocks and message passing on padded graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """``x + W2 gelu(W1 norm(x))`` on the last dimension of (M, F, D).

    Dropout leaves out hidden channels for all F rows of a molecule at once, which also costs
    F times fewer random numbers.
    """

    def __init__(self, d_model: int, d_hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, d_hidden)
        self.down = nn.Linear(d_hidden, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.up(self.norm(x)))
        if self.training:
            hidden = hidden * self.dropout(hidden.new_ones(len(hidden), 1, hidden.shape[-1]))
        update: Tensor = self.down(hidden)
        return x + update


class MessagePassing(nn.Module):
    """One residual step: each atom takes the sum of messages over its bonds.

    Shapes: atoms (M, A, D), directed bonds (M, 2E, D), ends (M, 2E) long, padding (M, 2E) bool.
    """

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.source = nn.Linear(d_model, d_model)
        self.target = nn.Linear(d_model, d_model, bias=False)
        self.bond = nn.Linear(d_model, d_model, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * d_model, 2 * d_model),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * d_model, d_model),
        )

    def forward(
        self, atoms: Tensor, bonds: Tensor, source: Tensor, target: Tensor, padding: Tensor
    ) -> Tensor:
        normed = self.norm(atoms)
        messages = nn.functional.gelu(
            gather_rows(self.source(normed), source)
            + gather_rows(self.target(normed), target)
            + self.bond(bonds)
        )
        messages = messages.masked_fill(padding.unsqueeze(-1), 0.0)
        index = target.unsqueeze(-1).expand_as(messages)
        received = torch.zeros_like(normed).scatter_add(1, index, messages.to(normed.dtype))
        update: Tensor = self.update(torch.cat([normed, received], dim=-1))
        return atoms + update


def gather_rows(rows: Tensor, index: Tensor) -> Tensor:
    """Return ``rows[m, index[m, i]]`` for rows (M, A, D) and index (M, I)."""
    return rows.gather(1, index.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))
