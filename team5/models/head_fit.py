"""Fit of the match heads on validation pairs, and their cross-fitted probabilities."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from team5.data.collate import Batch
from team5.data.dataset import DECOY, ISOMER_OF_DECOY, ISOMER_OF_TARGET, REFERENCE, TARGET
from team5.models.heads import MIN_REFERENCES, LogisticHead, reference_features
from team5.models.model import Scores

_N_FOLDS = 5


@dataclass(frozen=True)
class ScoredPairs:
    """N validation pairs of a spectrum and its true structure or a decoy.

    Attributes
    ----------
    features : (N, len(MATCH_FEATURES))
    scores, labels : (N,)
    groups : (N,) long
        True structure of the spectrum, also for pairs with a decoy.
    isomers, references : (N, R)
        Scores of the structure's generated isomers, and of other molecules of its mass; NaN where
        there are fewer.
    """

    features: Tensor
    scores: Tensor
    labels: Tensor
    groups: Tensor
    isomers: Tensor
    references: Tensor

    @classmethod
    def join(cls, parts: Sequence[ScoredPairs]) -> ScoredPairs:
        def padded(tensors: Sequence[Tensor]) -> Tensor:
            if tensors[0].ndim == 1:
                return torch.cat(list(tensors))
            width = max(1, *(t.shape[1] for t in tensors))
            return torch.cat(
                [nn.functional.pad(t, (0, width - t.shape[1]), value=torch.nan) for t in tensors]
            )

        names = [field.name for field in fields(cls)]
        return cls(*(padded([getattr(part, name) for part in parts]) for name in names))

    def __getitem__(self, rows: Tensor) -> ScoredPairs:
        return ScoredPairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device | str) -> ScoredPairs:
        return ScoredPairs(*(getattr(self, field.name).to(device) for field in fields(self)))


def scored_pairs(batch: Batch, scores: Scores, structures: Sequence[int]) -> ScoredPairs:
    """Return the pairs of a batch from `PairDataset`: for each spectrum the target, then the decoy.

    Parameters
    ----------
    structures : sequence of int
        Number of each spectrum's true structure, in the order of the rows labelled as target.
    """

    def rows(label: int, spectrum: Tensor) -> Tensor:
        chosen = (batch.labels == label) & (batch.spectrum_index == spectrum)
        return chosen.nonzero().squeeze(1)

    score = scores.score.float()
    pairs = []
    for structure, spectrum in zip(
        structures, batch.spectrum_index[batch.labels == TARGET], strict=True
    ):
        references = score[rows(REFERENCE, spectrum)].unsqueeze(0)
        for label, isomer in ((TARGET, ISOMER_OF_TARGET), (DECOY, ISOMER_OF_DECOY)):
            judged = rows(label, spectrum)
            pairs.append(
                ScoredPairs(
                    scores.features[judged].float(),
                    score[judged],
                    (batch.labels[judged] == TARGET).float(),
                    torch.tensor([structure], device=score.device),
                    score[rows(isomer, spectrum)].unsqueeze(0),
                    references,
                )
            )
    return ScoredPairs.join(pairs)


def fit_heads(
    priors: nn.ModuleDict, pairs: ScoredPairs, *, ridge: float
) -> dict[str, LogisticHead]:
    """Return heads fitted from ``priors``: without references, with isomers, with other molecules.

    Heads without pairs, or with pairs of only one kind, are not changed.

    Raises
    ------
    ConfigError
        If there are no pairs of both kinds at all.
    """
    heads: dict[str, LogisticHead] = copy.deepcopy(dict(priors.items()))  # type: ignore[arg-type]
    heads["match_head"].fit(pairs.features, pairs.labels, ridge=ridge)
    logits = heads["match_head"](pairs.features, torch.zeros_like(pairs.labels))
    # Lists may be short or long: each pair is compared with the first few references and with all.
    widths = {MIN_REFERENCES, 2 * MIN_REFERENCES, pairs.references.shape[1]}
    for name, views in (
        ("isomer_head", [(1, pairs.isomers)]),
        (
            "candidate_head",
            [(max(n, MIN_REFERENCES), pairs.references[:, :n]) for n in sorted(widths)],
        ),
    ):
        features, labels = [], []
        for at_least, references in views:
            enough = _n_there(references) >= at_least
            x = reference_features(logits, pairs.scores, references)
            features.append(x[enough])
            labels.append(pairs.labels[enough])
        y = torch.cat(labels)
        if len(y) and y.min() != y.max():
            heads[name].fit(torch.cat(features), y, ridge=ridge)
    return heads


def cross_fitted(
    priors: nn.ModuleDict, pairs: ScoredPairs, *, ridge: float
) -> tuple[Tensor, Tensor]:
    """Return match probabilities (N,), each from heads that have not seen its structure.

    The first use the structure's isomers as references, if there are any; the second
    other molecules of its mass, NaN if these are too few.
    """
    n_groups = int(pairs.groups.max()) + 1
    fold = torch.div(pairs.groups * _N_FOLDS, n_groups, rounding_mode="floor")
    alone = torch.empty_like(pairs.labels)
    with_references = torch.full_like(pairs.labels, torch.nan)
    for k in range(_N_FOLDS):
        held_out = fold == k
        if not held_out.any():
            continue
        heads = fit_heads(priors, pairs[~held_out], ridge=ridge)
        judged = pairs[held_out]
        zero = torch.zeros_like(judged.labels)
        logits = heads["match_head"](judged.features, zero)
        for name, references, at_least, otherwise, into in (
            ("isomer_head", judged.isomers, 1, logits, alone),
            ("candidate_head", judged.references, MIN_REFERENCES, torch.nan, with_references),
        ):
            head = heads[name]
            x = reference_features(logits, judged.scores, references)
            enough = (_n_there(references) >= at_least) & head.is_fitted
            into[held_out] = torch.where(enough, head(x, zero), otherwise).sigmoid()
    return alone, with_references


def _n_there(references: Tensor) -> Tensor:
    return (~references.isnan()).sum(dim=1)
