"""Interfaces of trainable modules and training data, and checks of them."""

from __future__ import annotations

from typing import Any, Protocol

import lightning

from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.errors import ConfigError
from team5.models.model import Team5Model


class TrainableModule(Protocol):
    """A ``LightningModule`` around a ``Team5Model``.

    :class:`~team5.models.lightning_module.Team5LightningModule` is one, and so is any class
    derived from it. To be exported it must also implement
    :class:`~team5.callbacks.checkpoint_export.Exportable`.

    Attributes
    ----------
    model : Team5Model
        The model to train; its tokenizer cuts the structures of the data.
    """

    model: Team5Model

    def take_weights(self, weights: dict[str, Any], source: str) -> None:
        """Start from the weights of a version."""


class TrainableData(Protocol):
    """A ``LightningDataModule`` whose loaders yield :class:`~team5.data.collate.Batch` objects.

    ``pretraining=`` also needs its method ``structures(n)``, which returns n SMILES.
    :class:`~team5.data.datamodule.SpectrumDataModule` is one, and so is any class derived from it.

    Attributes
    ----------
    tokenizer : MoleculeTokenizer
        Set to the model's before ``prepare_data``.
    facts : dict
        Facts about the data for config.json and the model card, set by ``setup``.
    is_computed : bool
        Whether the spectra are computed, not measured; then the version never becomes latest.
    """

    tokenizer: MoleculeTokenizer
    facts: dict[str, Any]
    is_computed: bool


def check_module(module: object) -> None:
    """Refuse an object that cannot be trained.

    Raises
    ------
    ConfigError
        Naming all that is missing.
    """
    _check("model", module, lightning.LightningModule, _MODULE, "TrainableModule")


def check_data(data: object) -> None:
    """Refuse an object that cannot be trained on.

    Raises
    ------
    ConfigError
        Naming all that is missing.
    """
    _check("data", data, lightning.LightningDataModule, _DATA, "TrainableData")


_MODULE = ("model", "take_weights")
_DATA = ("tokenizer", "facts", "is_computed")


def _check(key: str, given: object, kind: type, members: tuple[str, ...], listed: str) -> None:
    name = f"{type(given).__module__}.{type(given).__qualname__}"
    if not isinstance(given, kind):
        raise ConfigError(f"{key}._target_: {name} is no {kind.__name__} of Lightning.")
    missing = [member for member in members if not hasattr(given, member)]
    if missing:
        raise ConfigError(
            f"{key}._target_: {name} lacks {', '.join(missing)}; see {listed} in "
            "team5/training/interfaces.py. A class derived from team5's own has them."
        )
