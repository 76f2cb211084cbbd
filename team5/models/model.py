"""Team5Model: a distribution over the ions of a structure under given conditions.

All three answers come from it: the likelihood of the measured peaks ranks and matches, the
distribution itself is the simulated spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from team5.chemistry.isomers import N_ISOMERS
from team5.chemistry.tokenizer import MoleculeBatch, MoleculeTokenizer
from team5.data.collate import Batch
from team5.data.context import ADDUCTS, CONTEXT_FEATURES, INSTRUMENTS
from team5.data.preprocess import FIRST_RULE, HYDROGEN_SHIFTS, ScoreRule
from team5.errors import CheckpointError, ConfigError
from team5.models.encoders import ContextEncoder, MoleculeEncoder
from team5.models.foreign_encoder import ForeignEncoder, name_of
from team5.models.heads import (
    MATCH_FEATURES,
    MAX_REFERENCES,
    MIN_REFERENCES,
    REFERENCE_FEATURES,
    FragmentHead,
    MatchFeature,
    MatchHead,
    ReferenceHead,
)

# Penalty on the log probability of a peak that no ion of a structure explains, relative to "none".
UNEXPLAINED_LOG_PENALTY = math.log(1e-3)
_REFERENCE_HEADS = ("isomer_head.", "candidate_head.")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; stored in ``config.json``."""

    d_model: int = 128
    d_hidden: int = 192
    n_layers: int = 5
    n_blocks: int = 2
    rank: int = 24
    dropout: float = 0.1
    conditions_at_atoms: bool = False


@dataclass(frozen=True)
class Scores:
    """Scores of B spectra, each matched with a molecule.

    Attributes
    ----------
    log_p : (B, P)
        Log probability of each peak; of "none" where no ion is within its tolerance.
    matched : (B, P) bool
    log_p_outcomes : (B, F * K + 1)
        Of every ion; -inf where impossible; last: none.
    score : (B,)
        Weighted log probability with a penalty for peaks nothing explains; ranks candidates.
    features : (B, len(MATCH_FEATURES))
    impossible_weight : (B,)
        Share of the peaks' weight that lies above the precursor.
    logit : (B,)
        Of the match by itself.
    """

    log_p: Tensor
    matched: Tensor
    log_p_outcomes: Tensor
    score: Tensor
    features: Tensor
    impossible_weight: Tensor
    logit: Tensor

    @property
    def probability(self) -> Tensor:
        return torch.sigmoid(self.logit)


