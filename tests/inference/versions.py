"""The small version again under other names, as it is or damaged."""

import shutil
from pathlib import Path

from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields

SHIPPED = Path(__file__).resolve().parents[1] / "files/checkpoints"


def copy_registry(root: Path) -> Path:
    """Make a registry whose latest is the small version, v0.1."""
    shutil.copytree(SHIPPED / "v0.1", root / "v0.1")
    shutil.copy(SHIPPED / "checkpoint_tracker.json", root)
    return root


def damaged(weights: dict) -> dict:
    """Return weights that explain no peak: all spectra they simulate are empty but for noise."""
    name = "fragment_head.none.bias"
    return {**weights, name: weights[name] + 50}


def export_copy(root: Path, *, is_damaged: bool = False, factor: float = 1.0, **config) -> str:
    """Export the small version as the next one, with weights damaged or multiplied."""
    stored = read_version(root, "v0.1")
    weights = {name: tensor * factor for name, tensor in stored.weights.items()}
    return export_version(
        root,
        config={**stored.config, **config},
        weights=damaged(weights) if is_damaged else weights,
        entry=TrackerEntryFields("A copy", 0.9, 0.9, date="2025-01-02"),
    )
