"""Results of a validation, gathered from all processes in the order of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from team5.chemistry.molecule import Molecule
from team5.data.collate import Batch
from team5.data.dataset import TARGET
from team5.evaluation.confidence import CandidateList
from team5.models.head_fit import ScoredPairs, scored_pairs
from team5.models.losses import peak_likelihood_loss
from team5.models.model import Scores

T = TypeVar("T")


@dataclass(frozen=True)
class JudgedPairs:
    """Scores of one item of the pairs; tensors on the CPU.

    Attributes
    ----------
    loss : float
        Mean over the pairs with the true structure.
    n_targets : int
        Number of these pairs.
    pairs : ScoredPairs
        Their groups are indices into ``structures``.
    structures : tuple of str
        SMILES of each spectrum's true structure.
    """

    loss: float
    n_targets: int
    pairs: ScoredPairs
    structures: tuple[str, ...]


@dataclass(frozen=True)
class JudgedRanking:
    """Scores of one ranking; tensors on the CPU.

    Attributes
    ----------
    probabilities, is_target : (N,)
        Of its candidates.
    candidates : CandidateList
        Its structure is the SMILES of the spectrum's true one.
    is_wrong : bool
    """

    probabilities: Tensor
    is_target: Tensor
    candidates: CandidateList
    is_wrong: bool


def judge_pairs(batch: Batch, scores: Scores) -> JudgedPairs:
    """Return the result of a batch from `PairDataset`."""
    targets = batch.labels == TARGET
    loss = peak_likelihood_loss(scores.log_p[targets], batch.weights[targets])
    structures = tuple(_smiles(batch, int(row)) for row in targets.nonzero())
    pairs = scored_pairs(batch, scores, range(len(structures))).to("cpu")
    return JudgedPairs(float(loss), int(targets.sum()), pairs, structures)


def judge_ranking(batch: Batch, scores: Scores) -> JudgedRanking:
    """Return the result of one query of `QueryDataset`."""
    best, truth = int(scores.score.argmax()), int(batch.labels.argmax())
    return JudgedRanking(
        # torchmetrics counts candidates with negative scores as not retrieved.
        scores.score.softmax(dim=0).cpu(),
        (batch.labels > 0).cpu(),
        CandidateList(
            scores.score.double().cpu().numpy(),
            len({molecule.formula for molecule in _molecules(batch)}) == 1,
            truth,
            _smiles(batch, truth),
        ),
        best != truth,
    )


def gathered(local: Mapping[int, T]) -> list[T]:
    """Return the items of all processes in the order of their keys, each key once.

    Every process has to call it, and gets the same result.
    """
    merged = dict(local)
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
        groups = torch.tensor([numbers.setdefault(s, len(numbers)) for s in item.structures])
        parts.append(replace(item.pairs, groups=groups[item.pairs.groups]))
    return ScoredPairs.join(parts)


def _molecules(batch: Batch) -> list[Molecule]:
    return [batch.molecules.tokens[int(index)].molecule for index in batch.molecule_index]


def _smiles(batch: Batch, row: int) -> str:
    """Return the structure of a row."""
    return batch.molecules.tokens[int(batch.molecule_index[row])].molecule.smiles
