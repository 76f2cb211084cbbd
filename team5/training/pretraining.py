"""Pretraining of the atom layers on computed properties of structures, before any spectrum.

A few thousand compounds have spectra, and over a million have none. What their structures alone can
teach is the chemistry around an atom: its charge, how basic or acidic its surroundings are, which
functional groups it is part of. The layers that pass messages between atoms learn to predict these;
all others stay as they are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from team5.chemistry.atom_properties import (
    PROPERTIES,
    atom_properties,
    functional_groups,
    group_members,
)
from team5.chemistry.molecule import parse_smiles
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig, pad_graphs
from team5.errors import ConfigError, MoleculeError
from team5.models.encoders import MoleculeEncoder
from team5.models.lightning_module import lr_share
from team5.runtime.progress import progress

Array = NDArray[Any]

_log = logging.getLogger(__name__)

_GROUP_WEIGHT = 10.0  # of an atom's groups in the loss, relative to its properties
_WARMUP_STEPS = 100
_FINAL_LR_SHARE = 0.02
_MAX_GRADIENT = 2.0
_UNCUT = MoleculeTokenizer(TokenizerConfig(max_depth=1, max_fragments=1))


@dataclass(frozen=True)
class Pretraining:
    """Settings; 40,000 structures in four epochs take some five minutes on a core."""

    structures: int = 40_000
    epochs: int = 4
    batch_size: int = 48
    lr: float = 0.001
    dropout: float = 0.05


@dataclass(frozen=True, slots=True)
class AtomTargets:
    """Tokens of a structure's atoms and bonds, and what is to be predicted of the atoms.

    Attributes
    ----------
    atoms, bonds, bond_ends : arrays
        As of ``MoleculeTokens``.
    properties : array of shape (A, len(PROPERTIES))
        NaN where there is none.
    groups : array of shape (A, G), bool
    """

    atoms: Array
    bonds: Array
    bond_ends: Array
    properties: Array
    groups: Array


def pretrain(
    encoder: MoleculeEncoder, structures: Sequence[str], settings: Pretraining, *, seed: int
) -> float:
    """Train the atom layers on structures, and return the mean loss of the last epoch.

    Parameters
    ----------
    encoder : MoleculeEncoder
        Changed in place.
    structures : sequence of str
        SMILES; those that are no usable structure are left out.
    seed : int
        Of the order of structures, of the layer that predicts, and of dropout.

    Raises
    ------
    ConfigError
        If the loss or its gradient becomes infinite or NaN.
    """
    with progress("Computing properties of atoms", len(structures), unit="structures") as bar:
        examples = []
        for smiles in structures:
            if (example := _example(smiles)) is not None:
                examples.append(example)
            bar.advance()
    _log.info(
        "Pretraining on %s of %s structures", f"{len(examples):,}", f"{settings.structures:,}"
    )
    # Neither dependent on what was drawn before nor a change to what is drawn afterwards.
    with torch.random.fork_rng(devices=[]), _dropout(encoder, settings.dropout):
        torch.manual_seed(seed)
        return _fit(encoder, examples, settings)


@contextmanager
def _dropout(encoder: MoleculeEncoder, probability: float) -> Iterator[None]:
    """Let the layers between atoms drop hidden units with another probability."""
    dropouts = [each for each in encoder.layers.modules() if isinstance(each, nn.Dropout)]
    before = [each.p for each in dropouts]
    for each in dropouts:
        each.p = probability
    yield
    for each, p in zip(dropouts, before, strict=True):
        each.p = p


def _fit(encoder: MoleculeEncoder, examples: Sequence[AtomTargets], settings: Pretraining) -> float:
    width = encoder.atom_norm.normalized_shape[0]
    head = nn.Linear(width, len(PROPERTIES) + len(functional_groups()))
    layers = (encoder.atom_embedding, encoder.bond_embedding, encoder.layers, encoder.atom_norm)
    parameters = [p for layer in (*layers, head) for p in layer.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings.lr, weight_decay=0.01)
    n_batches = math.ceil(len(examples) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: lr_share(step, settings.epochs * n_batches, _WARMUP_STEPS, _FINAL_LR_SHARE),
    )
    mean = 0.0
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        order = torch.randperm(len(examples)).split(settings.batch_size)
        title = f"Pretraining, epoch {epoch} of {settings.epochs}"
        with progress(title, len(order), unit="batches") as bar:
            for batch in order:
                loss = _loss(encoder, head, [examples[i] for i in batch.tolist()])
                optimizer.zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT)
                if not (loss + norm).isfinite():
                    raise ConfigError(
                        f"pretraining.lr={settings.lr:g}: the loss is no longer a finite number. "
                        f"Give a lower rate; {Pretraining.lr:g} is usual.",
                        argument="pretraining.lr",
                    )
                optimizer.step()
                schedule.step()
                total += loss.item()
                bar.advance()
        mean = total / n_batches
        _log.info("%s: loss %.4f", title, mean)
    optimizer.zero_grad()
    return mean


def _example(smiles: str) -> AtomTargets | None:
    try:
        molecule = parse_smiles(smiles)
        tokens = _UNCUT.encode(molecule)
    except MoleculeError:
        return None
    return AtomTargets(
        tokens.atoms,
        tokens.bonds,
        tokens.bond_ends,
        atom_properties(molecule.mol),
        group_members(molecule.mol),
    )


def _loss(encoder: MoleculeEncoder, head: nn.Linear, examples: Sequence[AtomTargets]) -> Tensor:
    graphs = pad_graphs(examples)
    atoms = encoder.pass_messages(graphs)[0][~graphs.atom_padding_mask]
    predicted, logits = head(atoms).tensor_split([len(PROPERTIES)], dim=1)
    properties = torch.from_numpy(np.concatenate([each.properties for each in examples]))
    groups = torch.from_numpy(np.concatenate([each.groups for each in examples])).float()
    known = ~properties.isnan()
    squares = (predicted[known] - properties[known]).square().mean()
    of_groups = nn.functional.binary_cross_entropy_with_logits(logits, groups)
    return squares + _GROUP_WEIGHT * of_groups
