"""Writes ``tests/files/checkpoints/``: a small untrained version, and what it answers.

Every later team5 must load it and answer the same, so it is not made anew unless a format is
given up on purpose: ``python tests/files/make_tiny_version.py``, from the repository's root.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.cli.run import compose_config
from team5.data.collate import collate, make_pair
from team5.data.spectrum import Spectrum
from team5.models.model import ModelConfig, Team5Model
from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields

ROOT = Path(__file__).resolve().parent / "checkpoints"
OUTPUTS = ROOT / "outputs.json"
# Structures and spectra written by hand; each with the adduct it is held against.
QUERIES: tuple[dict[str, Any], ...] = (
    {"smiles": "CC(=O)Oc1ccccc1C(=O)O", "adduct": "[M-H]-", "collision_energy": "20 eV",
     "mzs": [93.0346, 137.0244, 179.0350], "intensities": [0.4, 1.0, 0.2]},
    {"smiles": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "adduct": "[M+H]+", "collision_energy": "35 NCE",
     "mzs": [42.0338, 110.0713, 138.0662, 195.0877], "intensities": [0.1, 0.3, 1.0, 0.6]},
    {"smiles": "OCC1OC(O)C(O)C(O)C1O", "adduct": "[M+Na]+", "collision_energy": None,
     "mzs": [203.0526], "intensities": [1.0]},
    {"smiles": "[Cl-].C[N+](C)(C)CCO", "adduct": "[M]+", "collision_energy": "20-40 eV",
     "mzs": [58.0651, 60.0808, 104.1070, 150.0], "intensities": [0.5, 1.0, 0.8, 0.1]},
)  # fmt: skip


def answers_of(root: Path) -> list[dict[str, float]]:
    """Return what the version answers to each query, each number with a meaning of its own."""
    stored = read_version(root, "v0.1")
    model = Team5Model.from_config(stored.config).eval()
    model.load_weights(stored.weights, f"{stored.folder}/model.safetensors")
    answers = []
    for query in QUERIES:
        spectrum = Spectrum(query["mzs"], query["intensities"])
        tokens = model.tokenizer.encode(query["smiles"])
        pair = make_pair(
            tokens,
            0,
            mzs=spectrum.mzs,
            intensities=spectrum.intensities,
            adduct=parse_adduct(query["adduct"]),
            collision_energy=query["collision_energy"],
            instrument_type="LC-ESI-QTOF",
        )
        with torch.inference_mode():
            scores = model(collate([tokens], [pair]))
        best = scores.log_p_outcomes[0, :-1].argmax()
        answers.append(
            {
                "score": scores.score.item(),
                "logit": scores.logit.item(),
                "log_p_none": scores.log_p_outcomes[0, -1].item(),
                "log_p_likeliest": scores.log_p_outcomes[0, best].item(),
                "n_matched": scores.matched.sum().item(),
                "n_fragments": len(tokens.fragments),
            }
        )
    return answers


def main() -> int:
    torch.manual_seed(20)
    sizes = compose_config("train", ["model=tiny"]).model
    network = {key: value for key, value in sizes.network.items() if key != "_target_"}
    limits = TokenizerConfig(sizes.tokenizer.max_depth, sizes.tokenizer.max_fragments)
    model = Team5Model(ModelConfig(**network), MoleculeTokenizer(limits))
    head = model.match_head
    head.mean.normal_()
    head.scale.uniform_(0.5, 2.0)
    head.weight.normal_(std=0.2)
    head.bias.fill_(0.1)
    head.threshold.fill_(0.45)
    shutil.rmtree(ROOT, ignore_errors=True)
    export_version(
        ROOT,
        config=model.to_config(),
        weights=model.state_dict(),
        entry=TrackerEntryFields("Untrained, for tests", 0.5, 0.5, date="2025-01-01"),
        set_as_latest=True,
    )
    (ROOT / "checkpoint_tracker.json.lock").unlink(missing_ok=True)
    OUTPUTS.write_text(json.dumps(answers_of(ROOT), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
