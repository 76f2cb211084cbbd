"""Building blocks: linear layers, residual blocks and message passing on padded graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """``x + W2 gelu(W1 norm(x))`` on the last dimension of (M, F, D).

    Dropout drops hidden channels for all F rows of a molecule at once, which also needs
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
        added: Tensor = x + self.down(hidden)
        return added


class MessagePassing(nn.Module):
    """One residual step: each atom takes the sum of messages over its bonds.

    Shapes: atoms (M, A, D), bonds (M, E, D), and in both directions, ends (M, 2E) long and padding
    (M, 2E) bool.
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
        bond = self.bond(bonds)
        messages = nn.functional.gelu(
            gather_rows(self.source(normed), source)
            + gather_rows(self.target(normed), target)
            + torch.cat([bond, bond], dim=1)
        )
        messages = messages.masked_fill(padding.unsqueeze(-1), 0.0)
        received = torch.zeros_like(normed).flatten(0, 1)
        received = received.index_add(
            0, _flat(target, atoms.shape[1]), messages.flatten(0, 1).to(normed.dtype)
        )
        update: Tensor = self.update(torch.cat([normed, received.view_as(normed)], dim=-1))
        return atoms + update


def gather_rows(rows: Tensor, index: Tensor) -> Tensor:
    """Return ``rows[m, index[m, i]]`` for rows (M, A, D) and index (M, I)."""
    m, a, d = rows.shape
    return rows.reshape(m * a, d).index_select(0, _flat(index, a)).view(m, -1, d)


def _flat(index: Tensor, n: int) -> Tensor:
    """Return ``index`` (M, I) into M times n rows flattened to one list."""
    starts = torch.arange(0, len(index) * n, n, device=index.device)
    return (index + starts.unsqueeze(1)).view(-1)
