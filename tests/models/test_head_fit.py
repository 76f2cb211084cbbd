import pytest
import torch
from torch import nn

from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.compounds import read_compounds
from team5.data.dataset import PairDataset, Query, collate_items
from team5.models.head_fit import ScoredPairs, cross_fitted, fit_heads, scored_pairs
from team5.models.heads import MATCH_FEATURES, MatchHead, ReferenceHead
from team5.models.model import ModelConfig, Team5Model
from tests.data.test_dataset import table


def priors() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "match_head": MatchHead(),
            "isomer_head": ReferenceHead(),
            "candidate_head": ReferenceHead(),
        }
    )


def random_pairs(
    n: int, *, offset: float = 0.0, n_references: int = 24, level: float = 0.0
) -> ScoredPairs:
    """Pairs of n structures that say nothing by themselves; own ones beat their references.

    ``level`` is how far spectra differ in what all molecules score; ``offset`` by how much the own
    structure is better than all others.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    labels = torch.tensor([1.0, 0.0] * n)
    of_spectrum = level * draw(n, 1).repeat_interleave(2, 0)
    return ScoredPairs(
        features=draw(2 * n, len(MATCH_FEATURES)),
        scores=of_spectrum.squeeze(1) + draw(2 * n) + offset * labels,
        labels=labels,
        groups=torch.arange(n).repeat_interleave(2),
        isomers=of_spectrum + draw(2 * n, 8),
        references=of_spectrum + draw(2 * n, n_references),
    )


def share_right(probabilities: torch.Tensor, pairs: ScoredPairs) -> float:
    return float(((probabilities > 0.5) == (pairs.labels > 0)).float().mean())


def test_no_pair_is_judged_by_a_head_that_has_seen_it():
    """Labels that are noise cannot be predicted, except by a head fitted on them."""
    pairs = random_pairs(60)
    alone, beside = cross_fitted(priors(), pairs, ridge=1e-3)
    head = fit_heads(priors(), pairs, ridge=1e-3)["match_head"]
    seen = share_right(head(pairs.features, torch.zeros(120)).sigmoid(), pairs)
    assert seen > 0.6
    assert max(share_right(alone, pairs), share_right(beside, pairs)) < seen


def test_references_tell_what_a_score_by_itself_does_not():
    """Spectra differ more in what any molecule scores than structures do in one spectrum."""
    pairs = random_pairs(300, offset=2.5, level=10.0)
    alone, beside = cross_fitted(priors(), pairs, ridge=1.0)
    assert share_right(alone, pairs) > 0.8
    assert share_right(beside, pairs) > 0.8


def test_with_too_few_references_there_is_no_answer_beside_them():
    pairs = random_pairs(40, offset=2.0, n_references=7)
    alone, beside = cross_fitted(priors(), pairs, ridge=1.0)
    assert beside.isnan().all()
    assert not alone.isnan().any()
    assert not fit_heads(priors(), pairs, ridge=1.0)["candidate_head"].is_fitted


def test_without_isomers_the_match_stands_by_itself():
    pairs = random_pairs(40)
    pairs.isomers[:] = torch.nan
    alone, _ = cross_fitted(priors(), pairs, ridge=1.0)
    assert not alone.isnan().any()
    assert not fit_heads(priors(), pairs, ridge=1.0)["isomer_head"].is_fitted


@pytest.fixture(scope="module")
def batch_and_model():
    tokenizer = MoleculeTokenizer(TokenizerConfig(max_depth=1, max_fragments=40))
    smiles = "CC(=O)Oc1ccccc1C(=O)O"
    (compound,) = read_compounds(table([(f"s{i}", "A" * 14, smiles) for i in range(2)]))
    decoys = "OC(=O)c1ccc(OC)cc1C=O", "COC(=O)c1ccc(C=O)cc1O"
    queries = [
        Query(measurement, (smiles, decoy))
        for measurement, decoy in zip(compound.measurements, decoys, strict=True)
    ]
    references = {smiles: ["COc1ccc(C(=O)O)cc1C=O"]}
    dataset = PairDataset(queries, references, tokenizer, n_isomers=3)
    torch.manual_seed(0)
    sizes = ModelConfig(d_model=8, d_hidden=8, n_layers=1, n_blocks=1, rank=3, dropout=0.0)
    return collate_items([dataset[0]]), Team5Model(sizes, tokenizer).eval()


@torch.no_grad()
def test_pairs_of_a_batch_stand_beside_their_own_isomers(batch_and_model):
    batch, model = batch_and_model
    scores = model(batch)
    pairs = scored_pairs(batch, scores, [5, 5])
    assert pairs.labels.tolist() == [1, 0, 1, 0]
    assert pairs.groups.tolist() == [5] * 4
    assert pairs.isomers.shape == (4, 3)
    assert pairs.references.shape == (4, 1)
    # Own structure, its isomers and the references are held against both spectra, in this order.
    assert torch.equal(pairs.scores[0::2], scores.score[:2])
    assert torch.equal(pairs.isomers[0], scores.score[[2, 4, 6]])
    assert torch.equal(pairs.isomers[2], scores.score[[3, 5, 7]])
    assert torch.equal(pairs.references[:, 0], scores.score[[8, 8, 9, 9]])
    assert torch.equal(pairs.scores[1::2], scores.score[[10, 14]])
    assert torch.equal(pairs.isomers[3], scores.score[15:18])
