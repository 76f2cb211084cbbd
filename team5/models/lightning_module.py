"""Team5LightningModule: loss, metrics, optimizer and weight averaging around the model."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC, BinaryF1Score
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR

from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.collate import Batch
from team5.data.preprocess import FIRST_RULE, ScoreRule
from team5.errors import ConfigError
from team5.evaluation.confidence import ListConfidence, fit_confidence
from team5.evaluation.selective import match_confidence, ranking_confidence, to_calibration
from team5.models.foreign_encoder import ForeignEncoder
from team5.models.head_fit import cross_fitted, fit_heads
from team5.models.heads import MatchHead, ReferenceHead
from team5.models.losses import contrastive_loss, peak_likelihood_loss, shuffled_loss
from team5.models.model import ModelConfig, Team5Model
from team5.models.validation import (
    JudgedPairs,
    JudgedRanking,
    gathered,
    joined,
    judge_pairs,
    judge_ranking,
)

OptimizerFactory = Callable[[Iterable[torch.nn.Parameter]], Optimizer]


# What validation logs; the last five only with references, or with rankings.
VAL_METRICS = (
    "val/loss",
    "val/accuracy",
    "val/f1_score",
    "val/auroc",
    "val/accuracy_references",
    "val/auroc_references",
    "val/mrr",
    "val/hit_rate@1",
    "val/hit_rate@5",
)


def lr_share(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
    """Return the learning rate of a step, relative to the highest: a rise, then a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(n_steps - warmup_steps, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return final_share + (1 - final_share) * cosine


class Team5LightningModule(lightning.LightningModule):
    """Training of a :class:`~team5.models.model.Team5Model` by the likelihood of measured peaks.

    The running average of the weights is validated and exported. The match probability is fitted on
    the validation pairs after each epoch; the accuracy, F1 and AUROC that are logged are
    cross-fitted by structure. Several processes share the validation and gather its results, so
    that each has the metrics of one.

    Parameters
    ----------
    network : ModelConfig
    tokenizer : TokenizerConfig
    optimizer : callable
        Creates the optimizer from parameters.
    warmup_steps : int
        Steps over which the learning rate rises, before it falls as a cosine.
    final_lr_share : float
        Learning rate at the end, as a share of the highest.
    averaging_decay : float
        Of the exponential moving average of weights, per step.
    match_ridge : float
        Strength of the pull of the match head's weights towards their former values.
    contrast_weight : float
        Weight of the contrast between true structure and decoys, added to the likelihood if the
        data have decoys.
    contrast_scale : float
        Scale of scores in that loss and the next.
    exchange_weight : float
        Weight of scoring all structures alike under shuffled peaks, if the data have such.
    score : ScoreRule, optional
        Weighting of peaks in loss and score; by default that of versions that store none.
    encoder : callable, optional
        Factory of a user's encoder of structures: a ``_target_`` with ``_partial_``, called with
        ``d_model``. See :class:`~team5.models.foreign_encoder.ForeignEncoder`.
    parent_share : float
        Share of the parent version's weights in those that are validated and exported, which
        retains more of what it had learned (Wortsman et al., arXiv 2109.01903).
    """

    def __init__(
        self,
        network: ModelConfig,
        tokenizer: TokenizerConfig,
        optimizer: OptimizerFactory,
        warmup_steps: int = 150,
        final_lr_share: float = 0.02,
        averaging_decay: float = 0.998,
        match_ridge: float = 1.0,
        contrast_weight: float = 1.0,
        contrast_scale: float = 4.0,
        exchange_weight: float = 1.0,
        parent_share: float = 0.0,
        score: ScoreRule = FIRST_RULE,
        encoder: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        foreign = None if encoder is None else ForeignEncoder.of(encoder)
        self.model = Team5Model(network, MoleculeTokenizer(tokenizer), foreign, score)
        self.averaged = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(averaging_decay)
        )
        self.averaged.requires_grad_(False)
        self.optimizer_factory = optimizer
        self.warmup_steps = warmup_steps
        self.final_lr_share = final_lr_share
        self.match_ridge = match_ridge
        self.contrast_weight = contrast_weight
        self.contrast_scale = contrast_scale
        self.exchange_weight = exchange_weight
        if not 0 <= parent_share < 1:
            raise ConfigError(f"model.parent_share={parent_share}: give 0 or more, below 1.")
        self.parent_share = parent_share
        self.parent: Team5Model | None = None
        self.mixed: Team5Model | None = None
        # Every fit starts from these: untrained heads, or those of the parent version.
        self.prior_heads = nn.ModuleDict(
            {
                "match_head": MatchHead(),
                "isomer_head": ReferenceHead(),
                "candidate_head": ReferenceHead(),
            }
        )

        # Results are gathered before; torchmetrics would count them once per process.
        self.val_loss = MeanMetric(sync_on_compute=False)
        self.val_accuracy = BinaryAccuracy(sync_on_compute=False)
        self.val_f1_score = BinaryF1Score(sync_on_compute=False)
        self.val_auroc = BinaryAUROC(sync_on_compute=False)
        self.val_accuracy_references = BinaryAccuracy(sync_on_compute=False)
        self.val_auroc_references = BinaryAUROC(sync_on_compute=False)
        self.val_mrr = RetrievalMRR(sync_on_compute=False)
        self.val_hit_rate_1 = RetrievalHitRate(top_k=1, sync_on_compute=False)
        self.val_hit_rate_5 = RetrievalHitRate(top_k=5, sync_on_compute=False)

    def take_weights(self, weights: dict[str, Tensor], source: str) -> None:
        """Start from the weights of a version."""
        self.model.load_weights(weights, source)
        self.averaged.module.load_state_dict(self.model.state_dict())
        for name, head in self.prior_heads.items():
            head.load_state_dict(getattr(self.model, name).state_dict())
        if self.parent_share > 0:
            self.parent = copy.deepcopy(self.model).requires_grad_(False)
            self.mixed = copy.deepcopy(self.parent)

    def forget_heads(self) -> None:
        """Refit the match heads: those of the parent version were fitted to another score."""
        for head in self.prior_heads.values():
            head.load_state_dict(type(head)().state_dict())

    @property
    def scored(self) -> Team5Model:
        """The model with averaged weights, which is validated and exported."""
        return self.mixed or self._averaged_model

    @property
    def _averaged_model(self) -> Team5Model:
        module = self.averaged.module
        assert isinstance(module, Team5Model)  # noqa: S101 - for the type checker
        return module

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        scores = self.model(batch)
        targets = batch.labels > 0
        loss = peak_likelihood_loss(scores.log_p[targets], batch.weights[targets])
        self.log("train/loss", loss, batch_size=int(targets.sum()), prog_bar=True)
        if targets.all():
            return loss
        contrast = contrastive_loss(
            scores.score, batch.labels, batch.spectrum_index, self.contrast_scale
        )
        self.log("train/contrast", contrast, batch_size=int(targets.sum()), prog_bar=True)
        loss = loss + self.contrast_weight * contrast
        shuffled = batch.labels < 0
        if shuffled.any():
            uneven = shuffled_loss(
                scores.score, batch.labels, batch.spectrum_index, self.contrast_scale
            )
            self.log("train/exchange", uneven, batch_size=int(shuffled.sum()))
            loss = loss + self.exchange_weight * uneven
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.averaged.update_parameters(self.model)

    def on_fit_start(self) -> None:
        if self.parent_share > 0 and self.parent is None:
            raise ConfigError(
                f"model.parent_share={self.parent_share} needs a parent. Give from_version=, or "
                "model.parent_share=0."
            )

    @torch.no_grad()
    def on_validation_epoch_start(self) -> None:
        if self.parent is not None and self.mixed is not None:
            weights = zip(
                self.mixed.parameters(),
                self._averaged_model.parameters(),
                self.parent.parameters(),
                strict=True,
            )
            for mixed, averaged, parent in weights:
                mixed.copy_(averaged.lerp(parent, self.parent_share))
        self._judged: dict[int, JudgedPairs] = {}
        self._ranked: dict[int, JudgedRanking] = {}
        self._answers: dict[str, list[tuple[float, bool, int]]] = {"match": [], "rank": []}
        self._confidence: ListConfidence | None = None

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        scores = self.scored.eval()(batch)
        item = self._item(batch_idx, dataloader_idx)
        if dataloader_idx == 0:
            self._judged[item] = judge_pairs(batch, scores)
        else:
            self._ranked[item] = judge_ranking(batch, scores)

    def _item(self, batch_idx: int, dataloader_idx: int) -> int:
        """Return the index of a batch's item; the processes take turns.

        The last ones may repeat the first items, so that all take equally many steps.
        """
        trainer = self.trainer
        n_items = len(cast(list[Any], trainer.val_dataloaders)[dataloader_idx].dataset)
        return (batch_idx * trainer.world_size + trainer.global_rank) % n_items

    def on_validation_epoch_end(self) -> None:
        judged, ranked = gathered(self._judged), gathered(self._ranked)
        numbers: dict[str, int] = {}
        pairs = joined(judged, numbers).to(self.device)
        for item in judged:
            self.val_loss.update(item.loss, weight=item.n_targets)
        for number, ranking in enumerate(ranked):
            probabilities = ranking.probabilities.to(self.device)
            index = torch.full_like(probabilities, number, dtype=torch.long)
            for retrieval in (self.val_mrr, self.val_hit_rate_1, self.val_hit_rate_5):
                retrieval.update(probabilities, ranking.is_target.to(self.device), indexes=index)
        lists = [r.candidates for r in ranked]
        self._confidence = fit_confidence(lists)
        self._answers["rank"] = [
            (
                ranking_confidence(each.scores),
                r.is_wrong,
                numbers.setdefault(each.structure, len(numbers)),
            )
            for r, each in zip(ranked, lists, strict=True)
        ]
        alone, with_references = cross_fitted(self.prior_heads, pairs, ridge=self.match_ridge)
        fitted = fit_heads(self.prior_heads, pairs, ridge=self.match_ridge)
        for name, head in fitted.items():
            for model in (self.scored, self.model):
                getattr(model, name).load_state_dict(head.state_dict())
        labels = pairs.labels.long()
        for metric in (self.val_accuracy, self.val_f1_score, self.val_auroc):
            metric.update(alone, labels)
        threshold = float(self.scored.match_head.threshold)
        self._answers["match"] = [
            (match_confidence(p), (p >= threshold) != bool(y), int(g))
            for p, y, g in zip(alone.tolist(), labels.tolist(), pairs.groups.tolist(), strict=True)
        ]
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log("val/accuracy", self.val_accuracy, prog_bar=True)
        self.log("val/f1_score", self.val_f1_score)
        self.log("val/auroc", self.val_auroc)
        compared = ~with_references.isnan()
        if compared.any():
            for metric in (self.val_accuracy_references, self.val_auroc_references):
                metric.update(with_references[compared], labels[compared])
            self.log("val/accuracy_references", self.val_accuracy_references)
            self.log("val/auroc_references", self.val_auroc_references)
        if ranked:
            self.log("val/mrr", self.val_mrr)
            self.log("val/hit_rate@1", self.val_hit_rate_1, prog_bar=True)
            self.log("val/hit_rate@5", self.val_hit_rate_5)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        try:
            optimizer = self.optimizer_factory(self.model.parameters())
        except (TypeError, ValueError) as error:
            raise ConfigError(f"model.optimizer: {error}", argument="model.optimizer") from error
        total = max(int(self.trainer.estimated_stepping_batches), self.warmup_steps + 1)

        def share(step: int) -> float:
            return lr_share(step, total, self.warmup_steps, self.final_lr_share)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def export_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights and the match heads, on the CPU."""
        weights = self.scored.state_dict().items()
        return {name: tensor.detach().cpu().contiguous() for name, tensor in weights}

    def export_config(self) -> dict[str, Any]:
        """Return the config that rebuilds model and tokenizer, and the calibration."""
        return {
            **self.scored.to_config(),
            "calibration": {
                question: to_calibration(answers) for question, answers in self._answers.items()
            },
            "confidence": self._confidence.to_config() if self._confidence else None,
        }

    def export_files(self) -> dict[str, str]:
        """Return no files beyond those of the training."""
        return {}

    def optimizer_state(self) -> dict[str, Any] | None:
        """Return the state for a resumed run: weights, optimizer, schedule, loops, callbacks."""
        # The same dict that `trainer.save_checkpoint` writes.
        state = self.trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        return {key: value for key, value in state.items() if key != "hyper_parameters"}
