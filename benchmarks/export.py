"""Export of a version: seconds with and without optimizer.bin, and the share of an epoch.

    python benchmarks/export.py data.archive=FILE data.folds=FILE data.pool=FILE
    TEAM5_TEST_DATA=FOLDER python benchmarks/export.py [--exports 7] [--steps 20] [KEY=VALUE ...]

What is exported is the model of experiment=massbank after some steps, into a temporary registry,
over the version that is there, as a run does that improves. The epoch it is held against is
reckoned: the median step times the number of batches; waiting for data and validation, which an
epoch has too, are left out, so that the share is rather too high. The two kinds alternate, so that
both meet the same load of the machine; ratio is over the median without optimizer.bin. Exits with 1
when the median share with optimizer.bin is above the limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning
from machine import Table, machine_line
from massbank import sources_of

LIMIT = 0.01  # of an epoch
MIN_EXPORTS = 5


class Steps(lightning.Callback):
    """Keeps what each step took in seconds, and at the end the state to go on training from."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[float] = []
        self.state: dict[str, Any] | None = None

    def on_train_batch_start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.taken.append(time.perf_counter() - self.began)

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self.state = pl_module.optimizer_state()


def train_steps(words: list[str], n_steps: int) -> tuple[Any, Steps, int]:
    """Return a module after some steps, what they took, and the number of batches of an epoch."""
    from hydra.utils import instantiate

    from team5.cli.run import compose_config

    cfg = compose_config("train", words)
    module = instantiate(cfg.model)
    data = instantiate(cfg.data)
    data.tokenizer = module.model.tokenizer
    steps = Steps()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=n_steps, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[steps],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module, steps, len(data.train_dataloader())


def export_s(root: Path, module: Any, state: dict[str, Any] | None) -> float:
    """Export once, over the version that is there, and return the seconds."""
    from team5.registry.export import export_version
    from team5.registry.tracker import TrackerEntryFields

    began = time.perf_counter()
    export_version(
        root,
        version="v0.1",
        config=module.scored.to_config(),
        weights=module.export_weights(),
        optimizer=state,
        entry=TrackerEntryFields(description="Benchmark", accuracy=0.5, f1_score=0.5),
        replace=True,
    )
    return time.perf_counter() - began


def main() -> int:
    """Train some steps, export in turn with and without the optimizer, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--exports", type=int, default=7, help="of each kind, 5 or more")
    parser.add_argument("--steps", type=int, default=20, help="that are timed")
    parser.add_argument("settings", nargs="*", help="of train.py, such as data.archive=FILE")
    given = parser.parse_intermixed_args()
    sources = sources_of(given.settings)
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "experiment=massbank",
            "pretraining=null",
            f"output_dir={folder}",
            *sources,
            *given.settings,
        ]
        module, steps, n_batches = train_steps(words, given.steps)
        kinds = {"weights alone": None, "with optimizer.bin": steps.state}
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        root = Path(folder) / "checkpoints"
        for _ in range(max(given.exports, MIN_EXPORTS) + 1):
            for kind, content in kinds.items():
                taken[kind].append(export_s(root, module, content))
        sizes = {file.name: file.stat().st_size for file in (root / "v0.1").iterdir()}
    # The first of each makes the registry and warms the disk cache.
    taken = {kind: values[1:] for kind, values in taken.items()}
    epoch_s = n_batches * statistics.median(steps.taken)
    table = Table("export            ", "median s", "min", "max", "ratio", "% of epoch")
    base = statistics.median(taken["weights alone"])
    shares = {}
    for kind, values in taken.items():
        middle, low, high = Table.spread(values)
        shares[kind] = middle / epoch_s
        table.row(kind, middle, low, high, middle / base, 100 * shares[kind])
    print(", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sorted(sizes.items())))
    print(f"epoch: {epoch_s:.0f} s, {n_batches} batches of {statistics.median(steps.taken):.3f} s")
    is_met = shares["with optimizer.bin"] <= LIMIT
    print(f"with optimizer.bin at most {LIMIT:.0%} of an epoch: {'met' if is_met else 'NOT met'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
