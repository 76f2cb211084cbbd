"""Building blocks: linear layers, residual blocks and message passing on padded graphs."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

# torch passes float32 products to MKL, which leaves half of the vector unit of AMD processors
# idle; oneDNN, which torch also contains, does not. The values are the same.
_HAS_ONEDNN = torch.backends.mkldnn.is_available()
_ROW_STEP = 64
_ROWS_AT_ONCE = 1024


class Linear(nn.Linear):
    """``nn.Linear`` that is faster on CPUs without gradients.

    There, the output of a row is bitwise independent of the other rows.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not _is_quick(x):
            return super().forward(x)
        return _product(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """Return ``gelu(self(x))``."""
        if not _is_quick(x):
            return nn.functional.gelu(super().forward(x))
        return _product(x, self.weight, self.bias, "gelu")

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Return ``other + self(x)``."""
        n_rows = x.numel() // x.shape[-1]
        if not _is_quick(x) or n_rows % _ROW_STEP:
            return other + self(x)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self.weight, self.bias, "add"
        )
        return total


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` over the last dimension that is faster on CPUs without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        if not _is_quick(x):
            return super().forward(x)
        x = x.contiguous()
        normed = torch.empty_like(x)
        _normalise(
            x.view(-1, x.shape[-1]).numpy(),
            self.weight.numpy(),
            self.bias.numpy(),
            self.eps,
            normed.view(-1, x.shape[-1]).numpy(),
        )
        return normed


# Sums may be taken in any order, several at a time.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _normalise(x, weight, bias, eps, out):  # type: ignore[no-untyped-def]
    n, d = x.shape
    for r in range(n):
        total, squares = np.float32(0), np.float32(0)
        for i in range(d):
            total += x[r, i]
        mean = total / np.float32(d)
        for i in range(d):
            squares += (x[r, i] - mean) * (x[r, i] - mean)
        scale = np.float32(1) / np.sqrt(squares / np.float32(d) + np.float32(eps))
        for i in range(d):
            out[r, i] = (x[r, i] - mean) * scale * weight[i] + bias[i]


def padded_length(n: int, step: int = _ROW_STEP) -> int:
    """Return the number of rows to pad n to, so that many products share a shape.

    oneDNN compiles each shape of a product, which takes longer than a product of this
    size. The result of a row does not depend on padding rows.
    """
    return -(-n // step) * step


def matmul(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight + bias`` for x (M, F, I) and weight (M, I, D); bias (M, D)."""
    if len(x) == 1 and _is_quick(x):
        first_bias = None if bias is None else bias[0]
        return _product(x[0], weight[0].t(), first_bias).unsqueeze(0)
    if bias is None:
        return torch.bmm(x, weight)
    return torch.baddbmm(bias.unsqueeze(1), x, weight)


def _is_quick(x: Tensor) -> bool:
    return (
        _HAS_ONEDNN
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, then: str = "none") -> Tensor:
    rows = x.reshape(-1, x.shape[-1])
    algorithm = "none" if then == "gelu" else ""
    products = [
        torch.ops.mkldnn._linear_pointwise(_padded(part), weight, bias, then, [], algorithm)
        for part in rows.split(_ROWS_AT_ONCE)
    ]
    product = products[0] if len(products) == 1 else torch.cat(products)
    return product[: len(rows)].view(*x.shape[:-1], -1)


def _padded(rows: Tensor) -> Tensor:
    """Return rows with zeros below, so that they have one of few shapes.

    At least two: a single row is multiplied by another kernel, and is rounded differently.
    """
    n = len(rows)
    filling = padded_length(n, min(_ROW_STEP, max(2, 1 << (n - 1).bit_length() >> 2))) - n
    return torch.cat([rows, rows.new_zeros(filling, rows.shape[1])]) if filling else rows


class ResidualBlock(nn.Module):
    """``x + W2 gelu(W1 norm(x))`` on the last dimension of (M, F, D).

    Dropout drops hidden channels for all F rows of a molecule at once, which also needs
    F times fewer random numbers.
    """

    def __init__(self, d_model: int, d_hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = LayerNorm(d_model)
        self.up = Linear(d_model, d_hidden)
        self.down = Linear(d_hidden, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up.gelu(self.norm(x))
        if self.training:
            hidden = hidden * self.dropout(hidden.new_ones(len(hidden), 1, hidden.shape[-1]))
        return self.down.added_to(x, hidden)


class MessagePassing(nn.Module):
    """One residual step: each atom takes the sum of messages over its bonds.

    Shapes: atoms (M, A, D), bonds (M, E, D), and in both directions, ends (M, 2E) long and padding
    (M, 2E) bool.
    """

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.norm = LayerNorm(d_model)
        self.source = Linear(d_model, d_model)
        self.target = Linear(d_model, d_model, bias=False)
        self.bond = Linear(d_model, d_model, bias=False)
        self.update = nn.Sequential(
            Linear(2 * d_model, 2 * d_model),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(2 * d_model, d_model),
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
