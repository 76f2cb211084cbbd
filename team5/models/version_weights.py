"""Check that a version's weights are plausible for a trained model and match its sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from team5.errors import CheckpointError
from team5.registry.export import StoredVersion

# Far above any trained weight (at most 20 in v0.2), and far below where sums overflow.
_MAX_WEIGHT = 1e4
_MIN_SCALE = 1e-6
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_LAYERS, _BLOCKS = "molecule_encoder.layers.", "molecule_encoder.blocks."


def check_weights(stored: StoredVersion) -> None:
    """Check the weights of a version against its sizes, before a model is built.

    Raises
    ------
    CheckpointError
        Naming weights that are not floating point, not finite or larger than any trained ones,
        and sizes that contradict the weights.
    """
    faults = [*_faulty_numbers(stored.weights), *_faulty_sizes(stored.config, stored.weights)]
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" * (len(faults) > 5))
        raise CheckpointError(
            f"{stored.folder}/model.safetensors: {shown}. "
            "Take the version from where it was exported again, or use another."
        )


def _faulty_numbers(weights: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in weights.items():
        if tensor.dtype not in _FLOATS:
            yield f"{name} is of {tensor.dtype}, not floating point"
            continue
        values = tensor.flatten().float()
        # One pass, that NaN and infinity do not get through.
        if float(values.dot(values)) <= _MAX_WEIGHT**2 and not name.endswith(".scale"):
            continue
        head, _, part = name.rpartition(".")
        if head.endswith("_head") and part in ("low", "high"):  # infinite until it is fitted
            values = values[~values.isinf()]
        if not (values.abs() <= _MAX_WEIGHT).all():
            yield f"{name} is not finite, or beyond {_MAX_WEIGHT:g}"
        elif part == "scale" and not (values >= _MIN_SCALE).all():
            yield f"{name} is below {_MIN_SCALE:g}"


def _faulty_sizes(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Iterator[str]:
    sizes = config.get("model")
    if sizes is None:
        return
    none, hidden = (
        tuple(weights[name].shape) if name in weights and weights[name].ndim == 2 else (0, 0)
        for name in ("fragment_head.none.weight", "molecule_encoder.first.up.weight")
    )
    of_weights = {"rank": none[0], "d_model": none[1]}
    if config.get("encoder") is None:
        of_weights |= {
            "d_hidden": hidden[0],
            "n_layers": len({n.split(".")[2] for n in weights if n.startswith(_LAYERS)}),
            "n_blocks": 1 + len({n.split(".")[2] for n in weights if n.startswith(_BLOCKS)}),
        }
    for name, size in of_weights.items():
        if sizes.get(name) != size:
            yield f"config.json says {name} {sizes.get(name)}, the weights {size}"
