"""What a validation has seen, gathered from all processes in the order of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from team5.data.collate import Batch
from team5.data.dataset import TARGET
from team5.evaluation.selective import ranking_confidence
from team5.models.head_fit import ScoredPairs, scored_pairs
from team5.models.losses import peak_likelihood_loss
from team5.models.model import Scores

T = TypeVar("T")


@dataclass(frozen=True)
class JudgedPairs:
    """One item of the loader of pairs, as judged; tensors on the CPU.

    Attributes
    ----------
    loss : float
        Mean over its own structures.
    n_own : int
    pairs : ScoredPairs
        With groups that are places in ``structures``.
    structures : tuple of str
        SMILES of each spectrum's own structure.
    """

    loss: float
    n_own: int
    pairs: ScoredPairs
    structures: tuple[str, ...]


@dataclass(frozen=True)
class JudgedRanking:
    """One item of the loader of rankings, as judged; tensors on the CPU.

    Attributes
    ----------
    probabilities, is_own : (N,)
        Of its candidates.
    confidence : float
    is_wrong : bool
    structure : str
        SMILES of the spectrum's own structure.
    """

    probabilities: Tensor
    is_own: Tensor
    confidence: float
    is_wrong: bool
    structure: str


def judge_pairs(batch: Batch, scores: Scores) -> JudgedPairs:
    """Return what is kept of a batch from `PairDataset`."""
    own = batch.labels == TARGET
    loss = peak_likelihood_loss(scores.log_p[own], batch.weights[own])
    structures = tuple(_smiles(batch, int(row)) for row in own.nonzero())
    pairs = scored_pairs(batch, scores, range(len(structures))).to("cpu")
    return JudgedPairs(float(loss), int(own.sum()), pairs, structures)


def judge_ranking(batch: Batch, scores: Scores) -> JudgedRanking:
    """Return what is kept of one query of `QueryDataset`."""
    best, truth = int(scores.score.argmax()), int(batch.labels.argmax())
    return JudgedRanking(
        # torchmetrics counts candidates with negative scores as not retrieved.
        scores.score.softmax(dim=0).cpu(),
        (batch.labels > 0).cpu(),
        ranking_confidence(scores.score.float().cpu().numpy()),
        best != truth,
        _smiles(batch, truth),
    )


def gathered(own: Mapping[int, T]) -> list[T]:
    """Return what all processes hold, in the order of the keys; what several hold counts once.

    Every process has to call it, and gets the same.
    """
    merged = dict(own)
    if distributed.is_available() and distributed.is_initialized():
        parts: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(parts, merged)
        for part in parts:
            merged.update(part)
    return [merged[key] for key in sorted(merged)]


def joined(judged: list[JudgedPairs], numbers: dict[str, int]) -> ScoredPairs:
    """Return all pairs, their groups numbered by structure: ``numbers``, which is filled here."""
    parts = []
    for item in judged:
        own = [numbers.setdefault(smiles, len(numbers)) for smiles in item.structures]
        parts.append(replace(item.pairs, groups=torch.tensor(own)[item.pairs.groups]))
    return ScoredPairs.join(parts)


def _smiles(batch: Batch, row: int) -> str:
    """Return the structure of a row."""
    tokens = batch.molecules.tokens[int(batch.molecule_index[row])]
    return tokens.molecule.smiles
