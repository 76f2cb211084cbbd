"""Compile what numba compiles, once, so that no first prediction waits for it.

python -m team5.inference.warm_up
"""

from __future__ import annotations

import numpy as np

from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.inference.engine import iter_scores
from team5.models.model import ModelConfig, Team5Model


def main() -> None:
    """Score one pair with an untrained model of the smallest size."""
    model = Team5Model(ModelConfig(d_model=8, d_hidden=8, n_layers=1, n_blocks=1, rank=2)).eval()
    spectrum = Spectrum(np.array([121.028, 139.039]), np.array([100.0, 35.0]))
    for _ in iter_scores(model, [parse_smiles("CC(=O)Oc1ccccc1C(=O)O")], [spectrum]):
        pass


if __name__ == "__main__":
    main()
