"""Training on MassBank: spectra per second, and the share of time spent waiting for data.

    python benchmarks/training.py data.archive=FILE data.folds=FILE data.pool=FILE
    TEAM5_TEST_DATA=FOLDER python benchmarks/training.py [--threads 1 2] [KEY=VALUE ...]

Each row is a training in a process of its own, as train.py runs it but for validation and export:
the batches of experiment=massbank (likelihood alone) and of experiment=rank (decoys of the same
mass), with so many torch threads. The first epoch is cold (structures are cut, workers start),
those after it are warm; ratio is warm over cold. Waiting is what Lightning's profiler says the loop
spends in taking the next batch. The first batch of an epoch has a row of its own and is left out of
the others, because an epoch of all compounds has it once in hundreds of batches. Exits with 1 when
the median share of waiting in warm epochs is above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
from machine import Table, machine_line
from massbank import sources_of

if TYPE_CHECKING:
    from lightning.pytorch.profilers import SimpleProfiler

    from team5.data.collate import Batch

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT = 0.05  # of the time of warm epochs
EXPERIMENTS = ("massbank", "rank")
MIN_WARM_EPOCHS = 5
_NEXT_BATCH = "[_TrainingEpochLoop].train_dataloader_next"


class Clock(lightning.Callback):
    """Writes what each epoch took: a line of JSON with seconds, waits and numbers of spectra."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self.began = time.perf_counter()
        self.n_waits = len(self._waits(trainer))
        self.n_spectra = self.n_pairs = 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self.n_spectra += int((batch.labels > 0).sum())
        self.n_pairs += len(batch)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        seconds = time.perf_counter() - self.began
        first, *waits = self._waits(trainer)[self.n_waits :]
        epoch = {
            "seconds": seconds - first,
            "first_wait": first,
            "waits": sum(waits),
            "batches": len(waits) + 1,
            "spectra": self.n_spectra,
            "pairs": self.n_pairs,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(epoch) + "\n")

    @staticmethod
    def _waits(trainer: lightning.Trainer) -> list[float]:
        profiler: SimpleProfiler = trainer.profiler  # type: ignore[attr-defined]
        return profiler.recorded_durations[_NEXT_BATCH]


def train_and_report(words: list[str], n_compounds: int, n_epochs: int, path: str) -> None:
    """Train as train.py does with these settings, writing a line for each epoch."""
    from omegaconf import OmegaConf

    from team5.cli.run import compose_config
    from team5.training.train import train

    cfg = compose_config("train", words)
    OmegaConf.set_struct(cfg, False)
    cfg.data.train_compounds = n_compounds
    cfg.callbacks = {"clock": {"_target_": "__main__.Clock", "path": path}}
    cfg.logger = {}
    cfg.trainer.update(
        max_epochs=n_epochs,
        limit_val_batches=0,
        enable_progress_bar=False,
        profiler={"_target_": "lightning.pytorch.profilers.SimpleProfiler", "filename": "profile"},
    )
    cfg.trainer.profiler.dirpath = cfg.output_dir
    train(cfg)


def measure(
    experiment: str, threads: int, given: argparse.Namespace, sources: list[str]
) -> list[dict[str, float]]:
    """Run a training in a process of its own and return what its epochs took."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "epochs.jsonl"
        words = [
            f"experiment={experiment}", f"output_dir={folder}", "from_version=null",
            "model.parent_share=0", "pretraining=null", *sources, *given.settings,
        ]  # fmt: skip
        sizes = [str(given.compounds), str(given.epochs + 1)]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": str(REPOSITORY),
        }
        done = subprocess.run(
            [sys.executable, __file__, "--epochs-into", str(report), *sizes, *words],
            cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"training with experiment={experiment} failed:\n{done.stderr[-2000:]}")
        return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]


def main() -> int:
    """Train with each kind of batches and each number of threads, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--experiments", nargs="+", default=EXPERIMENTS, choices=EXPERIMENTS)
    parser.add_argument("--compounds", type=int, default=120, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=MIN_WARM_EPOCHS, help="warm ones, 5 or more")
    parser.add_argument("settings", nargs="*", help="of train.py, such as data.archive=FILE")
    given = parser.parse_intermixed_args()
    given.epochs = max(given.epochs, MIN_WARM_EPOCHS)
    sources = sources_of(given.settings)
    print(machine_line())
    table = Table("batches", "threads", "figure", "cold", "median", "min", "max", "ratio")
    is_met = True
    for experiment in given.experiments:
        for threads in given.threads:
            epochs = measure(experiment, threads, given, sources)
            figures = {
                "spectra/s": [e["spectra"] / e["seconds"] for e in epochs],
                "pairs/s": [e["pairs"] / e["seconds"] for e in epochs],
                "waiting, %": [100 * e["waits"] / e["seconds"] for e in epochs],
                "first batch, s": [e["first_wait"] for e in epochs],
            }
            for name, (cold, *warm) in figures.items():
                ratio = statistics.median(warm) / cold if cold else float("nan")
                table.row(experiment, threads, name, cold, *Table.spread(warm), ratio)
            is_met &= statistics.median(figures["waiting, %"][1:]) <= 100 * LIMIT
    print(f"waiting at most {LIMIT:.0%} in warm epochs: {'met' if is_met else 'NOT met'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--epochs-into"]:
        train_and_report(sys.argv[5:], int(sys.argv[3]), int(sys.argv[4]), sys.argv[2])
        sys.exit(0)
    sys.exit(main())
