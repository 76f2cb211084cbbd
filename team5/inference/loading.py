"""LoadedModel, load_model and load_tokenizer: a version from disk, ready to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.errors import DeviceError
from team5.evaluation.confidence import ListConfidence
from team5.inference.encodings import EncodingCache
from team5.inference.familiarity import seen_by, seen_with_parents
from team5.inference.selective import Calibration
from team5.models.model import Team5Model
from team5.models.version_weights import check_weights
from team5.registry.allowed import check_allow
from team5.registry.export import read_version
from team5.registry.roots import find_checkpoints
from team5.runtime.html import render


class LoadedModel(Team5Model):
    """A version's model, in eval mode on its device; safe to call from several threads.

    Attributes
    ----------
    version : str
    version_hash : str
        Short checksum of the version's configuration and weights.
    calibration : mapping or None
        Confidence of the version's validation answers and which were wrong, by question; None
        for versions that do not store it.
    confidence : ListConfidence or None
        How scores of a list become probabilities; None for versions without.
    coverages : sequence of mapping
        What it has seen in training, then what the versions it was trained from have.
    encodings : EncodingCache
        Of structures seen before.
    """

    version = ""
    version_hash = ""
    calibration: Calibration | None = None
    confidence: ListConfidence | None = None
    coverages: Sequence[Mapping[str, Any]] = (seen_by(None),)

    @cached_property
    def encodings(self) -> EncodingCache:
        return EncodingCache()

    @property
    def threshold(self) -> float:
        """Match probability from which on the label is positive."""
        return float(self.match_head.threshold)

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def __repr__(self) -> str:
        name = f"{self.version} ({self.version_hash})" if self.version else "no version"
        return f"{type(self).__name__}: {name}, {self.n_parameters:,} parameters, {self.device}"

    def _repr_html_(self) -> str:
        values = {
            "version": f"{self.version} ({self.version_hash})",
            "parameters": f"{self.n_parameters:,}",
            "device": str(self.device),
            "match from": f"probability {self.threshold:.3f}",
            "withholds on request": "yes" if self.calibration else "no",
        }
        title = f"team5 {self.version}"
        return render("facts_card.html", title=title, drawings=[], values=values, notes=[])


def load_model(
    version: str | None = None,
    *,
    device: str = "auto",
    root: str | Path | None = None,
    verify: bool = True,
    allow: Sequence[str] = (),
) -> LoadedModel:
    """Load a version for inference.

    Parameters
    ----------
    version : str, optional
        ``v0.2``; the tracker's latest by default.
    device : str
        ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    root : path, optional
        The folder of versions; by default where `find_checkpoints` finds them.
    verify : bool
        Compare the checksums of the version's files before anything is built from them.
    allow : sequence of str
        Encoders outside team5 that may be imported, ``my_lab.encoder.MyEncoder``. A version that
        names another one is refused, and nothing of that is imported.

    Raises
    ------
    VersionError
        If there is no such version; lists those there are.
    ConfigError
        If the version has an encoder that is not allowed, or not there.
    CheckpointError
        If a file is damaged or missing, a weight is no finite number, or they do not fit the
        config.
    DeviceError
        If the device is not on this machine.
    """
    place = parse_device(device)
    stored = read_version(find_checkpoints(root, version), version, verify=verify)
    check_weights(stored)
    model = LoadedModel.from_config(stored.config, check_allow(allow))
    model.load_weights(stored.weights, f"{stored.folder}/model.safetensors")
    model.version, model.version_hash = stored.version, stored.version_hash
    model.calibration = stored.config.get("calibration")
    model.coverages = seen_with_parents(stored.config)
    model.confidence = ListConfidence.from_config(stored.config.get("confidence"))
    model.requires_grad_(False)
    model.to(place).eval()
    return model


def load_tokenizer(
    version: str | None = None, *, root: str | Path | None = None, verify: bool = True
) -> MoleculeTokenizer:
    """Load a version's tokenizer; ``load_model(...).tokenizer`` is the same."""
    stored = read_version(find_checkpoints(root, version), version, verify=verify)
    return MoleculeTokenizer.from_config(stored.config.get("tokenizer") or {})


def parse_device(device: str) -> torch.device:
    """Return the device of a name; one that is absent is an error, never replaced.

    Raises
    ------
    DeviceError
    """
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    if device == "auto":
        return torch.device(there[1] if len(there) > 1 else "cpu")
    name = "cuda:0" if device == "cuda" else device
    if name not in there:
        raise DeviceError(
            f"device {device!r} is not on this machine. There is: {', '.join(there)}; "
            "device=auto takes the best of them."
        )
    return torch.device(name)
