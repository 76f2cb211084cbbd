"""The version of an honest training, to be made hostile in one place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from team5.cli.run import compose_config
from team5.registry.export import export_version
from team5.registry.tracker_format import TrackerEntryFields
from team5.training.lineage import code_state, package_versions, plain_settings

FACTS: dict[str, Any] = {
    "computed": True, "train_spectra": 1, "train_compounds": 1, "val_pairs": 1, "val_compounds": 1,
    "source": "demo", "licenses": {}, "contributors": {}, "folds_sha256": "",
}  # fmt: skip
Place = tuple[str, ...]


def honest() -> dict[str, Any]:
    """What the version of an honest training holds."""
    words = ["experiment=debug", "trainer.max_epochs=3", "output_dir=outputs"]
    cfg = compose_config("train", words)
    module = instantiate(cfg.model, _convert_="all")
    one = {"confidences": [0.9], "wrong": [0], "groups": [0]}
    config = {
        **module.model.to_config(),
        "calibration": {"match": one, "rank": one},
        "training_config": plain_settings(cfg),
        "parent_version": None,
        "parent_hash": None,
        "data": {**FACTS, "kind": "demo", "left_out": {"too large": 0}},
        "code": code_state(),
        "packages": package_versions(),
        "training": {"epoch": 0, "global_step": 2, "monitor": "val/loss", "mode": "min",
                     "score": 5.5, "team5_version": "0.1.0", "date": "2026-11-01"},
    }  # fmt: skip
    empty: dict[str, Any] = {"state_dict": {}, "loops": {}, "callbacks": {}}
    state = {"epoch": 0, "global_step": 2, **empty, "optimizer_states": [], "lr_schedulers": []}
    return {"config": config, "weights": module.model.state_dict(), "state": state}


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Yield the place of every field, those of sections included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*before, key)
            yield from places(item, (*before, key))
        yield (*before, "added")


def write(trained: dict[str, Any], root: Path, config: dict[str, Any]) -> None:
    """Write a version whose checksums are right."""
    export_version(
        root,
        config=config,
        weights=trained["weights"],
        optimizer=trained["state"],
        entry=TrackerEntryFields("of somebody", 0.5, 0.5),
    )