class Team5Model(nn.Module):
    """Fragment network; takes a :class:`~team5.data.collate.Batch`, returns :class:`Scores`.

    Parameters
    ----------
    config : ModelConfig, optional
    tokenizer : MoleculeTokenizer, optional
    encoder : ForeignEncoder, optional
        Replaces :class:`~team5.models.encoders.MoleculeEncoder`: takes a ``MoleculeBatch`` and
        returns fragments (M, F, D) and molecules (M, D) that padding does not change.
    rule : ScoreRule
        Weighting of peaks; batches must be weighted by it.
    """

    def __init__(
        self,
        config: ModelConfig | None = None,
        tokenizer: MoleculeTokenizer | None = None,
        encoder: ForeignEncoder | None = None,
        rule: ScoreRule = FIRST_RULE,
    ) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        self.tokenizer = tokenizer or MoleculeTokenizer()
        self.rule = rule
        c = self.config
        self.foreign_encoder = encoder
        self.molecule_encoder = (
            encoder.make(c.d_model)
            if encoder is not None
            else MoleculeEncoder(
                c.d_model,
                c.d_hidden,
                c.n_layers,
                c.n_blocks,
                c.dropout,
                len(CONTEXT_FEATURES) if c.conditions_at_atoms else 0,
            )
        )
        self.context_encoder = ContextEncoder(len(CONTEXT_FEATURES), 64, c.rank)
        self.fragment_head = FragmentHead(c.d_model, c.rank)
        self.match_head = MatchHead()
        # With generated isomers as references; with other molecules of the mass.
        self.isomer_head = ReferenceHead()
        self.candidate_head = ReferenceHead()

    @property
    def device(self) -> torch.device:
        return self.match_head.weight.device

    @property
    def is_own(self) -> bool:
        """Whether all parts are team5's own, which :mod:`team5.models.unpadded` requires."""
        return type(self.molecule_encoder) is MoleculeEncoder

    @property
    def conditions_at_atoms(self) -> bool:
        """Whether the encoding of a structure depends on how its spectrum was measured."""
        encoder = self.molecule_encoder
        return isinstance(encoder, MoleculeEncoder) and encoder.conditions is not None

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        conditions = (batch.context,) if self.conditions_at_atoms else ()
        fragments, molecule = self.molecule_encoder(batch.molecules, *conditions)
        if self.foreign_encoder is not None:
            self._check_shapes(batch.molecules, fragments, molecule)
        return fragments, molecule

    def _check_shapes(self, molecules: MoleculeBatch, fragments: Tensor, molecule: Tensor) -> None:
        n, n_fragments, _ = molecules.inside.shape
        expected = (n, n_fragments, self.config.d_model), (n, self.config.d_model)
        shapes = tuple(fragments.shape), tuple(molecule.shape)
        if shapes != expected:
            raise ConfigError(
                f"{name_of(type(self.molecule_encoder))} gives fragments and molecules of shapes "
                f"{shapes[0]} and {shapes[1]}; it has to give {expected[0]} and {expected[1]}."
            )

    def log_probabilities(self, batch: Batch) -> Tensor:
        """Return log probabilities of all ions, shape (B, F * K + 1); -inf where impossible."""
        if self.conditions_at_atoms:
            batch = batch.with_own_molecules()
        fragments, molecule = self._encode(batch)
        context = self.context_encoder(batch.context)
        weight, bias = self.fragment_head.weights(context)
        m, f, _ = fragments.shape
        n_slots = int(batch.slot.max()) + 1
        # All spectra of a molecule in one product.
        grouped = weight.new_zeros(m, n_slots, *weight.shape[1:])
        grouped[batch.molecule_index, batch.slot] = weight
        logits = torch.bmm(fragments, grouped.flatten(1, 2).transpose(1, 2))
        logits = logits.view(m, f, n_slots, -1)[batch.molecule_index, :, batch.slot]
        logits = (logits + bias.unsqueeze(1)).flatten(1)
        none = self.fragment_head.none_logits(molecule[batch.molecule_index], context)
        logits = torch.cat([logits, none.unsqueeze(1)], dim=1).float()
        impossible = torch.cat(
            [
                ~self._possible(batch).flatten(1),
                torch.zeros_like(batch.molecule_index, dtype=torch.bool).unsqueeze(1),
            ],
            dim=1,
        )
        return logits.masked_fill(impossible, -torch.inf).log_softmax(dim=-1)

    @staticmethod
    def _possible(batch: Batch) -> Tensor:
        """Return (B, F, K): enough hydrogens, not above the precursor, a group where needed."""
        molecules = batch.molecules
        shifts = torch.tensor(HYDROGEN_SHIFTS, device=batch.slot.device)
        enough = (molecules.fragment_hydrogens.unsqueeze(-1) + shifts >= 0) & ~(
            molecules.fragment_padding_mask.unsqueeze(-1)
        )
        # NaN, an adduct without a group, is never below the limit.
        limit = (batch.max_mz.unsqueeze(-1) - batch.offsets).float()
        masses = molecules.fragment_masses.float()[batch.molecule_index]
        return enough[batch.molecule_index] & (masses.unsqueeze(-1) <= limit.unsqueeze(1))

    def forward(self, batch: Batch) -> Scores:
        log_p_outcomes = self.log_probabilities(batch)
        b, p = batch.weights.shape
        rows = torch.div(batch.match_rows, p, rounding_mode="floor")
        p_matched = log_p_outcomes[rows, batch.match_outcomes].exp()
        probability = (
            p_matched.new_zeros(b * p).index_add(0, batch.match_rows, p_matched).view(b, p)
        )
        # An ion within the tolerance that is impossible here has probability 0: no match.
        matched = probability > 0
        log_p_none = log_p_outcomes[:, -1:]
        log_p = torch.where(matched, probability.clamp(min=1e-20).log(), log_p_none)
        penalised = torch.where(matched, log_p, log_p + UNEXPLAINED_LOG_PENALTY)
        if self.rule.log_p_floor is not None:
            penalised = penalised.clamp(min=self.rule.log_p_floor)
        score = (penalised * batch.weights).sum(dim=-1)
        features = self._match_features(batch, log_p, matched, log_p_outcomes, score)
        logit = self.match_head(features, batch.impossible_weight)
        impossible = batch.impossible_weight
        return Scores(log_p, matched, log_p_outcomes, score, features, impossible, logit)

    @staticmethod
    @torch.no_grad()
    def _match_features(
        batch: Batch, log_p: Tensor, matched: Tensor, log_p_outcomes: Tensor, score: Tensor
    ) -> Tensor:
        weights = batch.weights
        matched_weight = (weights * matched).sum(dim=-1)
        mean_log_p = (weights * matched * log_p).sum(dim=-1) / matched_weight.clamp(min=1e-6)
        mean_log_p = torch.where(matched_weight > 0, mean_log_p, log_p.new_tensor(-20.0))
        intensity = batch.intensities.sum(dim=-1).clamp(min=1e-12)
        explained = (batch.intensities * matched).sum(dim=-1) / intensity
        p_outcomes = log_p_outcomes.exp()
        entropy = -(p_outcomes * log_p_outcomes.clamp(min=-30)).sum(dim=-1)
        n_peaks = (~batch.peak_padding_mask).sum(dim=-1)
        # Each ion counts once, however many peaks it matches.
        p = weights.shape[1]
        rows = torch.div(batch.match_rows, p, rounding_mode="floor")
        seen_mask = torch.zeros_like(p_outcomes, dtype=torch.bool)
        seen_mask[rows, batch.match_outcomes] = True
        seen = (p_outcomes * seen_mask).sum(dim=-1)
        p_peaks = torch.where(matched, log_p.exp(), log_p.new_zeros(()))
        missed = p_outcomes[:, :-1].square().masked_fill(seen_mask[:, :-1], 0.0).sum(dim=-1)
        norm = (p_peaks.square().sum(dim=-1) + missed).sqrt() * weights.norm(dim=-1)
        cosine = (p_peaks * weights).sum(dim=-1) / norm.clamp(min=1e-12)
        features = {
            MatchFeature.SCORE: score,
            MatchFeature.MATCHED_WEIGHT: matched_weight,
            MatchFeature.MEAN_LOG_PROBABILITY_OF_MATCHED_PEAKS: mean_log_p,
            MatchFeature.LOG_PROBABILITY_OF_UNEXPLAINED: log_p_outcomes[:, -1],
            MatchFeature.EXPLAINED_INTENSITY: explained,
            MatchFeature.ENTROPY_OF_THE_PREDICTION: entropy,
            MatchFeature.PREDICTED_PROBABILITY_SEEN: seen,
            MatchFeature.COSINE: cosine,
            MatchFeature.LOG_NUMBER_OF_PEAKS: n_peaks.clamp(min=1).log(),
        }
        return torch.stack([features[each] for each in MatchFeature], dim=-1).detach()

    def to_config(self) -> dict[str, Any]:
        """Return the config that rebuilds model and tokenizer."""
        foreign = {} if self.foreign_encoder is None else self.foreign_encoder.to_config()
        return {
            **({"encoder": foreign} if foreign else {}),
            "model": asdict(self.config),
            "tokenizer": self.tokenizer.to_config(),
            "score": asdict(self.rule),
            "context": {"adducts": list(ADDUCTS), "instruments": list(INSTRUMENTS)},
            "hydrogen_shifts": list(HYDROGEN_SHIFTS),
            "match_features": list(MATCH_FEATURES),
            "references": {
                "features": list(REFERENCE_FEATURES),
                "isomers": N_ISOMERS,
                "at_least": MIN_REFERENCES,
                "at_most": MAX_REFERENCES,
            },
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], allow: Sequence[str] = ()) -> Self:
        """Build a model with untrained weights from :meth:`to_config`'s output.

        ``allow`` lists the dotted names of encoders outside team5 that may be imported.

        Raises
        ------
        ConfigError
            If the config lacks a part, was written by a release with other vocabularies, or names
            an encoder that is not allowed.
        """
        named = config.get("encoder")
        encoder = None if named is None else ForeignEncoder.from_config(named, allow)
        try:
            model = cls(
                ModelConfig(**config["model"]),
                MoleculeTokenizer.from_config(config["tokenizer"]),
                encoder,
                ScoreRule(**(config.get("score") or {})),
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"config.json does not describe a model: {error}. Choose another version."
            ) from error
        here = model.to_config()
        for part in ("context", "hydrogen_shifts", "match_features", "references"):
            # Versions from before there were references have none.
            if config.get(part) != here[part] and (part != "references" or part in config):
                raise ConfigError(
                    f"the version's {part} differ from this release of team5. "
                    "Use the release that wrote it."
                )
        return model

    def load_weights(self, weights: dict[str, Tensor], source: str) -> None:
        """Load weights, which must be exactly those of the model, each of the right shape.

        Versions older than references lack the reference heads, which then stay unfitted.

        Raises
        ------
        CheckpointError
            Naming all weights that are missing, additional or of the wrong shape.
        """
        expected = self.state_dict()
        heads = {name: expected[name] for name in expected if name.startswith(_REFERENCE_HEADS)}
        if not any(name in weights for name in heads):
            weights = weights | heads
        faults = [f"{name} is missing" for name in expected if name not in weights]
        faults += [f"{name} is additional" for name in weights if name not in expected]
        faults += [
            f"{name} has shape {tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
            for name in expected
            if name in weights and weights[name].shape != expected[name].shape
        ]
        if faults:
            shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" * (len(faults) > 5))
            raise CheckpointError(
                f"{source}: the weights do not fit the config: {shown}. "
                "Take the version from where it was exported again."
            )
        self.load_state_dict(weights)
