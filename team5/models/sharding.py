"""Weights that several processes divide between them (FSDP): shard, average, make whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from team5.models.model import Team5Model

Average = Callable[[Any, Any, Any], None]


def shard(model: Team5Model, mesh: DeviceMesh) -> None:
    """Divide a model's weights, but for the heads: a few numbers, fitted whole in each process."""
    for part in (model.molecule_encoder, model.context_encoder, model.fragment_head):
        # Averaging needs all weights divided alike at any moment between steps.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    # Weights are put together for these only where it is said.
    for method in ("weights", "none_logits"):
        register_fsdp_forward_method(model.fragment_head, method)


def moving_average(decay: float) -> Average:
    """Return torch's exponential moving average, for weights of which only some are divided."""
    update = get_ema_multi_avg_fn(decay)

    def average(averaged: Any, current: Any, n_averaged: Any) -> None:
        for is_divided in (False, True):
            chosen = [i for i, t in enumerate(averaged) if isinstance(t, DTensor) == is_divided]
            if chosen:
                update([averaged[i] for i in chosen], [current[i] for i in chosen], n_averaged)

    return average


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor on the CPU; every process has to call it, in the same order."""
    gathered = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return gathered.detach().cpu().contiguous()
