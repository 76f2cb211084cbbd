"""A small model with fixed random weights: right in form, wrong in chemistry."""

import pytest
import torch

from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.inference.inference import LoadedModel
from team5.models.heads import MATCH_FEATURES
from team5.models.model import ModelConfig


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    sizes = ModelConfig(d_model=16, d_hidden=16, n_layers=1, n_blocks=1, rank=4)
    loaded = LoadedModel(sizes, MoleculeTokenizer(TokenizerConfig(2, 200)))
    score, explained = MATCH_FEATURES.index("score"), MATCH_FEATURES.index("explained intensity")
    loaded.match_head.weight[[score, explained]] = torch.tensor([0.5, 2.0])
    loaded.match_head.bias.fill_(4.0)
    loaded.version, loaded.version_hash = "v9.9", "0123456789ab"
    return loaded.eval().requires_grad_(False)
